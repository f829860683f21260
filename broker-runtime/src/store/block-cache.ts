import { invariant } from '../base/errors.ts';
import { Extent, ExtentPool, keyOf } from './extent-pool.ts';
import type { Block } from './object-format/block.ts';
import type { BlockRef } from './object-format/layout.ts';
import type { ObjectIndex } from './object-format/object-index.ts';
import type { ObjectReader } from './object-reader.ts';
import type { StoreContext } from './options.ts';
import type { Pin } from './slice.ts';

export type ReadPurpose = 'tail' | 'history';

/** A block that is in memory, with one pin taken for the caller. */
export interface PinnedBlock {
  readonly block: Block;
  readonly pin: Pin;
}

/**
 * Blocks of objects in memory, verified when they were filled (I32). Object ids are never reused, so a cached block
 * can never be stale. Two pools, tail and history, keep catch-up readers from the memory and the connections of the
 * tail; a block found in either serves both. One GET per block, however many readers wait for it.
 */
export class BlockCache {
  readonly #reader: ObjectReader;
  readonly #getBytes: number;
  readonly #pools: Readonly<Record<ReadPurpose, ExtentPool>>;
  readonly #blocks = new Map<string, { readonly extent: Extent; readonly n: number }>();

  constructor(context: StoreContext, reader: ObjectReader) {
    const { memory, options } = context;
    const forget = (extent: Extent): void => {
      for (const key of extent.keys) this.#blocks.delete(key);
    };
    this.#reader = reader;
    this.#getBytes = options.getBytes;
    this.#pools = {
      tail: new ExtentPool(
        memory.share('store.tail-reads', options.tailReadBytes - idleBytesOf(options.tailReadBytes)),
        memory.share('store.tail-idle', idleBytesOf(options.tailReadBytes)).limitBytes,
        options.tailReadsInFlight,
        forget,
      ),
      history: new ExtentPool(
        memory.share('store.history-reads', options.historyReadBytes - idleBytesOf(options.historyReadBytes)),
        memory.share('store.history-idle', idleBytesOf(options.historyReadBytes)).limitBytes,
        options.historyReadsInFlight,
        forget,
      ),
    };
  }

  get sizeBytes(): number {
    return this.#pools.tail.share.usedBytes + this.#pools.history.share.usedBytes;
  }

  /**
   * Brings the blocks into memory and pins them, in order. With `mayWait` the first one waits for memory as long as
   * it takes. The others come only if memory is to be had without waiting: a reader that waits while it holds
   * memory could wait for ever. So fewer blocks may be returned than asked for.
   */
  async acquire(
    objectId: number,
    refs: readonly BlockRef[],
    purpose: ReadPurpose,
    mayWait: boolean,
  ): Promise<PinnedBlock[]> {
    const pinned: Extent[] = [];
    const found: PinnedBlock[] = [];
    try {
      await this.#bring(objectId, refs, purpose, mayWait, pinned);
      for (const ref of refs) {
        const place = this.#blocks.get(keyOf(objectId, ref));
        if (place === undefined || !pinned.includes(place.extent)) break;
        await place.extent.loaded;
        const block = place.extent.blocks[place.n];
        invariant(block !== undefined, 'I32', 'a loaded extent has all its blocks', { objectId });
        place.extent.pins++;
        place.extent.wasRead = true;
        this.#touch(place.extent);
        found.push({ block, pin: place.extent });
      }
    } catch (error) {
      // What came before the failure is good: the next read meets the error at its own position.
      if (found.length === 0) throw error;
    } finally {
      for (const extent of pinned) extent.release();
    }
    return found;
  }

  /** Opens an object's index within the concurrency of the purpose. */
  index(objectId: number, sizeBytes: number, purpose: ReadPurpose): ObjectIndex | Promise<ObjectIndex> {
    const cached = this.#reader.cachedIndex(objectId);
    return cached ?? this.#pools[purpose].gate.run(async () => this.#reader.index(objectId, sizeBytes));
  }

  /** Bytes that are here or on their way, from the first block on without a gap. */
  presentBytes(objectId: number, refs: readonly BlockRef[]): number {
    let bytes = 0;
    for (const ref of refs) {
      if (!this.#blocks.has(keyOf(objectId, ref))) break;
      bytes += ref.length;
    }
    return bytes;
  }

  /**
   * Starts fetching blocks that are not here yet, as far as memory is free. Returns how many bytes are now here or
   * on their way, counted from the first block on without a gap.
   */
  prefetch(objectId: number, refs: readonly BlockRef[], purpose: ReadPurpose): number {
    let reachedBytes = 0;
    for (const run of this.#runsOf(objectId, refs)) {
      if (run.extent === undefined && this.#start(objectId, run.refs, purpose, false) === undefined) break;
      reachedBytes += run.sizeBytes;
    }
    return reachedBytes;
  }

  /** Pins extents for the refs from the first on: those present, those started, and perhaps one waited for. */
  async #bring(
    objectId: number,
    refs: readonly BlockRef[],
    purpose: ReadPurpose,
    mayWait: boolean,
    pinned: Extent[],
  ): Promise<void> {
    for (const run of this.#runsOf(objectId, refs)) {
      const extent = run.extent ?? this.#start(objectId, run.refs, purpose, true);
      if (extent === undefined) {
        if (mayWait && pinned.length === 0) pinned.push(await this.#waitFor(objectId, run.refs, purpose));
        return;
      }
      extent.pins++;
      pinned.push(extent);
    }
  }

  /** Waits for memory for the first block alone, then loads and pins it. */
  async #waitFor(objectId: number, refs: readonly BlockRef[], purpose: ReadPurpose): Promise<Extent> {
    const pool = this.#pools[purpose];
    const first = refs.slice(0, 1);
    const memory = await pool.allocate(sizeOf(first));
    // Another reader may have brought it meanwhile.
    const present = this.#blocks.get(keyOf(objectId, first[0]))?.extent;
    if (present !== undefined) pool.giveBack(memory);
    const extent = present ?? this.#load(objectId, first, pool, memory);
    extent.pins++;
    return extent;
  }

  /** Divides refs into what is here (per extent) and what is missing (adjacent, at most one GET's worth). */
  #runsOf(objectId: number, refs: readonly BlockRef[]): Run[] {
    const runs: Run[] = [];
    for (const ref of refs) {
      const extent = this.#blocks.get(keyOf(objectId, ref))?.extent;
      const last = runs.at(-1);
      const isAdjacent = last?.refs.at(-1) === undefined || endOf(last.refs) === ref.position;
      const fits = extent !== undefined || (last?.sizeBytes ?? 0) + ref.length <= this.#getBytes;
      if (last !== undefined && last.extent === extent && isAdjacent && fits) {
        last.refs.push(ref);
        last.sizeBytes += ref.length;
      } else {
        runs.push({ extent, refs: [ref], sizeBytes: ref.length });
      }
    }
    return runs;
  }

  #start(
    objectId: number,
    refs: readonly BlockRef[],
    purpose: ReadPurpose,
    mayEvictUnread: boolean,
  ): Extent | undefined {
    const pool = this.#pools[purpose];
    const memory = pool.tryAllocate(sizeOf(refs), mayEvictUnread);
    return memory === undefined ? undefined : this.#load(objectId, refs, pool, memory);
  }

  /** Registers the extent at once, so that everyone else joins this load. */
  #load(objectId: number, refs: readonly BlockRef[], pool: ExtentPool, memory: Uint8Array): Extent {
    const extent = new Extent(pool, objectId, refs, memory);
    extent.keys.forEach((key, n) => this.#blocks.set(key, { extent, n }));
    pool.extents.add(extent);
    extent.loaded = pool.gate
      .run(() => this.#reader.blocks(objectId, refs, extent.memory))
      .then(
        (blocks) => {
          extent.blocks = blocks;
          extent.isLoaded = true;
          pool.relieve();
        },
        (error: unknown) => {
          pool.extents.delete(extent);
          for (const key of extent.keys) this.#blocks.delete(key);
          pool.share.release(extent.memory.length);
          throw error;
        },
      );
    // A prefetch that nobody waits for may fail in silence: the reader that needs it asks again.
    extent.loaded.catch(() => undefined);
    return extent;
  }

  #touch(extent: Extent): void {
    extent.pool.extents.delete(extent);
    extent.pool.extents.add(extent);
  }
}

/** Buffers that wait to be filled again: extents differ in size, so the one just evicted often does not fit. */
function idleBytesOf(readBytes: number): number {
  return Math.floor(readBytes / 4);
}

interface Run {
  readonly extent: Extent | undefined;
  readonly refs: BlockRef[];
  sizeBytes: number;
}

function sizeOf(refs: readonly BlockRef[]): number {
  return refs.reduce((sum, ref) => sum + ref.length, 0);
}

function endOf(refs: readonly BlockRef[]): number {
  const last = refs.at(-1);
  return last === undefined ? 0 : last.position + last.length;
}
