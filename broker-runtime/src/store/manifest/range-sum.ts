import type { StreamRange } from '../stream.ts';

const { floor, imul } = Math;

/**
 * An order-free checksum of a set of ranges (a "setsum", invariant I26): the sum of a hash of each, in two lanes
 * modulo 2^32. Adding and removing in any order give the same sum, so live + destroyed = ever committed can be
 * checked at every commit without walking the set. It guards our bookkeeping, not against an adversary.
 */
export class RangeSum {
  high: number;
  low: number;

  constructor(high = 0, low = 0) {
    this.high = high >>> 0;
    this.low = low >>> 0;
  }

  add(streamId: number, range: StreamRange): void {
    this.high = (this.high + hash(0x9e37_79b9, streamId, range)) >>> 0;
    this.low = (this.low + hash(0x85eb_ca6b, streamId, range)) >>> 0;
  }

  subtract(streamId: number, range: StreamRange): void {
    this.high = (this.high - hash(0x9e37_79b9, streamId, range)) >>> 0;
    this.low = (this.low - hash(0x85eb_ca6b, streamId, range)) >>> 0;
  }

  /** Whether `this` and `other` together are `whole`. */
  completes(other: RangeSum, whole: RangeSum): boolean {
    return (this.high + other.high) >>> 0 === whole.high && (this.low + other.low) >>> 0 === whole.low;
  }
}

function hash(seed: number, streamId: number, range: StreamRange): number {
  let state = mix(seed, streamId);
  state = mix(state, range.startOffset);
  state = mix(state, range.endOffset);
  state = mix(state, range.objectId);
  return mix(state, range.sizeBytes);
}

/** The finalizer of MurmurHash3 over both halves of a safe integer. */
function mix(state: number, value: number): number {
  let h = state ^ (value | 0) ^ imul(floor(value / 0x1_0000_0000) | 0, 0xcc9e_2d51);
  h = imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
