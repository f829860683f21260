import {
  checkDelete,
  checkKey,
  checkListing,
  compareKeys,
  MAX_LIST_KEYS,
  notFound,
  resolveRange,
  totalLength,
} from '../../../broker-runtime/src/adapters/object-requests.ts';
import { ClosedError, invariant } from '../../../broker-runtime/src/base/errors.ts';
import type { Clock } from '../../../broker-runtime/src/ports/clock.ts';
import { ObjectStoreError } from '../../../broker-runtime/src/ports/object-store.ts';
import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../../../broker-runtime/src/ports/object-store.ts';

export type StoreOperation = 'put' | 'get' | 'head' | 'list' | 'delete';

/**
 * What goes wrong with one request. A put whose answer is not sure ends UNKNOWN, other requests UNAVAILABLE.
 *   fail         nothing happens at the store, and the caller does not know
 *   lose-answer  it happens at the store, and the caller does not know
 *   land-late    the caller gives up at once; it happens at the store `afterMs` later (puts and deletes)
 *   conflict     409: nothing happens (puts)
 *   denied       403: nothing happens
 *   corrupt      the answer of a get has one flipped bit
 */
export type StoreFault =
  | { readonly kind: 'fail' | 'lose-answer' | 'conflict' | 'denied' | 'corrupt' }
  | { readonly kind: 'land-late'; readonly afterMs: number };

/** Decides about each request before it is made; undefined lets it pass. `key` is the prefix of a list. */
export type FaultPlan = (operation: StoreOperation, key: string) => StoreFault | undefined;

interface Stored {
  readonly body: Uint8Array;
  readonly etag: string;
}

/** What all handles of one bucket share: it survives the processes that use it. */
export class SimBucket {
  readonly objects = new Map<string, Stored>();
  /** Called before a key vanishes: the place to check that nothing still names it (invariant I24). */
  onDelete: (key: string) => void = () => undefined;
  /** Called after a put took effect: the place to watch what becomes true, the moment it does. */
  onPut: (key: string, body: Uint8Array, isNew: boolean) => void = () => undefined;
  #writes = 0;

  nextEtag(): string {
    this.#writes++;
    return `"w${this.#writes}"`;
  }
}

/** An object store in memory: the semantics of the port, and every fault a client of S3 must survive. */
export class MemoryObjectStore implements ObjectStore {
  readonly bucket: SimBucket;
  /** Requests made so far, by operation: what a bill would count. */
  readonly requests: Record<StoreOperation, number> = { put: 0, get: 0, head: 0, list: 0, delete: 0 };
  /** Draws how long a request takes; undefined answers without delay. Needs a clock. */
  delayMs: ((operation: StoreOperation) => number) | undefined;
  /** A standing plan; {@link failNext} goes first. */
  faults: FaultPlan | undefined;
  /** Keys of a page of a list at most, as if there were that many more of them. */
  pageKeys = MAX_LIST_KEYS;
  readonly #clock: Clock | undefined;
  readonly #planned: { readonly operation: StoreOperation; readonly fault: StoreFault }[] = [];
  #unavailable = false;
  #isClosed = false;

  constructor(clock?: Clock, bucket: SimBucket = new SimBucket()) {
    this.#clock = clock;
    this.bucket = bucket;
  }

  /** Gives the next `count` requests of this kind the fault. */
  failNext(operation: StoreOperation, fault: StoreFault, count = 1): void {
    for (let n = 0; n < count; n++) this.#planned.push({ operation, fault });
  }

  /** While true every request fails and nothing reaches the bucket: an outage. */
  set unavailable(unavailable: boolean) {
    this.#unavailable = unavailable;
  }

