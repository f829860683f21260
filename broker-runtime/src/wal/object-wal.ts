import { invariant, messageOf } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { GroupMemory } from './groups/group-memory.ts';
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
import { WalClosedError, type Patience, type Wal, type WalGroup, type WalListener } from './wal.ts';

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

/** A store that is silent for longer does not come back in time for a stop. */
const CLOSE_PATIENCE_MS = 10_000;

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
export class ObjectWal implements Wal {
  /** The largest entry that {@link append} takes. */
  readonly maxEntryBytes: number;
  readonly capacityBytes: number;
  readonly #env: Env;
  readonly #listener: WalListener;
  readonly #store: RetryingStore;
  readonly #abort: AbortController;
  readonly #memory: GroupMemory;
  readonly #writer: ObjectWriter;
  readonly #trimmer: Trimmer;
  /** What is in the bucket and not trimmed; the capacity bounds them. */
  readonly #costs: { readonly sequence: number; readonly bytes: number }[] = [];
  #costBytes = 0;
  #isPumpScheduled = false;
  /** Why no append is taken any more. */
  #ended: Error | undefined;
  /** Failed, or closed to the end: nothing is written any more. */
  #isOver = false;
  #closing: Promise<void> | undefined;

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
    const headBytes = headBytesOf(log.clusterId);
    const settings = objectSettingsOf(options, headBytes);
    const checkFence = (current: FenceRecord | undefined): void => {
      checkSelf(current, log.nodeEpoch, hex(log.logId));
    };
    this.#env = env;
    this.#listener = listener;
    this.#store = store;
    this.#abort = abort;
    this.maxEntryBytes = settings.maxEntryBytes;
    this.capacityBytes = settings.capacityBytes;
    this.#memory = new GroupMemory({
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
      this.#fail(error);
    };
    this.#writer = new ObjectWriter({
      store,
      queue: this.#memory.queue,
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
        this.#memory.askForRoom();
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
      ackedUpTo: () => this.#writer.durableSequence,
      save: async (point) => {
        await fence.swap((current) => {
          checkFence(current);
          return point;
        });
      },
      onError,
    });
  }

  get waitingBytes(): number {
    return this.#memory.waitingBytes;
  }

  get usedBytes(): number {
    return this.#costBytes + this.#memory.queue.sizeBytes;
  }

  /** The newest acknowledged group. */
  get durableSequence(): number {
    return this.#writer.durableSequence;
  }

  /** What is being repeated and why, or undefined while all goes well. */
  get trouble(): string | undefined {
    return this.#store.trouble;
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
    const { queue } = this.#memory;
    const group = queue.append(streamId, baseOffset, count, maxTimestampMs, bytes, crc32c);
    if (!this.#isPumpScheduled) {
      this.#isPumpScheduled = true;
      // Once for all appends of this turn: they share a put.
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
    const kept = this.#costs.findIndex((cost) => cost.sequence > sequence);
    for (const { bytes } of this.#costs.splice(0, kept < 0 ? this.#costs.length : kept)) {
      this.#costBytes -= bytes;
    }
    const deleted = this.#trimmer.trim(sequence);
    // At once: the room is in the bucket, which has more, and recovery begins behind it as soon as the fence says so.
    this.#memory.admitWaiting();
    await deleted;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended ??= new WalClosedError('the WAL was closed');
    this.#memory.rejectAll(this.#ended);
    this.#writer.hurry();
    const patience = new AbortController();
    const late = this.#env.clock.sleep(CLOSE_PATIENCE_MS, patience.signal).then(
      () => false,
      () => true,
    );
    if (await Promise.race([this.#finish(), late])) patience.abort();
    else this.#fail(new Error(`the object store did not answer within ${CLOSE_PATIENCE_MS} ms`));
    // Ends what may still be repeated, the sweep for one.
    this.#abort.abort(this.#ended);
  }

  async #finish(): Promise<boolean> {
    await this.#writer.drained();
    if (this.#isOver) return true;
    try {
      await this.#trimmer.finish();
      this.#isOver = true;
      this.#trimmer.stop(this.#ended ?? new WalClosedError('the WAL was closed'));
    } catch (error) {
      this.#fail(error);
    }
    return true;
  }

  #count(group: Group): void {
    const bytes = Math.max(group.sizeBytes, OBJECT_BYTES_MIN);
    this.#costs.push({ sequence: group.sequence, bytes });
    this.#costBytes += bytes;
  }

  #fail(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const why = messageOf(cause);
    const error = new WalClosedError(`the WAL failed and acknowledges nothing any more: ${why}`, { cause });
    this.#ended = error;
    this.#env.events.error('wal.failed', { error: why });
    for (const group of [...this.#writer.stop(), ...this.#memory.queue.drop()]) group.fail(error);
    this.#trimmer.stop(error);
    this.#memory.rejectAll(error);
    this.#abort.abort(error);
    this.#listener.onFailed(error);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
