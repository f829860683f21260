import { invariant, messageOf } from '../base/errors.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import { Checkpointer, SuperblockWriter, type Checkpoint } from './block/checkpointer.ts';
import { GROUP_HEADER_BYTES } from './block/group-layout.ts';
import { GroupWriter, windowGroupsOf } from './block/group-writer.ts';
import { settingsOf, type BlockWalOptions, type WalSettings } from './block/options.ts';
import type { BlockWalRecovery } from './block/recovery.ts';
import { ringBytesOf } from './block/ring.ts';
import { StripeSpace } from './block/stripe-space.ts';
import { GroupMemory } from './groups/group-memory.ts';
import {
  WalClosedError,
  WalMismatchError,
  type Patience,
  type Wal,
  type WalGroup,
  type WalListener,
} from './wal.ts';

export { WalCorruptionError, type WalDamage } from './block/errors.ts';
export { formatBlockWal, isBlank } from './block/format.ts';
export type { BlockWalOptions, MayAcknowledge } from './block/options.ts';
export type { WalBudget } from './block/pacer.ts';
export { recoverBlockWal, type BlockWalRecovery } from './block/recovery.ts';

/** A device that holds a write for longer does not come back in time for a stop. */
const CLOSE_PATIENCE_MS = 10_000;

/** The write-ahead log on raw block devices: a circular log on each device of a stripe set, one order over all. */
export class BlockWal implements Wal {
  /** The largest entry that {@link append} takes. */
  readonly maxEntryBytes: number;
  readonly #env: Env;
  readonly #listener: WalListener;
  readonly #devices: readonly BlockDevice[];
  readonly #space: StripeSpace;
  readonly #memory: GroupMemory;
  readonly #writer: GroupWriter;
  readonly #checkpointer: Checkpointer;
  readonly #trimWaiters: (PromiseWithResolvers<undefined> & { readonly sequence: number })[] = [];
  #isPumpScheduled = false;
  /** Why no append is taken any more. */
  #ended: Error | undefined;
  /** Failed, or closed to the end: nothing is written any more. */
  #isOver = false;
  #closing: Promise<void> | undefined;

  /**
   * Restarts the log under a new epoch, empty, a whole lap further on: whatever the ring still holds, or an old
   * process still writes, has positions of the lap before and can never pass for new (I28). `recovery` must have
   * been read to its end and its entries be in committed objects, because opening gives up the old log.
   * @throws {WalMismatchError} the epoch is not newer
   * @throws {WalOptionsError}
   * @throws {BlockDeviceError}
   */
  static async open(
    recovery: BlockWalRecovery,
    options: BlockWalOptions,
    env: Env,
    listener: WalListener,
  ): Promise<BlockWal> {
    const lastSequence = recovery.endSequence;
    if (options.nodeEpoch <= recovery.nodeEpoch) {
      throw new WalMismatchError(
        `node epoch ${options.nodeEpoch} is not above ${recovery.nodeEpoch}, with which the WAL was opened last; ` +
          'register the broker again to get a newer one',
      );
    }
    const settings = settingsOf(recovery.devices, options);
    const startPositions = recovery.homes.map(
      ({ device, newest }) => newest.startPosition + ringBytesOf(device.capacityBytes),
    );
    const start: Checkpoint = { startSequence: lastSequence + 1, ackedUpTo: lastSequence, startPositions };
    const superblocks = new SuperblockWriter(recovery.homes, {
      clusterId: recovery.owner.clusterId,
      nodeId: recovery.owner.nodeId,
      logId: recovery.logId,
      nodeEpoch: options.nodeEpoch,
      windowGroups: windowGroupsOf(recovery.devices.length, settings.writesInFlight),
      maxGroupBytes: settings.maxGroupBytes,
    });
    // Both slots: while a slot of the older epoch remained, losing the other would hide this epoch's groups.
    await superblocks.write(start);
    await superblocks.write(start);
    env.events.info('wal.opened', {
      nodeEpoch: options.nodeEpoch,
      devices: recovery.devices.length,
      firstSequence: start.startSequence,
    });
    return new BlockWal(recovery, options, settings, superblocks, start, env, listener);
  }

