import { MillraceError } from '../base/errors.ts';

/**
 * The seam to S3 and to everything that behaves like it.
 *
 * Semantics every adapter keeps (the conformance suite in `test/conformance` checks them):
 *   - a key holds one immutable body at a time; reads after a committed write see it; list is consistent
 *   - `put` applies its condition and its body in one atomic step per key
 *   - keys are 1 to 1024 bytes of [A-Za-z0-9!_.*'()/-], no empty, '.' or '..' segment and none longer than 100
 *     bytes, and list in byte order
 */
export interface ObjectStore {
  /**
   * Writes an object if `condition` holds. Never retried inside the adapter, because a retry of a conditional
   * write turns our own success into REJECTED (protocol 1.2 P1): the caller's loop decides.
   * `body` may be several pieces, sent in order; the pieces must not change until the promise settles, and
   * an adapter must not touch them afterwards (P11).
   * @throws {ObjectStoreError} with code DENIED only: a misconfiguration, never an answer about the key
   */
  put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome>;

  /**
   * Reads an object, or the part of it that `range` names.
   * A range that starts at or past the end, or is longer than what is left, fails with INVALID_RANGE: a short
   * answer is never returned. Memory of the answer belongs to the caller. `into`, as long as the range, is filled and
   * returned as the body; when the promise has settled the adapter does not touch it any more.
   * @throws {ObjectStoreError} NOT_FOUND, INVALID_RANGE, UNAVAILABLE (may be retried), DENIED
   */
  get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject>;

  /** Size and tag of an object, or undefined when the key is free. @throws {ObjectStoreError} UNAVAILABLE, DENIED */
  head(key: string): Promise<ObjectInfo | undefined>;

  /**
   * One page of the keys that begin with `prefix`, in byte order, after the key `after` (exclusive).
   * @throws {ObjectStoreError} UNAVAILABLE, DENIED
   */
  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<ListPage>;

  /** Deletes keys; a key that does not exist counts as deleted, so repeating is safe. At most 1000 keys a call.
   *  @throws {ObjectStoreError} UNAVAILABLE (some keys may be gone), DENIED */
  delete(keys: readonly string[]): Promise<void>;

  close(): Promise<void>;
}

/** `absent`: put-if-absent (If-None-Match: *). `etag`: compare-and-swap (If-Match). */
export type PutCondition = { readonly kind: 'absent' } | { readonly kind: 'etag'; readonly etag: string };

/**
 * How a conditional write ended (protocol R2, 3.7):
 *   committed  this very call's bytes are stored
 *   rejected   nothing of this call was stored: the key is taken (`exists`), holds another tag (`changed`) or
 *              vanished (`missing`). After an earlier UNKNOWN at the same key the occupant may be ourselves:
 *              compare the nonce in its body.
 *   conflict   nothing was stored, a concurrent operation got in the way (HTTP 409): repeat the same call
 *   unknown    it may or may not be stored, now or later: repeat the same bytes at the same key, nothing else
 */
export type PutOutcome =
  | { readonly outcome: 'committed'; readonly etag: string }
  | { readonly outcome: 'rejected'; readonly reason: 'exists' | 'changed' | 'missing' }
  | { readonly outcome: 'conflict' }
  | { readonly outcome: 'unknown'; readonly cause: unknown };

export interface ByteRange {
  /** First byte; negative counts from the end (then `length` must be -start: a suffix). */
  readonly start: number;
  readonly length: number;
}

export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
}

export interface StoredObject {
  readonly body: Uint8Array;
  readonly etag: string;
  /** Size of the whole object, also when a range was read. */
  readonly sizeBytes: number;
}

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  /** Pass as `after` to read on; undefined when this was the last page. */
  readonly next: string | undefined;
}

export type ObjectStoreErrorCode = 'NOT_FOUND' | 'INVALID_RANGE' | 'UNAVAILABLE' | 'DENIED';

export class ObjectStoreError extends MillraceError {
  readonly code: ObjectStoreErrorCode;

  constructor(code: ObjectStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
