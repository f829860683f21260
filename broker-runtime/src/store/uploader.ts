import { ClosedError, invariant } from '../base/errors.ts';
import type { Timer } from '../ports/clock.ts';
import type { WalGroup } from '../wal/wal.ts';
import type { StoreContext } from './options.ts';
import { PartCollector, StreamUpload } from './stream-upload.ts';
import type { StreamPart } from './stream-upload.ts';

/** Consecutive groups on their way into objects. */
interface Cut {
  readonly groups: readonly WalGroup[];
  readonly parts: readonly StreamPart[];
  readonly lastSequence: number;
  readonly upload: StreamUpload;
  readonly slowTimer: Timer;
  isStored: boolean;
}

interface FlushWaiter {
  readonly sequence: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface UploaderListener {
  /** Everything up to this group is in committed objects: trim the WAL, let the cache evict. */
  onCommitted(sequence: number): void;
  /** The journal refused or is lost, or the object store denied us: nothing can be uploaded any more. */
  onFailed(error: Error): void;
}

/**
 * Carries durable groups into objects: cuts them by size, count, age or on demand, uploads a bounded number of cuts
 * at once and commits them strictly in order. While the object store is down it repeats for ever; the groups stay
 * where they are, and the full WAL is what slows producers.
 */
export class Uploader {
  readonly #context: StoreContext;
  readonly #listener: UploaderListener;
  readonly #cutBytes: number;
  readonly #pending: WalGroup[] = [];
  #pendingBytes = 0;
  #pendingEntries = 0;
  #ageTimer: Timer | undefined;
  #isAged = false;
  #isHurried = false;
  readonly #cuts: Cut[] = [];
  #isCommitting = false;
  #committedSequence = -1;
  #flushWaiters: FlushWaiter[] = [];
  #stopped: Error | undefined;
  #uploadedBytes = 0;
  #uploadedObjects = 0;
  #trouble: string | undefined;

  /**
   * `ringBytes`: capacity of the WAL; a cut is at most a quarter of it, or the ring would be full before the first
   * upload began.
   */
  constructor(context: StoreContext, ringBytes: number, listener: UploaderListener) {
    this.#context = context;
    this.#listener = listener;
    this.#cutBytes = Math.min(context.options.uploadBytes, Math.floor(ringBytes / 4));
  }

  get inFlight(): number {
    return this.#cuts.length;
  }
  get uploadedBytes(): number {
    return this.#uploadedBytes;
  }
  get uploadedObjects(): number {
    return this.#uploadedObjects;
  }
  get trouble(): string | undefined {
    return this.#trouble;
  }
  get committedSequence(): number {
    return this.#committedSequence;
  }

