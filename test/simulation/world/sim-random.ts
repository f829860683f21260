import type { Random } from '../../../broker-runtime/src/ports/random.ts';

const TWO_32 = 0x1_0000_0000;

/**
 * Randomness drawn from a seed: sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state, a period of at
 * least 2^32 and no detectable bias in the amounts a simulation draws. Two equal seeds give equal runs.
 */
export class SimRandom implements Random {
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.seed = seed;
    this.#a = seed | 0;
    this.#b = Math.floor(seed / TWO_32) | 0;
    this.#c = 0x9e37_79b9 | 0;
    // The author's advice: 15 rounds until a seed with few bits has reached the whole state.
    for (let round = 0; round < 15; round++) this.#next();
  }

  below(bound: number): number {
    return Math.floor((this.#next() / TWO_32) * bound);
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = this.#next() & 0xff;
    return bytes;
  }

  uuid(): string {
    const bytes = this.bytes(16);
    const view = new DataView(bytes.buffer);
    view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x40);
    view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
    const hex = Buffer.from(bytes).toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.#next() < probability * TWO_32;
  }

  /** An integer, `low` ≤ n ≤ `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A generator of its own, so that one component's draws do not shift another's. */
  fork(): SimRandom {
    return new SimRandom(this.#next());
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }
}
