/** Most literals and matches are shorter than what a call of set or copyWithin costs. */
const COPY_BY_HAND_BELOW_BYTES = 32;

/** More comes out than is allowed; whatever else is wrong with the bytes is another RangeError. */
export class OutputLimitError extends RangeError {
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    super(`more than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/** Bytes that grow, up to a limit, and can repeat what they end with. */
export class InflateOutput {
  #bytes: Uint8Array;
  readonly #maxBytes: number;
  length = 0;

  constructor(initialBytes: number, maxBytes: number) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#maxBytes = maxBytes;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  copyFrom(source: Uint8Array, from: number, end: number): void {
    const at = this.#reserve(end - from);
    if (end - from > COPY_BY_HAND_BELOW_BYTES) {
      this.#bytes.set(source.subarray(from, end), at);
      return;
    }
    const bytes = this.#bytes;
    for (let index = from, to = at; index < end; index++, to++) bytes[to] = source[index] ?? 0;
  }

  /** Appends `length` bytes, each the one `distance` before it: the two may overlap. */
  repeat(distance: number, length: number): void {
    if (distance === 0) throw new RangeError('a match has distance 0');
    let at = this.#reserve(length);
    const end = this.length;
    if (length <= COPY_BY_HAND_BELOW_BYTES) {
      const bytes = this.#bytes;
      for (; at < end; at++) bytes[at] = bytes[at - distance] ?? 0;
      return;
    }
    // What is there is copied, then twice as much is there.
    const from = at - distance;
    while (at < end) {
      const count = Math.min(at - from, end - at);
      this.#bytes.copyWithin(at, from, from + count);
      at += count;
    }
  }

  #reserve(length: number): number {
    const at = this.length;
    const needed = at + length;
    if (needed > this.#maxBytes) throw new OutputLimitError(this.#maxBytes);
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(this.#maxBytes, Math.max(needed, this.#bytes.length * 2)));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    this.length = needed;
    return at;
  }
}
