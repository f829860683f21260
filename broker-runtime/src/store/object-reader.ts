import { CorruptionError } from '../base/errors.ts';
import type { MemoryShare } from '../base/memory-budget.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import { backOff } from './backoff.ts';
import { Block } from './object-format/block.ts';
import { FOOTER_BYTES } from './object-format/layout.ts';
import type { BlockRef } from './object-format/layout.ts';
import { ObjectIndex, readFooter } from './object-format/object-index.ts';
import { objectKey } from './object-key.ts';
import type { StoreContext } from './options.ts';
import { StreamReadError } from './stream.ts';

/** A damaged answer may be the network's fault: this many new requests before it counts as corruption (3.7). */
const CORRUPT_RETRIES = 3;

/**
 * Fetches and checks parts of objects, and keeps the indexes it opened (least recently used go first). Concurrent
 * readers of one index share one request.
 */
export class ObjectReader {
  readonly #context: StoreContext;
  readonly #share: MemoryShare;
  readonly #indexes = new Map<number, ObjectIndex>();
  readonly #opening = new Map<number, Promise<ObjectIndex>>();

  constructor(context: StoreContext) {
    this.#context = context;
    this.#share = context.memory.share('store.index-cache', context.options.indexCacheBytes);
  }

  get cachedIndexBytes(): number {
    return this.#share.usedBytes;
  }

  /** The index of an object if it is in memory. */
  cachedIndex(objectId: number): ObjectIndex | undefined {
    const cached = this.#indexes.get(objectId);
    if (cached === undefined) return undefined;
    this.#indexes.delete(objectId);
    this.#indexes.set(objectId, cached);
    return cached;
  }

  /**
   * The index of an object.
   * @throws {ObjectStoreError} NOT_FOUND, DENIED
   * @throws {StreamReadError} when the object store did not answer within the deadline
   * @throws {CorruptionError}
   */
  async index(objectId: number, sizeBytes: number): Promise<ObjectIndex> {
    const cached = this.cachedIndex(objectId);
    if (cached !== undefined) return cached;
    let opening = this.#opening.get(objectId);
    if (opening === undefined) {
      opening = this.#open(objectId, sizeBytes).finally(() => this.#opening.delete(objectId));
      this.#opening.set(objectId, opening);
    }
    return opening;
  }

  /** Fetches a run of adjacent blocks by one GET and checks each; they lie in `into`. Errors as in {@link index}. */
  async blocks(objectId: number, refs: readonly BlockRef[], into?: Uint8Array): Promise<readonly Block[]> {
    const start = refs[0]?.position ?? 0;
    const length = refs.reduce((sum, ref) => sum + ref.length, 0);
    const memory = into?.subarray(0, length);
    return this.#retrying(objectId, async () => {
      const { body } = await this.#context.objects.get(objectKey(objectId), { start, length }, memory);
      return refs.map((ref) => {
        const at = ref.position - start;
        return new Block(body.subarray(at, at + ref.length), ref, objectId);
      });
    });
  }

  async #open(objectId: number, sizeBytes: number): Promise<ObjectIndex> {
    const index = await this.#retrying(objectId, () => this.#fetchIndex(objectId, sizeBytes));
    while (!this.#share.tryTake(index.sizeBytes)) {
      const oldest = this.#indexes.values().next().value;
      if (oldest === undefined) return index;
      this.#indexes.delete(oldest.objectId);
      this.#share.release(oldest.sizeBytes);
    }
    this.#indexes.set(objectId, index);
    return index;
  }

  async #fetchIndex(objectId: number, sizeBytes: number): Promise<ObjectIndex> {
    const { objects, options } = this.#context;
    const key = objectKey(objectId);
    const tailBytes = Math.min(sizeBytes, Math.max(options.indexGetBytes, FOOTER_BYTES));
    const tail = await objects.get(key, { start: sizeBytes - tailBytes, length: tailBytes });
    if (tail.sizeBytes !== sizeBytes) {
      throw new CorruptionError(
        `object ${objectId} has ${tail.sizeBytes} bytes, the manifest says ${sizeBytes}`,
      );
    }
    const footer = readFooter(tail.body, objectId, sizeBytes);
    const suffixBytes = footer.indexLength + FOOTER_BYTES;
    if (suffixBytes <= tailBytes) {
      const at = tailBytes - suffixBytes;
      // A copy, so that an index of a few hundred bytes does not keep the whole answer alive.
      return new ObjectIndex(tail.body.slice(at, at + footer.indexLength), objectId, footer);
    }
    const rest = await objects.get(key, { start: footer.indexPosition, length: footer.indexLength });
    return new ObjectIndex(rest.body, objectId, footer);
  }

  /** Repeats while the store is unavailable, up to the deadline, and a few times when the answer was damaged. */
  async #retrying<T>(objectId: number, attempt: () => Promise<T>): Promise<T> {
    const { env, options } = this.#context;
    const deadlineMs = env.clock.monotonicMs() + options.readDeadlineMs;
    let corruptAnswers = 0;
    for (let repeat = 0; ; repeat++) {
      try {
        return await attempt();
      } catch (error) {
        if (isDamage(error)) {
          corruptAnswers++;
          env.events.warn('store.damaged-answer', {
            objectId,
            attempt: corruptAnswers,
            reason: error.message,
          });
          if (corruptAnswers > CORRUPT_RETRIES) throw asCorruption(error, objectId);
        } else if (!(error instanceof ObjectStoreError) || error.code !== 'UNAVAILABLE') {
          throw error;
        } else if (env.clock.monotonicMs() >= deadlineMs) {
          throw new StreamReadError(
            `object ${objectId} could not be read within ${options.readDeadlineMs} ms: ${error.message}`,
            { cause: error },
          );
        }
      }
      await backOff(env, options, repeat);
    }
  }
}

/** Damaged bytes, or an object shorter than the manifest says. */
function isDamage(error: unknown): error is Error {
  return (
    error instanceof CorruptionError || (error instanceof ObjectStoreError && error.code === 'INVALID_RANGE')
  );
}

function asCorruption(error: Error, objectId: number): CorruptionError {
  if (error instanceof CorruptionError) return error;
  return new CorruptionError(`object ${objectId} is shorter than the manifest says: ${error.message}`, {
    cause: error,
  });
}
