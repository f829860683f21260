import type { MemoryShare } from '../base/memory-budget.ts';
import { BufferPool } from '../base/buffer-pool.ts';

/** One request's bytes, without the length field, in memory of its own. */
export class Frame {
  readonly bytes: Uint8Array;
  readonly #memory: FrameMemory;
  #buffer: Uint8Array | undefined;

  constructor(memory: FrameMemory, buffer: Uint8Array, length: number) {
    this.#memory = memory;
    this.#buffer = buffer;
    this.bytes = buffer.subarray(0, length);
  }

  /**
   * Gives the memory back; later calls do nothing. `recycle`: nobody holds a view of it any more. Otherwise it is
   * only no longer counted, and left to whoever still looks at it.
   */
  release(recycle: boolean): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#buffer = undefined;
    this.#memory.reclaim(buffer, recycle);
  }
}

/** One read takes at most this much: larger saves no more CPU, smaller costs 30 % (64 KiB). */
export const READ_BUFFER_BYTES = 256 * 1024;

/** Read size while requests wait for memory, so that little has to be set aside meanwhile. */
const READ_BUFFER_UNDER_PRESSURE_BYTES = 4096;

/**
 * What all connections of a server receive into, within two memory shares.
 *
 * Frames that nobody needs stay as they are while they and those in use fit into the share of requests and what is
 * set aside for idle ones (I36). So a flood that fills the share is received into the same memory again and again:
 * with the set-aside alone a quarter of its frames was allocated anew, and V8 collects the whole heap for every 64 MiB
 * of new buffers.
 */
export class FrameMemory {
  /** Bytes read behind a frame that waits; bounded by a share of its own because they come unasked. */
  readonly readAhead: MemoryShare;
  readonly #requests: MemoryShare;
  readonly #pool: BufferPool;
  readonly #limitBytes: number;
  /** One for the process: its content is consumed before any other connection is read. */
  readonly #readBuffer = new Uint8Array(READ_BUFFER_BYTES);

  constructor(requests: MemoryShare, readAhead: MemoryShare, idleFramesBytes: number) {
    this.#requests = requests;
    this.readAhead = readAhead;
    this.#limitBytes = requests.limitBytes + idleFramesBytes;
    this.#pool = new BufferPool(this.#limitBytes);
  }

  /** What is kept for the next frames. */
  get idleBytes(): number {
    return this.#pool.idleBytes;
  }

  get readBuffer(): Uint8Array {
    if (this.#requests.waiting === 0) return this.#readBuffer;
    return this.#readBuffer.subarray(0, READ_BUFFER_UNDER_PRESSURE_BYTES);
  }

  /** Memory for a frame of `length` bytes; a promise when others must give some back first. */
  frame(length: number): Frame | Promise<Frame> {
    const wait = this.#requests.take(BufferPool.classBytes(length));
    if (wait !== undefined) return wait.then(() => this.#allocate(length));
    return this.#allocate(length);
  }

  reclaim(buffer: Uint8Array, recycle: boolean): void {
    if (recycle) this.#pool.recycle(buffer);
    this.#requests.release(buffer.length);
  }

  #allocate(length: number): Frame {
    const frame = new Frame(this, this.#pool.take(length), length);
    // Larger than the share a request may be when it is alone.
    this.#pool.trim(Math.max(0, this.#limitBytes - this.#requests.usedBytes));
    return frame;
  }
}
