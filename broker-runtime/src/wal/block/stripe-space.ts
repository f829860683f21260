import type { BlockDevice } from '../../ports/block-device.ts';
import { Ring, ringBytesOf } from './ring.ts';

/** One device of the stripe set, and its ring. */
export interface StripeMember {
  readonly device: BlockDevice;
  readonly ring: Ring;
}

/** The space of the whole stripe set: the rings of its devices, which are trimmed and freed together. */
export class StripeSpace {
  readonly members: readonly StripeMember[];
  readonly capacityBytes: number;
  readonly #rings: readonly Ring[];
  readonly #keptFreeBytes: number;
  #trimmedSequence: number;

  /** @param start - of the log: what is trimmed already, and where each ring begins */
  constructor(
    devices: readonly BlockDevice[],
    start: { readonly ackedUpTo: number; readonly startPositions: readonly number[] },
    maxGroupBytes: number,
  ) {
    this.members = devices.map((device, index) => ({
      device,
      ring: new Ring(ringBytesOf(device.capacityBytes), start.startPositions[index] ?? 0),
    }));
    this.#rings = this.members.map(({ ring }) => ring);
    this.#trimmedSequence = start.ackedUpTo;
    this.capacityBytes = this.#sum((ring) => ring.ringBytes);
    // On every device: the end of a lap may take away the size of one group, and a group must find its size in one
    // piece on some device, not in sum over all.
    this.#keptFreeBytes = 2 * devices.length * maxGroupBytes;
  }

  /** What groups can take at most. */
  get usableBytes(): number {
    return this.capacityBytes - this.#keptFreeBytes;
  }

  /** Without what was trimmed: it is written over as soon as it is needed. */
  get usedBytes(): number {
    return this.#sum((ring) => ring.usedBytes);
  }

  /** Whether groups of `bytes` in all find their place, whatever their sizes are. */
  hasRoom(bytes: number): boolean {
    return bytes + this.#keptFreeBytes <= this.#sum((ring) => ring.writableBytes);
  }

  /** The newest group that was trimmed. */
  get trimmedSequence(): number {
    return this.#trimmedSequence;
  }

  /** Where a recovery would begin, for each device. */
  get trimmedPositions(): number[] {
    return this.#rings.map((ring) => ring.trimmedPosition);
  }

  /** Something was trimmed, and superblocks that say so would free it. */
  get isTrimUnsaved(): boolean {
    return this.#rings.some((ring) => ring.unsavedBytes > 0);
  }

  trim(sequence: number): void {
    if (sequence <= this.#trimmedSequence) return;
    this.#trimmedSequence = sequence;
    for (const ring of this.#rings) ring.trim(sequence);
  }

  /** Both superblocks of each device name a start at or after its position. */
  free(startPositions: readonly number[]): void {
    for (const [index, ring] of this.#rings.entries()) {
      const position = startPositions[index];
      if (position !== undefined) ring.free(position);
    }
  }

  #sum(of: (ring: Ring) => number): number {
    return this.#rings.reduce((sum, ring) => sum + of(ring), 0);
  }
}
