import { hash } from 'node:crypto';

const DIGEST_WORDS = 4;
const BYTES_PER_SLOT = DIGEST_WORDS * 4 + 8;
/** Above this share of full slots, probing gets long. */
const MAX_LOAD = 0.75;
const EMPTY = -1;

/**
 * The newest offset of each key, in memory of fixed size: open addressing over 128 bits of the key's SHA-256 and an
 * offset, 24 bytes a slot, as Kafka's SkimpyOffsetMap. Keys themselves are not kept: two keys with one digest would be
 * taken for one, which happens with a probability of about 2^-88 for a million keys.
 */
export class OffsetMap {
  readonly #slots: number;
  readonly #digests: Int32Array;
  readonly #offsets: Float64Array;
  #size = 0;

  constructor(memoryBytes: number) {
    this.#slots = Math.max(2, Math.floor(memoryBytes / BYTES_PER_SLOT));
    this.#digests = new Int32Array(this.#slots * DIGEST_WORDS);
    this.#offsets = new Float64Array(this.#slots).fill(EMPTY);
  }

  get size(): number {
    return this.#size;
  }

  /** Keys that can still be added. */
  get free(): number {
    return Math.floor(this.#slots * MAX_LOAD) - this.#size;
  }

  /** Notes that `key` was written at `offset`, which is newer than all before. */
  put(key: Uint8Array, offset: number): void {
    const digest = digestOf(key);
    const slot = this.#find(digest);
    if (this.#offsets[slot] === EMPTY) {
      this.#size++;
      for (let word = 0; word < DIGEST_WORDS; word++) {
        this.#digests[slot * DIGEST_WORDS + word] = digest.readInt32LE(word * 4);
      }
    }
    this.#offsets[slot] = offset;
  }

  /** The newest offset of `key`; -1 when it is not in the map. */
  get(key: Uint8Array): number {
    return this.#offsets[this.#find(digestOf(key))] ?? EMPTY;
  }

  /** The slot that holds the digest, or the empty one where it belongs. */
  #find(digest: Buffer): number {
    for (let slot = digest.readUInt32LE(16) % this.#slots; ; slot = (slot + 1) % this.#slots) {
      if (this.#offsets[slot] === EMPTY || this.#isAt(slot, digest)) return slot;
    }
  }

  #isAt(slot: number, digest: Buffer): boolean {
    for (let word = 0; word < DIGEST_WORDS; word++) {
      if (this.#digests[slot * DIGEST_WORDS + word] !== digest.readInt32LE(word * 4)) return false;
    }
    return true;
  }
}

function digestOf(key: Uint8Array): Buffer {
  return hash('sha256', key, 'buffer');
}
