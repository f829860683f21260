import { MillraceError } from '../base/errors.ts';
import type { Patience, WalGroup } from '../wal/wal.ts';

/**
 * A stream: an append-only sequence of opaque entries addressed by 64-bit offsets. The store knows nothing of
 * Kafka; an entry is what one append wrote, and it covers the offsets [baseOffset, baseOffset + count).
 */
export interface Stream {
  readonly id: number;
  /** First offset that may be read; moved by `trim`. */
  readonly startOffset: number;
  /** One past the last appended offset, durable or not. */
  readonly endOffset: number;
  /** One past the last durable offset: what may be served and acknowledged (protocol 2.1). */
  readonly durableOffset: number;

  /**
   * Appends at exactly `endOffset` (gaps only through `count` and {@link replace}). The bytes must have been
   * admitted by {@link StreamStore.admit} in this turn. The offsets are durable when `group.durable` resolves.
   * `crc32c`: that of `bytes` when the caller knows it, see {@link Wal.append}.
   */
  append(
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): WalGroup;

  /**
   * Entries from the one that contains `fromOffset` (or the first after it) on, up to `durableOffset`. At least one
   * entry is returned when there is one, then more while the sum stays within `maxBytes`; from objects possibly fewer
   * than would fit, when more would have to wait for memory. Undefined when `fromOffset` is at `durableOffset`; an
   * empty slice when compaction left nothing before its `nextOffset`. Synchronous when the bytes are in the tail
   * cache, so the hot path has no promise. The caller must call `release` exactly once, when the memory is no longer
   * used.
   * @throws {OffsetOutOfRangeError} below `startOffset` or above `endOffset`
   * @throws {StreamReadError} (rejects) when the object store cannot be read now; may be retried
   * @throws {CorruptionError} (rejects) when stored bytes are damaged; never served
   */
  read(
    fromOffset: number,
    maxBytes: number,
    options?: ReadOptions,
  ): StreamSlice | undefined | Promise<StreamSlice | undefined>;

  /** Calls back after `durableOffset` moved, in order, synchronously with the completion. Returns the way to stop. */
  onDurable(listener: (durableOffset: number) => void): () => void;

  /** Declares everything below `newStartOffset` destroyed. Durable when it resolves. Never moves back. */
  trim(newStartOffset: number): Promise<void>;

  /** The committed pieces of this stream in objects, in order: what retention and compaction decide on. */
  ranges(): readonly StreamRange[];

  /**
   * Replaces the committed ranges that exactly tile [startOffset, endOffset) by these entries, whose offsets lie
   * inside it in ascending order and may leave gaps. The old bytes are destroyed when nothing refers to them.
   */
  replace(startOffset: number, endOffset: number, entries: AsyncIterable<StreamEntry>): Promise<void>;

  /** Uploads what is only in the WAL and resolves when everything appended before the call is in committed objects. */
  flush(): Promise<void>;
}

export interface ReadOptions {
  /**
   * `tail`: a consumer near the end. `history`: catch-up reads and scans, with read-ahead and a memory budget of
   * their own so that they never slow the tail. Default: decided by where the bytes are.
   */
  readonly purpose?: 'tail' | 'history';
  /** Do not return entries at or above this offset (last stable offset). Default: `durableOffset`. */
  readonly untilOffset?: number;
}

export interface StreamEntry {
  readonly baseOffset: number;
  readonly count: number;
  readonly maxTimestampMs: number;
  readonly bytes: Uint8Array;
  /** CRC-32C of `bytes` where it is known. */
  readonly crc32c?: number | undefined;
}

export interface StreamSlice {
  readonly entries: readonly StreamEntry[];
  /** The entries' bytes back to back, adjacent memory merged: ready for the socket. */
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** One past the last offset returned: where to read on. */
  readonly nextOffset: number;
  release(): void;
}

export interface StreamRange {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
  readonly objectId: number;
}

/** All streams of one broker over its WAL and the object store. */
export interface StreamStore {
  /** See `Wal.admit`: the one back-pressure of everything that appends. */
  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined;
  /** @throws {UnknownStreamError} */
  stream(streamId: number): Stream;
  /**
   * Another broker appends to the stream from now on; all of it is in committed objects (see {@link Stream.flush}). The
   * handles given out must not be used any more; when the stream comes back, `stream` gives a fresh one.
   */
  forget(streamId: number): void;
  status(): StoreStatus;
  /**
   * Uploads everything, so that the next start has nothing to replay, then closes the WAL.
   * @returns whether nothing is left in the WAL that is not in committed objects
   */
  close(): Promise<boolean>;
}

export interface StoreStatus {
  readonly walUsedBytes: number;
  readonly walCapacityBytes: number;
  /** Wanted by the append that waits longest for room in the WAL; 0 when none does. */
  readonly walWaitingBytes: number;
  readonly uploadsInFlight: number;
  readonly uploadedBytes: number;
  readonly uploadedObjects: number;
  /** Why uploads are being retried, or undefined while they succeed. */
  readonly uploadTrouble: string | undefined;
  readonly tailCacheBytes: number;
  readonly blockCacheBytes: number;
}

export class OffsetOutOfRangeError extends MillraceError {
  readonly code = 'OFFSET_OUT_OF_RANGE';
}
export class UnknownStreamError extends MillraceError {
  readonly code = 'UNKNOWN_STREAM';
}
/** The object store did not answer within the read deadline. */
export class StreamReadError extends MillraceError {
  readonly code = 'STREAM_READ';
}