  async put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    checkKey(key);
    // The bytes are on the wire from here on; later changes by the caller must be found, not stored.
    const sent = joined(body);
    const fault = await this.#begin('put', key);
    const outcome = this.#answerPut(key, sent, condition, fault);
    await this.#delay('put');
    invariant(Buffer.compare(joined(body), sent) === 0, 'P11', 'the pieces changed before put settled', {
      key,
    });
    return outcome;
  }

  async get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    checkKey(key);
    const fault = await this.#begin('get', key);
    throwIfFailed(fault, 'get', key);
    const stored = this.bucket.objects.get(key);
    await this.#delay('get');
    if (stored === undefined) throw notFound(key);
    const sizeBytes = stored.body.length;
    const start = range === undefined ? 0 : resolveRange(key, range, sizeBytes);
    const body = stored.body.slice(start, range === undefined ? sizeBytes : start + range.length);
    if (fault?.kind === 'corrupt' && body.length > 0) {
      const at = body.length >> 1;
      body[at] = (body[at] ?? 0) ^ 0x10;
    }
    into?.set(body);
    return { body: into ?? body, etag: stored.etag, sizeBytes };
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    throwIfFailed(await this.#begin('head', key), 'head', key);
    const stored = this.bucket.objects.get(key);
    await this.#delay('head');
    return stored === undefined ? undefined : infoOf(key, stored);
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<ListPage> {
    checkListing(prefix, options.limit ?? MAX_LIST_KEYS);
    const limit = Math.min(options.limit ?? MAX_LIST_KEYS, this.pageKeys);
    throwIfFailed(await this.#begin('list', prefix), 'list', prefix);
    const { after } = options;
    const matching = [...this.bucket.objects]
      .filter(([key]) => key.startsWith(prefix) && (after === undefined || key > after))
      .sort(([a], [b]) => compareKeys(a, b));
    const objects = matching.slice(0, limit).map(([key, stored]) => infoOf(key, stored));
    await this.#delay('list');
    return { objects, next: matching.length > limit ? objects.at(-1)?.key : undefined };
  }

  async delete(keys: readonly string[]): Promise<void> {
    checkDelete(keys);
    const fault = await this.#begin('delete', keys[0] ?? '');
    if (fault?.kind === 'land-late') this.#later(fault.afterMs, () => this.#remove(keys));
    if (fault?.kind === 'lose-answer') this.#remove(keys);
    throwIfFailed(fault, 'delete', keys[0] ?? '');
    this.#remove(keys);
    await this.#delay('delete');
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #answerPut(
    key: string,
    sent: Uint8Array,
    condition: PutCondition,
    fault: StoreFault | undefined,
  ): PutOutcome {
    switch (fault?.kind) {
      case 'fail':
        return { outcome: 'unknown', cause: new Error('simulated: the request failed') };
      case 'lose-answer':
        this.#apply(key, sent, condition);
        return { outcome: 'unknown', cause: new Error('simulated: the answer was lost') };
      case 'land-late':
        this.#later(fault.afterMs, () => this.#apply(key, sent, condition));
        return { outcome: 'unknown', cause: new Error('simulated: the request timed out') };
      case 'conflict':
        return { outcome: 'conflict' };
      case 'denied':
        throw denied('put', key);
      default:
        return this.#apply(key, sent, condition);
    }
  }

  #apply(key: string, body: Uint8Array, condition: PutCondition): PutOutcome {
    const occupant = this.bucket.objects.get(key);
    if (condition.kind === 'absent') {
      if (occupant !== undefined) return { outcome: 'rejected', reason: 'exists' };
    } else {
      if (occupant === undefined) return { outcome: 'rejected', reason: 'missing' };
      if (occupant.etag !== condition.etag) return { outcome: 'rejected', reason: 'changed' };
    }
    const etag = this.bucket.nextEtag();
    this.bucket.objects.set(key, { body, etag });
    this.bucket.onPut(key, body, occupant === undefined);
    return { outcome: 'committed', etag };
  }

  #remove(keys: readonly string[]): void {
    for (const key of keys) {
      if (!this.bucket.objects.has(key)) continue;
      this.bucket.onDelete(key);
      this.bucket.objects.delete(key);
    }
  }

  async #begin(operation: StoreOperation, key: string): Promise<StoreFault | undefined> {
    if (this.#isClosed) throw new ClosedError('the object store is closed');
    this.requests[operation]++;
    const fault = this.#chooseFault(operation, key);
    await this.#delay(operation);
    return fault;
  }

  #chooseFault(operation: StoreOperation, key: string): StoreFault | undefined {
    if (this.#unavailable) return { kind: 'fail' };
    const at = this.#planned.findIndex((planned) => planned.operation === operation);
    if (at >= 0) return this.#planned.splice(at, 1)[0]?.fault;
    return this.faults?.(operation, key);
  }

  /** Half before the store acts, half before the answer arrives. */
  async #delay(operation: StoreOperation): Promise<void> {
    const delayMs = this.delayMs?.(operation) ?? 0;
    if (delayMs > 0) await this.#clock?.sleep(delayMs / 2);
  }

  #later(afterMs: number, act: () => void): void {
    invariant(this.#clock !== undefined, 'test', 'land-late needs a clock');
    this.#clock.timer(afterMs, act);
  }
}

function infoOf(key: string, stored: Stored): ObjectInfo {
  return { key, sizeBytes: stored.body.length, etag: stored.etag };
}

function throwIfFailed(fault: StoreFault | undefined, operation: StoreOperation, key: string): void {
  switch (fault?.kind) {
    case 'denied':
      throw denied(operation, key);
    case 'fail':
    case 'lose-answer':
    case 'land-late':
    case 'conflict':
      throw new ObjectStoreError('UNAVAILABLE', `simulated: ${operation} of ${key} failed (${fault.kind})`);
    default:
  }
}

function denied(operation: StoreOperation, key: string): ObjectStoreError {
  return new ObjectStoreError('DENIED', `simulated: ${operation} of ${key} is not allowed`);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(totalLength(pieces));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
