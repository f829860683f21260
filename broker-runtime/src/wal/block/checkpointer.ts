import { DEVICE_BLOCK_BYTES, type BlockDevice } from '../../ports/block-device.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import { invariant } from '../../base/errors.ts';
import { writeSuperblock, type Superblock } from './superblock.ts';

/** What changes from superblock to superblock while the log is open. */
export interface Checkpoint {
  readonly startSequence: number;
  readonly ackedUpTo: number;
  /** One for each device. */
  readonly startPositions: readonly number[];
}

/** A device with the superblock that is newest on it, and the slot (0 or 1) where that one stands. */
export interface SuperblockHome {
  readonly device: BlockDevice;
  newest: Superblock;
  newestSlot: number;
}

/** Everything in a superblock that an open log never changes. */
export type LogIdentity = Pick<
  Superblock,
  'clusterId' | 'nodeId' | 'logId' | 'nodeEpoch' | 'windowGroups' | 'maxGroupBytes'
>;

/**
 * Writes superblocks, on all devices side by side, always over the older of the two slots.
 */
export class SuperblockWriter {
  readonly #homes: readonly SuperblockHome[];
  readonly #identity: LogIdentity;
  readonly #blocks: readonly Uint8Array[];
  #generation: number;

  constructor(homes: readonly SuperblockHome[], identity: LogIdentity) {
    this.#homes = homes;
    this.#identity = identity;
    this.#blocks = homes.map((home) => home.device.allocate(DEVICE_BLOCK_BYTES));
    this.#generation = Math.max(...homes.map((home) => home.newest.generation));
  }

  /** @throws {BlockDeviceError} (rejects) */
  async write(checkpoint: Checkpoint): Promise<void> {
    const generation = ++this.#generation;
    await Promise.all(
      this.#homes.map(async (home, index) => {
        const startPosition = checkpoint.startPositions[index];
        const block = this.#blocks[index];
        invariant(
          startPosition !== undefined && block !== undefined,
          'I28',
          'a checkpoint covers every device',
        );
        const superblock: Superblock = {
          ...this.#identity,
          deviceIndex: index,
          deviceCount: this.#homes.length,
          capacityBytes: home.device.capacityBytes,
          generation,
          startPosition,
          startSequence: checkpoint.startSequence,
          ackedUpTo: checkpoint.ackedUpTo,
        };
        writeSuperblock(superblock, block);
        const slot = 1 - home.newestSlot;
        await home.device.write(slot * DEVICE_BLOCK_BYTES, block);
        home.newest = superblock;
        home.newestSlot = slot;
      }),
    );
  }
}

/**
 * Keeps the superblocks near the truth at a bounded rate: one round each `intervalMs` while something changed, more
 * only while an append waits for space that a superblock would free.
 *
 * Two things are kept. The start: space is free when both slots say so (see Ring). And how far the log was
 * acknowledged: the headers of groups tell it only for the groups before them, so without this nothing would prove
 * the last groups of an idle log. With it, at most the groups acknowledged within the last interval are unproven.
 */
export class Checkpointer {
  readonly #write: (checkpoint: Checkpoint) => Promise<void>;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #current: () => Checkpoint;
  /** `freed`: the older of the two durable superblocks. */
  readonly #onSaved: (freed: Checkpoint) => void;
  readonly #onError: (error: unknown) => void;
  readonly #trims: (PromiseWithResolvers<undefined> & { readonly sequence: number })[] = [];
  #newest: Checkpoint;
  #older: Checkpoint;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #urgent = false;
  #stopped = false;

  constructor(options: {
    readonly write: (checkpoint: Checkpoint) => Promise<void>;
    readonly clock: Clock;
    readonly intervalMs: number;
    readonly saved: Checkpoint;
    readonly current: () => Checkpoint;
    readonly onSaved: (freed: Checkpoint) => void;
    readonly onError: (error: unknown) => void;
  }) {
    this.#write = options.write;
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#current = options.current;
    this.#onSaved = options.onSaved;
    this.#onError = options.onError;
    this.#newest = options.saved;
    this.#older = options.saved;
  }

  /** Resolves when a superblock names a start behind `sequence`. */
  async trim(sequence: number): Promise<void> {
    if (sequence < this.#newest.startSequence) return;
    const waiter = { sequence, ...Promise.withResolvers<undefined>() };
    this.#trims.push(waiter);
    this.schedule();
    await waiter.promise;
  }

  /** Something changed: it will be saved within the interval. */
  schedule(): void {
    if (this.#stopped || this.#timer !== undefined || this.#writing !== undefined || !this.#isDirty()) return;
    this.#timer = this.#clock.timer(this.#intervalMs, () => {
      this.#start();
    });
  }

  /** Somebody waits for what a superblock would free. */
  hurry(): void {
    this.#urgent = true;
    if (this.#writing === undefined) this.#start();
  }

  /** Saves the final state; rejects when it cannot. */
  async finish(): Promise<void> {
    this.#halt();
    await this.#writing;
    while (this.#isDirty()) await this.#save();
  }

  /** Starts no write any more, and nobody waits for one. */
  stop(error: Error): void {
    this.#halt();
    for (const waiter of this.#trims.splice(0)) waiter.reject(error);
  }

  /** The write under way, if any; never rejects. */
  get idle(): Promise<void> | undefined {
    return this.#writing;
  }

  #halt(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#stopped) return;
    this.#writing = this.#save().catch((error: unknown) => {
      this.#stopped = true;
      this.#onError(error);
    });
  }

  async #save(): Promise<void> {
    const checkpoint = this.#current();
    this.#urgent = false;
    await this.#write(checkpoint);
    this.#older = this.#newest;
    this.#newest = checkpoint;
    this.#writing = undefined;
    this.#tellTrimmed();
    this.#onSaved(this.#older);
    if (this.#isUrgent()) this.#start();
    else this.schedule();
  }

  #tellTrimmed(): void {
    while (this.#trims[0] !== undefined && this.#trims[0].sequence < this.#newest.startSequence) {
      this.#trims.shift()?.resolve(undefined);
    }
  }

  /** Asked for again by whom `onSaved` told; a method, because the compiler does not see that call change it. */
  #isUrgent(): boolean {
    return this.#urgent && this.#writing === undefined;
  }

  #isDirty(): boolean {
    const current = this.#current();
    return (
      current.startSequence !== this.#newest.startSequence ||
      current.ackedUpTo !== this.#newest.ackedUpTo ||
      current.startPositions.some(
        (position, index) =>
          position !== this.#newest.startPositions[index] || position !== this.#older.startPositions[index],
      )
    );
  }
}
