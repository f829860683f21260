import { invariant } from './errors.ts';

const SMALLEST_CLASS_BYTES = 1024;
/** Classes per power of two: at most a quarter of a buffer is wasted. */
const STEPS_PER_DOUBLING = 4;

/**
 * Buffers for request frames and for blocks of objects, reused by size class. A fresh large buffer each time costs
 * three times the CPU of the whole receive path, by page faults; and half of all CPU of a catch-up read, because V8
 * collects the whole heap for every 64 MiB of buffers.
 */
export class BufferPool {
  readonly #idleMaxBytes: number;
  readonly #idle = new Map<number, Uint8Array[]>();
  #idleBytes = 0;

  constructor(idleMaxBytes: number) {
    this.#idleMaxBytes = idleMaxBytes;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** What a frame of `length` bytes occupies: what has to be accounted for. */
  static classBytes(length: number): number {
    if (length <= SMALLEST_CLASS_BYTES) return SMALLEST_CLASS_BYTES;
    const step = 2 ** Math.floor(Math.log2(length)) / STEPS_PER_DOUBLING;
    return Math.ceil(length / step) * step;
  }

  /** Size of the smallest idle buffer for `length` bytes that has at most `mostBytes`; of a new one if there is none. */
  fittingBytes(length: number, mostBytes: number): number {
    const wanted = BufferPool.classBytes(length);
    let fitting = Infinity;
    for (const [bytes, idle] of this.#idle) {
      if (idle.length > 0 && bytes >= wanted && bytes < fitting) fitting = bytes;
    }
    return fitting <= mostBytes ? fitting : wanted;
  }

  /** A buffer of the class of `length`, with old bytes in it. */
  take(length: number): Uint8Array {
    const bytes = BufferPool.classBytes(length);
    const reused = this.#idle.get(bytes)?.pop();
    if (reused === undefined) return new Uint8Array(bytes);
    this.#idleBytes -= bytes;
    return reused;
  }

  /** Gives back a buffer that nobody refers to any more. */
  recycle(buffer: Uint8Array): void {
    const bytes = buffer.length;
    invariant(BufferPool.classBytes(bytes) === bytes, 'I34', 'a foreign buffer was given to the pool', {
      bytes,
    });
    if (this.#idleBytes + bytes > this.#idleMaxBytes) return;
    const idle = this.#idle.get(bytes);
    if (idle === undefined) this.#idle.set(bytes, [buffer]);
    else idle.push(buffer);
    this.#idleBytes += bytes;
  }

  /** Lets go of buffers until at most `maxBytes` are idle. */
  trim(maxBytes: number): void {
    if (this.#idleBytes <= maxBytes) return;
    for (const [bytes, idle] of this.#idle) {
      while (this.#idleBytes > maxBytes && idle.pop() !== undefined) this.#idleBytes -= bytes;
    }
  }
}
