import { BufferPool } from '../base/buffer-pool.ts';
import { invariant } from '../base/errors.ts';
import { Gate } from '../base/gate.ts';
import type { MemoryShare } from '../base/memory-budget.ts';
import type { Block } from './object-format/block.ts';
import type { BlockRef } from './object-format/layout.ts';
import type { Pin } from './slice.ts';

/**
 * An extent may lie in idle memory this much larger than it is; it is charged for all of it. With exact fits up to half of
 * what a catch-up read reads was new memory: two collections of the whole heap a second, 1.2 CPU s/GiB in place of 0.8.
 */
const LARGEST_FIT = 2;

/** What one GET delivered, or will: adjacent blocks in one piece of memory, which lives and dies as one. */
export class Extent implements Pin {
  readonly pool: ExtentPool;
  readonly keys: readonly string[];
  /** Used again for another extent when this one is evicted: nobody holds a pin then (I34). */
  readonly memory: Uint8Array;
  blocks: readonly Block[] = [];
  pins = 0;
  isLoaded = false;
  /** False for read-ahead nobody came for yet. */
  wasRead = false;
  loaded: Promise<void> = Promise.resolve();

  constructor(pool: ExtentPool, objectId: number, refs: readonly BlockRef[], memory: Uint8Array) {
    this.pool = pool;
    this.keys = refs.map((ref) => keyOf(objectId, ref));
    this.memory = memory;
  }

  release(): void {
    this.pins--;
    invariant(this.pins >= 0, 'I34', 'an extent was released more often than pinned');
    if (this.pins === 0) this.pool.relieve();
  }
}

/** Memory and concurrency of one purpose of reading, and its extents from least to most recently used. */
export class ExtentPool {
  readonly share: MemoryShare;
  readonly gate: Gate;
  readonly extents = new Set<Extent>();
  readonly #buffers: BufferPool;
  readonly #idleMaxBytes: number;
  readonly #forget: (extent: Extent) => void;

  constructor(
    share: MemoryShare,
    idleMaxBytes: number,
    readsInFlight: number,
    forget: (extent: Extent) => void,
  ) {
    this.share = share;
    this.gate = new Gate(readsInFlight);
    this.#buffers = new BufferPool(share.limitBytes);
    this.#idleMaxBytes = idleMaxBytes;
    this.#forget = forget;
  }

  /**
   * Memory for so many bytes if it can be had by evicting; read-ahead must not evict what waits for its reader. Larger
   * memory that is idle is better than new memory of the right size.
   */
  tryAllocate(bytes: number, mayEvictUnread: boolean): Uint8Array | undefined {
    do {
      const fitting = this.#buffers.fittingBytes(bytes, LARGEST_FIT * bytes);
      if (this.share.tryTake(fitting)) return this.#take(fitting);
      const exact = BufferPool.classBytes(bytes);
      if (fitting > exact && this.share.tryTake(exact)) return this.#take(exact);
    } while (this.share.waiting === 0 && this.#evictOne(mayEvictUnread));
    return undefined;
  }

  /** Waits until so much memory is there, as long as it takes. */
  async allocate(bytes: number): Promise<Uint8Array> {
    const memory = this.tryAllocate(bytes, true);
    if (memory !== undefined) return memory;
    await this.share.take(BufferPool.classBytes(bytes));
    return this.#take(bytes);
  }

  /** What was reserved. Idle buffers stay within what was set aside for them (I36). */
  #take(bytes: number): Uint8Array {
    const memory = this.#buffers.take(bytes);
    this.#buffers.trim(this.#idleMaxBytes);
    return memory;
  }

  /** Evicts for those who wait; called whenever an extent becomes evictable. */
  relieve(): void {
    while (this.share.waiting > 0 && this.#evictOne(true)) continue;
  }

  #evictOne(mayEvictUnread: boolean): boolean {
    for (const extent of this.extents) {
      if (extent.pins > 0 || !extent.isLoaded || !(mayEvictUnread || extent.wasRead)) continue;
      this.extents.delete(extent);
      this.#forget(extent);
      this.giveBack(extent.memory);
      return true;
    }
    return false;
  }

  /** Nobody looks at it any more. */
  giveBack(memory: Uint8Array): void {
    this.#buffers.recycle(memory);
    this.share.release(memory.length);
  }
}

/** Names a block within its cache. */
export function keyOf(objectId: number, ref: BlockRef | undefined): string {
  return `${objectId}:${ref?.position ?? 0}`;
}
