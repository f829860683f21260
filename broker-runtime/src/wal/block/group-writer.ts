import type { Clock, Timer } from '../../ports/clock.ts';
import type { GroupQueue } from '../groups/group-queue.ts';
import type { MediumWriter } from '../groups/group-wal.ts';
import type { Group } from '../groups/group.ts';
import { WalClosedError } from '../wal.ts';
import { GROUP_HEADER_BYTES, writeGroupHeader } from './group-layout.ts';
import type { MayAcknowledge } from './options.ts';
import { Pacer, type WalBudget } from './pacer.ts';
import { deviceOffset } from './ring.ts';
import type { StripeMember } from './stripe-space.ts';

/** One device of the stripe set with what is under way on it. */
interface Lane extends StripeMember {
  readonly pacer: Pacer;
  inFlight: number;
}

export interface GroupWriterOptions {
  readonly devices: readonly StripeMember[];
  readonly queue: GroupQueue;
  readonly clock: Clock;
  readonly logId: Uint8Array;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  /** Writes under way on one device at a time. */
  readonly writesInFlight: number;
  readonly budget: WalBudget | undefined;
  /** The newest group that is durable already. */
  readonly durableSequence: number;
  /** Asked for each group when it and all before it are written. */
  readonly mayAcknowledge: MayAcknowledge;
  /** In sequence order. */
  readonly onDurable: (group: Group) => void;
  /** After some groups became durable. */
  readonly onProgress: () => void;
  readonly onRoomWanted: () => void;
  /** A failed write, a lost fence or a broken invariant, also one of a listener: nothing is acknowledged any more. */
  readonly onError: (error: unknown) => void;
}

/**
 * Hands groups to the devices, in sequence order, each to the next device that has a slot, budget and room, and
 * reports them in sequence order, whatever order the devices finish in. Recovery leans on both: what follows a hole
 * was never acknowledged, and no group is further from the last acknowledged one than {@link windowGroups}.
 */
