import { invariant } from '../../base/errors.ts';
import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';

/** Two superblocks stand before the ring. */
export const RING_START_BYTES = 2 * DEVICE_BLOCK_BYTES;

export function ringBytesOf(capacityBytes: number): number {
  return capacityBytes - RING_START_BYTES;
}

/** Positions count up for ever; the place on the device follows from them, lap after lap. */
export function deviceOffset(position: number, ringBytes: number): number {
  return RING_START_BYTES + (position % ringBytes);
}

/**
 * The space of one device's ring.
 *
 *        freed          trimmed                 head
 *   ·······│▒▒▒▒▒▒▒▒▒▒▒▒▒▒│████████████████████████│········
 *          │ may not be   │ needed by recovery     │ may be written, up to freed + ringBytes
 *          │ rewritten yet│                        │
 *
 * What lies below `trimmed` is in committed objects (I27). It may be rewritten only below `freed`, the start that
 * *both* superblocks of the device name: a crash, or damage to either of them, then never makes recovery begin
 * at overwritten bytes (I28).
 *
 * A group is one write, so it never crosses the end of a lap: what is left there is skipped.
 */
export class Ring {
  readonly ringBytes: number;
  #head: number;
  #trimmed: number;
  #freed: number;
  readonly #groups = new PairQueue();

  constructor(ringBytes: number, startPosition: number) {
    this.ringBytes = ringBytes;
    this.#head = startPosition;
    this.#trimmed = startPosition;
    this.#freed = startPosition;
  }

  get trimmedPosition(): number {
    return this.#trimmed;
  }

  /** Bytes that a recovery would need. */
  get usedBytes(): number {
    return this.#head - this.#trimmed;
  }

  get writableBytes(): number {
    return this.#freed + this.ringBytes - this.#head;
  }

  /** Trimmed, but a superblock that says so is not durable yet. */
  get unsavedBytes(): number {
    return this.#trimmed - this.#freed;
  }

  /** Where a group of `sizeBytes` would go, or -1 while there is no room. */
  placeFor(sizeBytes: number): number {
    const lapLeftBytes = this.ringBytes - (this.#head % this.ringBytes);
    const position = sizeBytes <= lapLeftBytes ? this.#head : this.#head + lapLeftBytes;
    return position + sizeBytes <= this.#freed + this.ringBytes ? position : -1;
  }

  take(sequence: number, position: number, sizeBytes: number): void {
    invariant(position === this.placeFor(sizeBytes), 'I28', 'a group goes where the ring has room', {
      sequence,
      position,
      sizeBytes,
    });
    this.#head = position + sizeBytes;
    this.#groups.push(sequence, this.#head);
  }

  trim(sequence: number): void {
    while (this.#groups.length > 0 && this.#groups.firstKey <= sequence) {
      this.#trimmed = this.#groups.firstValue;
      this.#groups.shift();
    }
  }

  /** Both superblocks name a start at or after `position`. */
  free(position: number): void {
    invariant(
      position >= this.#freed && position <= this.#trimmed,
      'I28',
      'space is freed up to the trim only',
      {
        position,
        freed: this.#freed,
        trimmed: this.#trimmed,
      },
    );
    this.#freed = position;
  }
}

/** A queue of number pairs without an object for each: a ring full of 4 KiB groups has millions of them. */
class PairQueue {
  #pairs = new Float64Array(256);
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }
  get firstKey(): number {
    return this.#pairs[this.#first] ?? Number.NaN;
  }
  get firstValue(): number {
    return this.#pairs[this.#first + 1] ?? Number.NaN;
  }

  push(key: number, value: number): void {
    if (this.#length * 2 === this.#pairs.length) this.#grow();
    const at = (this.#first + this.#length * 2) % this.#pairs.length;
    this.#pairs[at] = key;
    this.#pairs[at + 1] = value;
    this.#length++;
  }

  shift(): void {
    this.#first = (this.#first + 2) % this.#pairs.length;
    this.#length--;
  }

  #grow(): void {
    const grown = new Float64Array(this.#pairs.length * 2);
    const tail = this.#pairs.subarray(this.#first);
    grown.set(tail);
    grown.set(this.#pairs.subarray(0, this.#first), tail.length);
    this.#pairs = grown;
    this.#first = 0;
  }
}
