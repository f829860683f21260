import { invariant } from '../../base/errors.ts';
import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';

/** Groups begin on a block, in memory as on a device, so that what is written is what is held. */
export function alignUp(bytes: number): number {
  return Math.ceil(bytes / DEVICE_BLOCK_BYTES) * DEVICE_BLOCK_BYTES;
}

/** A large piece of device memory from which groups are carved, front to back. */
export class Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Everything before it belongs to groups. */
  cursor = 0;
  /** Groups that somebody still holds. */
  liveGroups = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/**
 * All memory of the WAL, taken once and recycled: its size bounds what waits for the device, what waits for upload
 * and the tail cache together (I36). A slab is used again when all groups in it were released, the one released last
 * first. Memory that was never written takes no memory of the machine: an idle broker stays small, and a busy one
 * pays each page fault once (measured: 0.3 s of CPU for 360 MiB, nothing afterwards).
 */
export class SlabPool {
  readonly slabBytes: number;
  readonly slabCount: number;
  readonly #onFreed: () => void;
  readonly #free: Slab[] = [];
  /** Entries of groups that somebody still holds: each has objects in the heap, whatever its size. */
  entryCount = 0;
  #current: Slab;

  constructor(
    allocate: (bytes: number) => Uint8Array,
    slabBytes: number,
    slabCount: number,
    onFreed: () => void,
  ) {
    this.slabBytes = slabBytes;
    this.slabCount = slabCount;
    this.#onFreed = onFreed;
    for (let made = 0; made < slabCount; made++) {
      this.#free.push(new Slab(allocate(slabBytes)));
    }
    this.#current = this.#take();
  }

  /** Bytes left in the slab being carved. */
  get roomBytes(): number {
    return this.slabBytes - this.#current.cursor;
  }

  /** Slabs that hold nothing. */
  get emptySlabs(): number {
    return this.#free.length + (this.#current.cursor === 0 && this.#current.liveGroups === 0 ? 1 : 0);
  }

  /** The slab to carve from, with at least `minBytes` left in it; its cursor is where the caller begins. */
  slabFor(minBytes: number): Slab {
    // The slab left behind holds groups (an empty one would have had room) and is recycled with the last of them.
    if (this.roomBytes < minBytes) this.#current = this.#take();
    invariant(this.roomBytes >= minBytes, 'I36', 'a group is larger than a slab', { minBytes });
    return this.#current;
  }

  hold(slab: Slab): void {
    slab.liveGroups++;
  }

  release(slab: Slab, entryCount: number): void {
    slab.liveGroups--;
    this.entryCount -= entryCount;
    invariant(
      slab.liveGroups >= 0 && this.entryCount >= 0,
      'I36',
      'a slab was released more often than held',
    );
    if (slab.liveGroups === 0) {
      slab.cursor = 0;
      if (slab !== this.#current) this.#free.push(slab);
    }
    this.#onFreed();
  }

  #take(): Slab {
    const slab = this.#free.pop();
    invariant(slab !== undefined, 'I36', 'an append was not admitted: all memory of the WAL is held');
    return slab;
  }
}