  private constructor(
    recovery: BlockWalRecovery,
    options: BlockWalOptions,
    settings: WalSettings,
    superblocks: SuperblockWriter,
    start: Checkpoint,
    env: Env,
    listener: WalListener,
  ) {
    this.#env = env;
    this.#listener = listener;
    this.#devices = recovery.devices;
    this.maxEntryBytes = settings.maxEntryBytes;
    this.#space = new StripeSpace(recovery.devices, start, settings.maxGroupBytes);
    const [first] = recovery.devices;
    invariant(first !== undefined, 'wal', 'a log has at least one device');
    const freeTrimmed = (): void => {
      if (this.#space.isTrimUnsaved) this.#checkpointer.hurry();
    };
    const onError = (error: unknown): void => {
      this.#fail(error);
    };
    this.#memory = new GroupMemory({
      settings,
      clock: env.clock,
      allocate: (bytes) => first.allocate(bytes),
      headBytes: GROUP_HEADER_BYTES,
      firstSequence: start.startSequence,
      capacityBytes: this.#space.usableBytes,
      hasRoom: (bytes) => this.#space.hasRoom(bytes),
      onRoomWanted: freeTrimmed,
      onMemoryWanted: (bytes) => {
        listener.onMemoryWanted(bytes);
      },
    });
    this.#writer = new GroupWriter({
      devices: this.#space.members,
      queue: this.#memory.queue,
      clock: env.clock,
      logId: recovery.logId,
      nodeId: recovery.owner.nodeId,
      nodeEpoch: options.nodeEpoch,
      writesInFlight: settings.writesInFlight,
      budget: options.budget,
      durableSequence: start.ackedUpTo,
      mayAcknowledge: options.mayAcknowledge,
      onDurable: (group) => {
        listener.onDurable(group);
      },
      onProgress: () => {
        this.#checkpointer.schedule();
        this.#memory.askForRoom();
      },
      onRoomWanted: freeTrimmed,
      onError,
    });
    this.#checkpointer = new Checkpointer({
      write: (checkpoint) => superblocks.write(checkpoint),
      clock: env.clock,
      intervalMs: settings.superblockIntervalMs,
      saved: start,
      current: () => this.#checkpoint(),
      onSaved: (newest, freed) => {
        this.#onSaved(newest, freed);
      },
      onError,
    });
  }

  /** Without what was trimmed: it is written over as soon as it is needed. */
  get usedBytes(): number {
    return this.#space.usedBytes + this.#memory.queue.sizeBytes;
  }

  get capacityBytes(): number {
    return this.#space.capacityBytes;
  }

  get waitingBytes(): number {
    return this.#memory.waitingBytes;
  }

  /** The newest acknowledged group. */
  get durableSequence(): number {
    return this.#writer.durableSequence;
  }

  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined {
    if (this.#ended !== undefined) throw this.#ended;
    return this.#memory.admit(payloadBytes, entryCount, patience);
  }

  append(
    streamId: number,
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): WalGroup {
    if (this.#ended !== undefined) throw this.#ended;
    const group = this.#memory.queue.append(streamId, baseOffset, count, maxTimestampMs, bytes, crc32c);
    if (!this.#isPumpScheduled) {
      this.#isPumpScheduled = true;
      // Once for all appends of this turn: they share a write.
      this.#env.clock.afterTurn(() => {
        this.#isPumpScheduled = false;
        this.#writer.pump();
      });
    }
    return group;
  }

  trim(sequence: number): Promise<void> {
    // Thrown at once, not as a rejection that nobody may be waiting for.
    invariant(sequence <= this.#writer.durableSequence, 'I27', 'only durable groups are trimmed', {
      sequence,
      durable: this.#writer.durableSequence,
    });
    const trimmed = this.#trim(sequence);
    // Whoever does not wait learns of a failure by `onFailed`; it must not end the process as an unhandled rejection.
    trimmed.catch(() => undefined);
    return trimmed;
  }

  async #trim(sequence: number): Promise<void> {
    if (this.#isOver) throw this.#ended ?? new WalClosedError('the WAL was closed');
    this.#space.trim(sequence);
    if (sequence < this.#checkpointer.savedStartSequence) return;
    const waiter = { sequence, ...Promise.withResolvers<undefined>() };
    this.#trimWaiters.push(waiter);
    this.#checkpointer.schedule();
    this.#memory.askForRoom();
    await waiter.promise;
  }

  /** The volume is, or may be, somebody else's: fails as after a refused write. */
  fence(cause: Error): void {
    this.#fail(cause);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended ??= new WalClosedError('the WAL was closed');
    this.#memory.rejectAll(this.#ended);
    this.#writer.pump();
    const patience = new AbortController();
    const late = this.#env.clock.sleep(CLOSE_PATIENCE_MS, patience.signal).then(
      () => false,
      () => true,
    );
    if (await Promise.race([this.#finish(), late])) patience.abort();
    // The devices are left to the end of the process: the write that hangs still reads our memory.
    else {
      const why = `a device did not finish its writes, or no fence proof came, within ${CLOSE_PATIENCE_MS} ms`;
      this.#fail(new Error(why));
    }
  }

  async #finish(): Promise<boolean> {
    await this.#writer.drained();
    if (!this.#isOver) await this.#saveFinalState();
    await this.#checkpointer.idle;
    await Promise.all(this.#devices.map((device) => device.close()));
    return true;
  }

  async #saveFinalState(): Promise<void> {
    try {
      await this.#checkpointer.finish();
      this.#isOver = true;
      for (const waiter of this.#trimWaiters.splice(0)) waiter.resolve(undefined);
    } catch (error) {
      this.#fail(error);
    }
  }

  #onSaved(newest: Checkpoint, freed: Checkpoint): void {
    this.#space.free(freed.startPositions);
    while (this.#trimWaiters[0] !== undefined && this.#trimWaiters[0].sequence < newest.startSequence) {
      this.#trimWaiters.shift()?.resolve(undefined);
    }
    this.#writer.pump();
    this.#memory.admitWaiting();
    this.#memory.askForRoom();
  }

  #fail(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const why = messageOf(cause);
    const error = new WalClosedError(`the WAL failed and acknowledges nothing any more: ${why}`, { cause });
    this.#ended = error;
    this.#env.events.error('wal.failed', { error: why });
    this.#checkpointer.stop();
    for (const group of [...this.#writer.stop(), ...this.#memory.queue.drop()]) group.fail(error);
    this.#memory.rejectAll(error);
    for (const waiter of this.#trimWaiters.splice(0)) waiter.reject(error);
    this.#listener.onFailed(error);
  }

  #checkpoint(): Checkpoint {
    return {
      startSequence: this.#space.trimmedSequence + 1,
      ackedUpTo: this.#writer.durableSequence,
      startPositions: this.#space.trimmedPositions,
    };
  }
}