  /** Takes a durable group; groups come in sequence order, and their memory is retained by the tail cache. */
  add(group: WalGroup): void {
    if (this.#stopped !== undefined) return;
    group.retain();
    this.#pending.push(group);
    this.#pendingBytes += group.sizeBytes;
    this.#pendingEntries += group.entries.length;
    if (this.#ageTimer === undefined && !this.#isAged) this.#startAgeTimer();
    this.#cut();
  }

  /**
   * Resolves when every group up to `sequence` is committed. Groups that are not durable yet are cut when they are.
   * @throws {ClosedError} (rejects) when the uploader stops first
   */
  flush(sequence: number): Promise<void> {
    if (sequence <= this.#committedSequence) return Promise.resolve();
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    const flushed = new Promise<void>((resolve, reject) => {
      this.#flushWaiters.push({ sequence, resolve, reject });
    });
    // The partitions of a broker that closes all flush in one turn: one cut for them, not one each.
    this.#context.env.clock.afterTurn(() => {
      this.#cut();
    });
    return flushed;
  }

  /**
   * Somebody waits for memory or ring space: upload what there is, however little. While other cuts are under way
   * their completion is awaited first, or a full cache would turn every group into an object of its own.
   */
  hurry(): void {
    this.#isHurried = true;
    this.#cut();
  }

  /**
   * Stops repeating and cutting; what is not committed stays in the WAL. Groups of cuts under way stay retained:
   * a put may still be reading their memory, and the process ends soon.
   */
  stop(reason: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    this.#ageTimer?.cancel();
    for (const cut of this.#cuts) cut.slowTimer.cancel();
    for (const group of this.#pending.splice(0)) group.release();
    for (const waiter of this.#flushWaiters.splice(0)) waiter.reject(reason);
  }

  #startAgeTimer(): void {
    this.#ageTimer = this.#context.env.clock.timer(this.#context.options.uploadIntervalMs, () => {
      this.#ageTimer = undefined;
      this.#isAged = true;
      this.#cut();
    });
  }

  #isDue(): boolean {
    const first = this.#pending[0];
    return (
      first !== undefined &&
      (this.#isAged ||
        (this.#isHurried && this.#cuts.length === 0) ||
        this.#pendingBytes >= this.#cutBytes ||
        this.#pendingEntries >= this.#context.options.uploadEntries ||
        this.#isFlushWanted(first.sequence))
    );
  }

  /** Only once the group that is flushed is durable too: a backlog of the WAL would become an object per group. */
  #isFlushWanted(firstSequence: number): boolean {
    const lastSequence = this.#pending.at(-1)?.sequence ?? -1;
    return this.#flushWaiters.some(({ sequence }) => sequence >= firstSequence && sequence <= lastSequence);
  }

  #cut(): void {
    while (this.#stopped === undefined && this.#cuts.length < this.#context.options.uploadsInFlight) {
      if (!this.#isDue()) return;
      this.#startCut();
    }
  }

  #startCut(): void {
    const collector = new PartCollector();
    const groups: WalGroup[] = [];
    let bytes = 0;
    for (const group of this.#pending) {
      if (groups.length > 0 && bytes + group.sizeBytes > this.#cutBytes) break;
      groups.push(group);
      bytes += group.sizeBytes;
      for (const entry of group.entries) collector.add(entry.streamId, entry);
      if (collector.entryCount >= this.#context.options.uploadEntries) break;
    }
    const last = groups.at(-1);
    invariant(last !== undefined, 'I27', 'a cut has groups');
    this.#pending.splice(0, groups.length);
    this.#pendingBytes -= bytes;
    this.#pendingEntries -= collector.entryCount;
    if (this.#pending.length === 0) {
      // What remains is younger than what was cut: its age begins anew with the next group.
      this.#isAged = false;
      this.#isHurried = false;
      this.#ageTimer?.cancel();
      this.#ageTimer = undefined;
    }
    const { parts } = collector;
    const upload = new StreamUpload(this.#context, parts, {
      isWanted: () => this.#stopped === undefined,
      onTrouble: (reason) => this.#reportTrouble(reason),
    });
    const { slowUploadMs } = this.#context.options;
    const slowTimer = this.#context.env.clock.timer(slowUploadMs, () => {
      // What an answer said tells more than that it takes long.
      if (this.#trouble !== undefined) return;
      this.#reportTrouble(`an upload takes more than ${slowUploadMs} ms: the object store does not answer`);
    });
    const cut: Cut = { groups, parts, lastSequence: last.sequence, upload, slowTimer, isStored: false };
    this.#cuts.push(cut);
    this.#run(cut).catch((error: unknown) => {
      this.#fail(error);
    });
  }

  async #run(cut: Cut): Promise<void> {
    cut.isStored = await cut.upload.store();
    if (cut.isStored) await this.#commitStored();
  }

  /** Commits from the oldest cut on as far as cuts are stored: offsets of a stream enter the manifest in order. */
  async #commitStored(): Promise<void> {
    if (this.#isCommitting) return;
    this.#isCommitting = true;
    try {
      for (let cut = this.#cuts[0]; cut?.isStored === true; cut = this.#cuts[0]) {
        if (this.#stopped !== undefined || !(await cut.upload.commit())) return;
        this.#cuts.shift();
        this.#committed(cut);
      }
    } finally {
      this.#isCommitting = false;
    }
  }

  #committed(cut: Cut): void {
    cut.slowTimer.cancel();
    this.#checkCommitted(cut);
    this.#committedSequence = cut.lastSequence;
    this.#uploadedBytes += cut.upload.uploadedBytes;
    this.#uploadedObjects += cut.upload.objectCount;
    if (this.#trouble !== undefined) {
      this.#context.env.events.info('store.upload-recovered', { trouble: this.#trouble });
      this.#trouble = undefined;
    }
    for (const group of cut.groups) group.release();
    // Room was made: whoever still waits asks again.
    this.#isHurried = false;
    this.#listener.onCommitted(cut.lastSequence);
    const waiting = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const waiter of waiting) {
      if (waiter.sequence <= cut.lastSequence) waiter.resolve();
      else this.#flushWaiters.push(waiter);
    }
    this.#cut();
  }

  /** I27, asserted where the trim point is about to move. */
  #checkCommitted(cut: Cut): void {
    const { manifest } = this.#context;
    for (const { streamId, entries } of cut.parts) {
      const last = entries.at(-1);
      invariant(
        last === undefined ||
          !manifest.hasStream(streamId) ||
          manifest.committedOffset(streamId) >= last.baseOffset + last.count,
        'I27',
        'a group would leave the WAL before its entries are committed',
        { streamId, baseOffset: last?.baseOffset, sequence: cut.lastSequence },
      );
    }
  }

  #reportTrouble(reason: string): void {
    if (this.#trouble === undefined) this.#context.env.events.warn('store.upload-trouble', { reason });
    this.#trouble = reason;
  }

  #fail(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    if (this.#stopped === undefined) this.#listener.onFailed(cause);
    this.stop(new ClosedError(`uploads stopped: ${cause.message}`, { cause }));
  }
}
