import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { GroupMemory } from './groups/group-memory.ts';
import { GroupWal } from './groups/group-wal.ts';
import type { Group } from './groups/group.ts';
import { checkClusterId, LOG_ID_BYTES } from './log-owner.ts';
import type { FenceRecord } from './object/fence-record.ts';
import { checkSelf, claiming, WalFence } from './object/fence.ts';
import { headBytesOf, type LogIdentity } from './object/layout.ts';
import { ObjectWriter } from './object/object-writer.ts';
import { OBJECT_BYTES_MIN, objectSettingsOf, type ObjectWalOptions } from './object/options.ts';
import type { ObjectWalRecovery } from './object/recovery.ts';
import { sweepOlderEpochs } from './object/sweep.ts';
import { Trimmer } from './object/trimmer.ts';
import type { WalListener } from './wal.ts';

export { WalFenceLostError } from './object/fence-record.ts';
export type { FencedBy } from './object/fence.ts';
export type { ObjectWalOptions } from './object/options.ts';
export {
  fenceObjectWal,
  recoverObjectWal,
  type FenceProof,
  type ObjectWalMedium,
  type ObjectWalRecovery,
} from './object/recovery.ts';

interface Opening {
  readonly env: Env;
  readonly store: RetryingStore;
  readonly abort: AbortController;
  readonly fence: WalFence;
  readonly log: LogIdentity;
  readonly lastSequence: number;
  readonly options: ObjectWalOptions;
  readonly listener: WalListener;
}

/**
 * The write-ahead log in the bucket: each group is an object of its own. Survives the loss of a zone; costs a round trip
 * to the store for the put and one for the fence, and money for both (see {@link ObjectWalOptions}).
 */
export class ObjectWal extends GroupWal {
  readonly maxEntryBytes: number;
  readonly capacityBytes: number;
  readonly #store: RetryingStore;
  readonly #abort: AbortController;
  protected readonly memory: GroupMemory;
  protected readonly writer: ObjectWriter;
  readonly #trimmer: Trimmer;
  /** What is in the bucket and not trimmed; the capacity bounds them. */
  readonly #costs: { readonly sequence: number; readonly bytes: number }[] = [];
  #costBytes = 0;

  /**
   * Takes the log over under a new epoch, empty. `recovery` must have been read to its end and its entries be in
   * committed objects, because opening gives up the old log. Waits while the store is down.
   * @throws {WalMismatchError} the epoch is not newer, or the fence is of another cluster
   * @throws {WalFenceLostError} somebody else fenced the log since it was recovered
   * @throws {WalOptionsError}
   */
  static async open(
    recovery: ObjectWalRecovery,
    objects: ObjectStore,
    options: ObjectWalOptions,
    env: Env,
    listener: WalListener,
  ): Promise<ObjectWal> {
    const lastSequence = recovery.endSequence;
    const { owner } = recovery;
    checkClusterId(owner.clusterId);
    objectSettingsOf(options, headBytesOf(owner.clusterId));
    const abort = new AbortController();
    const store = new RetryingStore(env, objects, abort.signal, 'wal');
    const fence = new WalFence(env, store, owner);
    const log = { ...owner, nodeEpoch: options.nodeEpoch, logId: env.random.bytes(LOG_ID_BYTES) };
    const claim = { nodeEpoch: options.nodeEpoch, logId: hex(log.logId), endSequence: lastSequence };
    await fence.swap((current) => claiming(current, recovery.proof.by, claim));
    env.events.info('wal.opened', { nodeEpoch: options.nodeEpoch, firstSequence: lastSequence + 1 });
    const wal = new ObjectWal({ env, store, abort, fence, log, lastSequence, options, listener });
    void sweepOlderEpochs(env, store, owner.nodeId, options.nodeEpoch);
    return wal;
  }

  private constructor({ env, store, abort, fence, log, lastSequence, options, listener }: Opening) {
    super(env, listener, 'the object store did not answer');
    const headBytes = headBytesOf(log.clusterId);
    const settings = objectSettingsOf(options, headBytes);
    const checkFence = (current: FenceRecord | undefined): void => {
      checkSelf(current, log.nodeEpoch, hex(log.logId));
    };
    this.#store = store;
    this.#abort = abort;
    this.maxEntryBytes = settings.maxEntryBytes;
    this.capacityBytes = settings.capacityBytes;
    this.memory = new GroupMemory({
      settings,
      clock: env.clock,
      allocate: (bytes) => new Uint8Array(bytes),
      headBytes,
      firstSequence: lastSequence + 1,
      capacityBytes: settings.capacityBytes,
      // By the sizes of memory: small objects may exceed it by a little, and the bucket does not mind.
      hasRoom: (bytes) => this.#costBytes + bytes <= this.capacityBytes,
      onMemoryWanted: (bytes) => {
        listener.onMemoryWanted(bytes);
      },
    });
    const onError = (error: unknown): void => {
      this.fail(error);
    };
    this.writer = new ObjectWriter({
      store,
      queue: this.memory.queue,
      clock: env.clock,
      log,
      headBytes,
      putsInFlight: settings.putsInFlight,
      groupDelayMs: settings.groupDelayMs,
      durableSequence: lastSequence,
      readFence: () => fence.read(),
      checkFence,
      onStarted: (group) => {
        this.#count(group);
      },
      onDurable: (group) => {
        listener.onDurable(group);
      },
      onProgress: () => {
        this.memory.askForRoom();
      },
      onError,
    });
    this.#trimmer = new Trimmer({
      store,
      clock: env.clock,
      nodeId: log.nodeId,
      nodeEpoch: log.nodeEpoch,
      intervalMs: settings.trimIntervalMs,
      saved: { trimmedUpTo: lastSequence, ackedUpTo: lastSequence },
      ackedUpTo: () => this.writer.durableSequence,
      save: async (point) => {
        await fence.swap((current) => {
          checkFence(current);
          return point;
        });
      },
      onError,
    });
  }

  get usedBytes(): number {
    return this.#costBytes + this.memory.queue.sizeBytes;
  }

  /** What is being repeated and why, or undefined while all goes well. */
  get trouble(): string | undefined {
    return this.#store.trouble;
  }

  protected async trimMedium(sequence: number): Promise<void> {
    const kept = this.#costs.findIndex((cost) => cost.sequence > sequence);
    for (const { bytes } of this.#costs.splice(0, kept < 0 ? this.#costs.length : kept)) {
      this.#costBytes -= bytes;
    }
    const deleted = this.#trimmer.trim(sequence);
    // At once: the room is in the bucket, which has more, and recovery begins behind it as soon as the fence says so.
    this.memory.admitWaiting();
    await deleted;
  }

  protected finishMedium(): Promise<void> {
    return this.#trimmer.finish();
  }

  protected stopMedium(error: Error): void {
    this.#trimmer.stop(error);
    // Ends what may still be repeated, the sweep for one.
    this.#abort.abort(error);
  }

  /** The store is the broker's. */
  protected async releaseMedium(): Promise<void> {}

  #count(group: Group): void {
    const bytes = Math.max(group.sizeBytes, OBJECT_BYTES_MIN);
    this.#costs.push({ sequence: group.sequence, bytes });
    this.#costBytes += bytes;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