export class GroupWriter implements MediumWriter {
  /** Recovery must know it: a group further on than this proves that a missing one was acknowledged. */
  readonly windowGroups: number;
  readonly #options: GroupWriterOptions;
  readonly #lanes: readonly Lane[];
  /** Under way or waiting for an earlier one, in sequence order. */
  readonly #pending: Group[] = [];
  #nextLane = 0;
  #durableSequence: number;
  #timer: Timer | undefined;
  #stopped = false;
  /** The fence proof is not there yet: written groups stay pending. */
  #isHeld = false;
  #onIdle: (() => void) | undefined;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
    this.#lanes = options.devices.map(({ device, ring }) => ({
      device,
      ring,
      pacer: new Pacer(options.budget),
      inFlight: 0,
    }));
    this.windowGroups = windowGroupsOf(options.devices.length, options.writesInFlight);
    this.#durableSequence = options.durableSequence;
  }

  get durableSequence(): number {
    return this.#durableSequence;
  }

  /** Writes what can be written now; called whenever a group, a slot, budget or room appeared. */
  pump(): void {
    this.#guard(() => {
      const { queue } = this.#options;
      for (let group = queue.first; group !== undefined && !this.#stopped; group = queue.first) {
        if (group.sequence - this.#durableSequence > this.windowGroups) return;
        const lane = this.#laneFor(group.sizeBytes);
        if (lane === undefined) return;
        queue.shift();
        void this.#write(group, lane);
      }
    });
  }

  /** Writes nothing any more and gives back what will never be acknowledged. */
  stop(): Group[] {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#onIdle?.();
    return this.#pending.splice(0);
  }

  /** Resolves when all is written and acknowledged or the writer stopped, and no write is under way. */
  async drained(): Promise<void> {
    this.pump();
    while (
      this.#lanes.some((lane) => lane.inFlight > 0) ||
      (!this.#stopped && (this.#options.queue.first !== undefined || this.#pending.length > 0))
    ) {
      await new Promise<undefined>((resolve) => {
        this.#onIdle = () => {
          resolve(undefined);
        };
      });
    }
  }

  #laneFor(sizeBytes: number): Lane | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    let waitMs = Number.POSITIVE_INFINITY;
    let isRoomShort = false;
    for (let tried = 0; tried < this.#lanes.length; tried++) {
      const index = (this.#nextLane + tried) % this.#lanes.length;
      const lane = this.#lanes[index];
      if (lane === undefined || lane.inFlight >= this.#options.writesInFlight) continue;
      if (lane.ring.placeFor(sizeBytes) < 0) {
        isRoomShort = true;
        continue;
      }
      const delayMs = lane.pacer.delayMs(nowMs);
      if (delayMs <= 0) {
        this.#nextLane = (index + 1) % this.#lanes.length;
        return lane;
      }
      waitMs = Math.min(waitMs, delayMs);
    }
    if (waitMs !== Number.POSITIVE_INFINITY) this.#pumpIn(waitMs);
    else if (isRoomShort) this.#options.onRoomWanted();
    return undefined;
  }

  #pumpIn(delayMs: number): void {
    this.#timer ??= this.#options.clock.timer(delayMs, () => {
      this.#timer = undefined;
      this.pump();
    });
  }

  /** Never rejects. */
  async #write(group: Group, lane: Lane): Promise<void> {
    const { clock } = this.#options;
    const position = lane.ring.placeFor(group.sizeBytes);
    lane.ring.take(group.sequence, position, group.sizeBytes);
    lane.pacer.spend(clock.monotonicMs(), group.sizeBytes);
    lane.inFlight++;
    this.#pending.push(group);
    const bytes = this.#seal(group, lane, position);
    try {
      await lane.device.write(deviceOffset(position, lane.ring.ringBytes), bytes);
      group.written = true;
    } catch (error) {
      this.#options.onError(error);
    }
    lane.inFlight--;
    this.#guard(() => {
      this.#report();
    });
    this.pump();
    this.#onIdle?.();
  }

  #seal(group: Group, lane: Lane, position: number): Uint8Array {
    const { logId, nodeId, nodeEpoch } = this.#options;
    const { bytes, contentBytes, payloadCrc } = group.seal();
    writeGroupHeader(bytes, {
      deviceIndex: this.#lanes.indexOf(lane),
      logId,
      nodeId,
      nodeEpoch,
      sequence: group.sequence,
      entryCount: group.entries.length,
      position,
      ackedUpTo: this.#durableSequence,
      payloadBytes: contentBytes - GROUP_HEADER_BYTES,
      payloadCrc,
    });
    return bytes;
  }

  #report(): void {
    const { mayAcknowledge, onDurable, onProgress } = this.#options;
    for (let group = this.#pending[0]; group?.written === true && !this.#isHeld; group = this.#pending[0]) {
      // No await between this answer and the acknowledgement, which relies on it (I7).
      const answer = mayAcknowledge();
      if (answer !== true) {
        void this.#hold(group, answer);
        break;
      }
      this.#durableSequence = group.sequence;
      onDurable(group);
      this.#pending.shift();
      group.acknowledge();
    }
    onProgress();
  }

  /** Never rejects. Nothing is acknowledged until `proof` came and was asked for again. */
  async #hold(group: Group, proof: Promise<void>): Promise<void> {
    this.#isHeld = true;
    try {
      await proof;
    } catch (cause) {
      this.#options.onError(
        new WalClosedError(
          `group ${group.sequence} is written, but this broker may be fenced: it is not acknowledged`,
          { cause },
        ),
      );
      return;
    }
    this.#isHeld = false;
    this.#guard(() => {
      this.#report();
    });
    this.pump();
    this.#onIdle?.();
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

export function windowGroupsOf(deviceCount: number, writesInFlight: number): number {
  return deviceCount * writesInFlight;
}
