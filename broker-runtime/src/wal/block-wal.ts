import { invariant } from '../base/errors.ts';
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
import { GroupWal } from './groups/group-wal.ts';
import { WalMismatchError, type WalListener } from './wal.ts';

export { WalCorruptionError, type WalDamage } from './block/errors.ts';
export { formatBlockWal, isBlank } from './block/format.ts';
export type { BlockWalOptions, MayAcknowledge } from './block/options.ts';
export type { WalBudget } from './block/pacer.ts';
export { recoverBlockWal, type BlockWalRecovery } from './block/recovery.ts';

/** The write-ahead log on raw block devices: a circular log on each device of a stripe set, one order over all. */
export class BlockWal extends GroupWal {
  readonly maxEntryBytes: number;
  readonly #devices: readonly BlockDevice[];
  readonly #space: StripeSpace;
  protected readonly memory: GroupMemory;
  protected readonly writer: GroupWriter;
  readonly #checkpointer: Checkpointer;

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
    super(env, listener, 'a device did not finish its writes, or no fence proof came,');
    this.#devices = recovery.devices;
    this.maxEntryBytes = settings.maxEntryBytes;
    this.#space = new StripeSpace(recovery.devices, start, settings.maxGroupBytes);
    const [first] = recovery.devices;
    invariant(first !== undefined, 'wal', 'a log has at least one device');
    const freeTrimmed = (): void => {
      if (this.#space.isTrimUnsaved) this.#checkpointer.hurry();
    };
    const onError = (error: unknown): void => {
      this.fail(error);
    };
    this.memory = new GroupMemory({
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
    this.writer = new GroupWriter({
      devices: this.#space.members,
      queue: this.memory.queue,
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
        this.memory.askForRoom();
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
      onSaved: (freed) => {
        this.#onSaved(freed);
      },
      onError,
    });
  }

  /** Without what was trimmed: it is written over as soon as it is needed. */
  get usedBytes(): number {
    return this.#space.usedBytes + this.memory.queue.sizeBytes;
  }

  get capacityBytes(): number {
    return this.#space.capacityBytes;
  }

  /** The volume is, or may be, somebody else's: fails as after a refused write. */
  fence(cause: Error): void {
    this.fail(cause);
  }

  protected async trimMedium(sequence: number): Promise<void> {
    this.#space.trim(sequence);
    const saved = this.#checkpointer.trim(sequence);
    this.memory.askForRoom();
    await saved;
  }

  protected finishMedium(): Promise<void> {
    return this.#checkpointer.finish();
  }

  protected stopMedium(error: Error): void {
    this.#checkpointer.stop(error);
  }

  protected async releaseMedium(): Promise<void> {
    await this.#checkpointer.idle;
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  #onSaved(freed: Checkpoint): void {
    this.#space.free(freed.startPositions);
    this.writer.pump();
    this.memory.admitWaiting();
    this.memory.askForRoom();
  }

  #checkpoint(): Checkpoint {
    return {
      startSequence: this.#space.trimmedSequence + 1,
      ackedUpTo: this.writer.durableSequence,
      startPositions: this.#space.trimmedPositions,
    };
  }
}
