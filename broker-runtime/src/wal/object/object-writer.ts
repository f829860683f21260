import type { Clock, Timer } from '../../ports/clock.ts';
import type { RetryingStore } from '../conditional/retrying-store.ts';
import type { GroupQueue } from '../groups/group-queue.ts';
import type { MediumWriter } from '../groups/group-wal.ts';
import type { Group } from '../groups/group.ts';
import { WalMismatchError } from '../wal.ts';
import { FenceCheck } from './fence-check.ts';
import type { FenceRecord } from './fence-record.ts';
import { groupKey } from './keys.ts';
import { encodeHead, type LogIdentity } from './layout.ts';

/** Reads of an occupied slot that differ from what we wrote, before it counts as another's: the fault may be on the way. */
const OCCUPANT_READS = 3;

export interface ObjectWriterOptions {
  readonly store: RetryingStore;
  readonly queue: GroupQueue;
  readonly clock: Clock;
  readonly log: LogIdentity;
  readonly headBytes: number;
  readonly putsInFlight: number;
  /** A group that is not full starts no sooner after the put before. */
  readonly groupDelayMs: number;
  /** The newest group that is durable already. */
  readonly durableSequence: number;
  readonly readFence: () => Promise<FenceRecord | undefined>;
  /** Throws when the log is not ours any more. */
  readonly checkFence: (fence: FenceRecord | undefined) => void;
  readonly onStarted: (group: Group) => void;
  /** In sequence order. */
  readonly onDurable: (group: Group) => void;
  /** After some groups became durable. */
  readonly onProgress: () => void;
  /** Denied, fenced, a slot that is another's, or a listener that threw: nothing is acknowledged any more. */
  readonly onError: (error: unknown) => void;
}

/** A group from the start of its put until it is acknowledged. */
interface Flight {
  readonly group: Group;
  /** The read of the fence that proves it; none will before the put has finished. */
  provenBy: number;
}

/**
 * Puts groups into the bucket, several at once, and acknowledges them in sequence order. Recovery leans on the order:
 * what follows a hole was never acknowledged.
 *
 * An idle log writes at once. A busy one lets a group fill for `groupDelayMs` since the put before, because every put
 * is billed; a full group does not wait. When all puts are under way, groups fill up to their size by themselves.
 */
export class ObjectWriter implements MediumWriter {
  readonly #options: ObjectWriterOptions;
  readonly #fence: FenceCheck;
  /** Under way, or waiting for the fence or for an earlier one, in sequence order; the WAL's memory bounds them. */
  readonly #flights: Flight[] = [];
  #putsUnderWay = 0;
  #durableSequence: number;
  #provenRound = 0;
  #lastStartMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #isHurried = false;
  #isStopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: ObjectWriterOptions) {
    this.#options = options;
    this.#durableSequence = options.durableSequence;
    this.#fence = new FenceCheck({
      read: options.readFence,
      check: options.checkFence,
      onProven: (round) => {
        this.#provenRound = round;
        this.#report();
      },
      onError: options.onError,
    });
  }

  get durableSequence(): number {
    return this.#durableSequence;
  }

  /** Starts what can start now; called whenever a group or a slot appeared. */
  pump(): void {
    const { queue, putsInFlight, groupDelayMs, clock } = this.#options;
    for (let group = queue.first; group !== undefined && !this.#isStopped; group = queue.first) {
      if (this.#putsUnderWay >= putsInFlight) return;
      // Full when another one was begun behind it.
      const isFull = queue.sizeBytes > group.sizeBytes;
      const waitMs = this.#lastStartMs + groupDelayMs - clock.monotonicMs();
      if (!isFull && !this.#isHurried && waitMs > 0) {
        this.#pumpIn(waitMs);
        return;
      }
      queue.shift();
      void this.#put(group);
    }
  }

  /** Starts and acknowledges nothing any more and gives back what will never be acknowledged. */
  stop(): Group[] {
    this.#isStopped = true;
    this.#fence.stop();
    this.#timer?.cancel();
    this.#onIdle?.();
    return this.#flights.splice(0).map(({ group }) => group);
  }

  /** Lets nothing wait to be filled any more. Resolves when all is acknowledged, or the writer stopped. */
  async drained(): Promise<void> {
    this.#isHurried = true;
    this.pump();
    while (!this.#isStopped && (this.#flights.length > 0 || this.#options.queue.first !== undefined)) {
      await new Promise<undefined>((resolve) => {
        this.#onIdle = () => {
          resolve(undefined);
        };
      });
    }
  }

  #pumpIn(delayMs: number): void {
    this.#timer ??= this.#options.clock.timer(delayMs, () => {
      this.#timer = undefined;
      this.pump();
    });
  }

  /** Never rejects. */
  async #put(group: Group): Promise<void> {
    const { store, clock, log, onStarted, onError } = this.#options;
    const flight: Flight = { group, provenBy: Number.POSITIVE_INFINITY };
    this.#flights.push(flight);
    this.#putsUnderWay++;
    this.#lastStartMs = clock.monotonicMs();
    const key = groupKey(log.nodeId, log.nodeEpoch, group.sequence);
    try {
      onStarted(group);
      const bytes = this.#seal(group);
      const answer = await store.put(key, bytes, { kind: 'absent' });
      if (answer.outcome === 'rejected') await this.#checkOccupant(key, bytes);
      group.written = true;
      if (!this.#isStopped) flight.provenBy = this.#fence.ask();
    } catch (error) {
      onError(error);
    }
    this.#putsUnderWay--;
    this.pump();
  }

  #seal(group: Group): Uint8Array {
    const { log, headBytes } = this.#options;
    const { bytes, contentBytes, payloadCrc } = group.seal();
    const head = encodeHead(log, {
      sequence: group.sequence,
      entryCount: group.entries.length,
      ackedUpTo: this.#durableSequence,
      payloadBytes: contentBytes - headBytes,
      payloadCrc,
    });
    bytes.set(head);
    return bytes.subarray(0, contentBytes);
  }

  /** The slot is taken: by an earlier try of ours whose answer was lost (P1), or by another process. */
  async #checkOccupant(key: string, bytes: Uint8Array): Promise<void> {
    for (let read = 1; read <= OCCUPANT_READS; read++) {
      const occupant = await this.#options.store.get(key);
      if (occupant === undefined) break;
      if (Buffer.compare(occupant.body, bytes) === 0) return;
    }
    throw new WalMismatchError(
      `${key} holds other bytes than this broker put there: another process writes as this node and epoch, or ` +
        'deletes its objects; stop it, and register the broker again',
    );
  }

  #report(): void {
    const { onDurable, onProgress } = this.#options;
    const before = this.#durableSequence;
    for (
      let first = this.#flights[0];
      first !== undefined && first.provenBy <= this.#provenRound && !this.#isStopped;
      first = this.#flights[0]
    ) {
      this.#durableSequence = first.group.sequence;
      onDurable(first.group);
      this.#flights.shift();
      first.group.acknowledge();
    }
    if (this.#durableSequence > before) onProgress();
    this.#onIdle?.();
  }
}
