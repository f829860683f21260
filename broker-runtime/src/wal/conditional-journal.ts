import { invariant } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { CommittedEntries } from './conditional/committed-entries.ts';
import type { RecentEntries } from './conditional/committed-entries.ts';
import { DecidedTogether, DecisionQueue } from './conditional/decision-queue.ts';
import { Images } from './conditional/images.ts';
import { ConditionalLog, SupersededError } from './conditional-log.ts';
import type { ConditionalLogOptions, LogPosition } from './conditional-log.ts';
import { JournalClosedError } from './journal.ts';
import type { Decision, Image, Journal, JournalRecord } from './journal.ts';

export type { RecentEntries } from './conditional/committed-entries.ts';
export { TooManyWaitersError } from './conditional/sequence-waiters.ts';

/** How long a closing journal lets the store finish what is under way. */
const CLOSE_PATIENCE_MS = 5_000;

export interface ConditionalJournalOptions extends ConditionalLogOptions {
  /** A snapshot is due after this many entries, or bytes of entries: what the next start has to replay. */
  readonly snapshotEveryEntries?: number;
  readonly snapshotEveryBytes?: number;
  /** The journal failed: nothing more can be committed, the broker must stop. Not called for {@link Journal.close}. */
  readonly onFailed?: (error: JournalClosedError) => void;
}

/**
 * The journal over the log on conditional puts. While an entry is being appended, decisions wait; they are made
 * together when it is committed and go into the next entry (group commit), so the rate of puts is bounded by the
 * store's latency and not by the rate of decisions, and images are never more than one entry ahead of the log.
 */
export class ConditionalJournal implements Journal {
  readonly #env: Env;
  readonly #log: ConditionalLog;
  readonly #images: Images;
  readonly #committed: CommittedEntries;
  readonly #onFailed: (error: JournalClosedError) => void;
  readonly #snapshotEveryEntries: number;
  readonly #snapshotEveryBytes: number;
  readonly #queue = new DecisionQueue();
  #committing: Promise<void> | undefined;
  #maintenance: Promise<void> | undefined;
  #closedBy: JournalClosedError | undefined;
  #snapshotSequence = 0;
  #bytesSinceSnapshot = 0;

  /**
   * Creates the cluster's log or opens it: replays it into `images` and takes it over from earlier writers.
   * Waits while the store is down.
   * @throws {CorruptionError} when what is stored is damaged, incomplete or of an unknown version
   * @throws {SupersededError} when another process keeps writing
   */
  static async open(
    env: Env,
    store: ObjectStore,
    images: readonly Image[],
    options: ConditionalJournalOptions,
  ): Promise<ConditionalJournal> {
    const begunMs = env.clock.monotonicMs();
    const log = await ConditionalLog.open(env, store, options);
    const journal = new ConditionalJournal(env, log, images, options);
    await journal.#replay();
    env.events.info('journal.opened', {
      clusterId: log.clusterId,
      sequence: log.sequence,
      epoch: log.epoch,
      replayedEntries: log.sequence - journal.#snapshotSequence,
      tookMs: Math.round(env.clock.monotonicMs() - begunMs),
    });
    journal.#maintain(undefined);
    return journal;
  }

  private constructor(
    env: Env,
    log: ConditionalLog,
    images: readonly Image[],
    options: ConditionalJournalOptions,
  ) {
    this.#env = env;
    this.#log = log;
    this.#images = new Images(images);
    this.#committed = new CommittedEntries(env.clock);
    this.#onFailed = options.onFailed ?? ((): void => undefined);
    this.#snapshotEveryEntries = options.snapshotEveryEntries ?? 1_000;
    this.#snapshotEveryBytes = options.snapshotEveryBytes ?? 16 * 1024 * 1024;
  }

  get clusterId(): string {
    return this.#log.clusterId;
  }

  get committedSequence(): number {
    return this.#log.sequence;
  }

  /** What this writer took the log over with: of every entry it appends, until another takes over. */
  get epoch(): number {
    return this.#log.epoch;
  }

  get trouble(): string | undefined {
    return this.#closedBy?.message ?? this.#log.trouble;
  }

  commit<T>(decide: (sequence: number) => Decision<T>): Promise<T> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    const answer = this.#queue.add(decide, this.trouble);
    this.#committing ??= this.#commitWaiting();
    return answer;
  }

  /** What followers ask for; see {@link CommittedEntries.after}. */
  entriesAfter(sequence: number, maxBytes: number): RecentEntries {
    return this.#committed.after(sequence, maxBytes);
  }

  /**
   * Calls `listener` for every entry when it is committed and the images stand exactly at it, before those who
   * decided it are answered. @returns how to stop listening
   */
  onCommitted(listener: (sequence: number) => void): () => void {
    return this.#committed.onCommitted(listener);
  }

  /**
   * True as soon as there is an entry behind `sequence`, false when there was none in `maxWaitMs`.
   * @throws {JournalClosedError} (rejects) the journal was closed or failed
   * @throws {TooManyWaitersError} (rejects) as many as may wait do
   */
  waitForEntries(sequence: number, maxWaitMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.#committed.waitFor(sequence, maxWaitMs, signal);
  }

  async close(): Promise<void> {
    const error = new JournalClosedError('the journal was closed');
    this.#closedBy ??= error;
    this.#queue.rejectAll(error);
    this.#committed.close(error);
    const patience = this.#env.clock.timer(CLOSE_PATIENCE_MS, () => this.#log.close());
    await this.#committing;
    await this.#maintenance;
    patience.cancel();
    this.#log.close();
  }

  async #replay(): Promise<void> {
    const target = {
      restore: (state: Uint8Array, sequence: number): void => {
        this.#begin(sequence);
        this.#images.read(state);
      },
      restored: (sequence: number): void => this.#committed.restart(sequence),
      clear: (): void => {
        this.#begin(0);
        this.#committed.restart(0);
        this.#images.clear();
      },
      apply: (record: JournalRecord, sequence: number): void => {
        this.#bytesSinceSnapshot += record.bytes.length;
        this.#images.apply(record, sequence);
      },
      applied: (sequence: number, bytes: Uint8Array): void => this.#committed.add(sequence, bytes),
    };
    await this.#log.load(target);
    await this.#log.takeOver(target);
  }

  /** Counting starts at a snapshot, or at nothing. */
  #begin(sequence: number): void {
    this.#snapshotSequence = sequence;
    this.#bytesSinceSnapshot = 0;
  }

  /** Commits entry after entry until nobody waits. Never rejects: failures go to those who wait. */
  async #commitWaiting(): Promise<void> {
    // Let everybody who decides in this turn in.
    await Promise.resolve();
    while (!this.#queue.isEmpty && this.#closedBy === undefined) {
      const decided = new DecidedTogether();
      try {
        this.#queue.decide(this.#log.sequence + 1, this.#images, decided);
        if (decided.records.length > 0) await this.#append(decided.records);
      } catch (error) {
        this.#fail(error, decided);
        break;
      }
      decided.resolve();
    }
    this.#committing = undefined;
  }

  async #append(records: readonly JournalRecord[]): Promise<void> {
    const sequence = this.#log.sequence + 1;
    for (const record of records) this.#bytesSinceSnapshot += record.bytes.length;
    const isDue =
      this.#maintenance === undefined &&
      (sequence - this.#snapshotSequence >= this.#snapshotEveryEntries ||
        this.#bytesSinceSnapshot >= this.#snapshotEveryBytes);
    // Now the images stand exactly at the entry about to be appended; later they are ahead again.
    const state = isDue ? this.#images.write() : undefined;
    const { bytes } = await this.#log.append(records);
    this.#committed.add(sequence, bytes);
    if (state === undefined) return;
    const position = this.#log.position();
    invariant(position.sequence === sequence, 'I20', 'a snapshot stands at the entry its state was taken at');
    this.#begin(sequence);
    this.#maintain({ position, state });
  }

  /** In the background: a snapshot if there is one to write, then the deletion of what became unreachable. */
  #maintain(snapshot: { readonly position: LogPosition; readonly state: Uint8Array } | undefined): void {
    const { events } = this.#env;
    const work = async (): Promise<void> => {
      try {
        if (snapshot !== undefined) {
          await this.#log.snapshot(snapshot.position, snapshot.state);
          events.info('journal.snapshot', {
            sequence: snapshot.position.sequence,
            stateBytes: snapshot.state.length,
          });
        }
        const deleted = await this.#log.deleteOld();
        if (deleted > 0) events.info('journal.deleted-old', { objects: deleted });
      } catch (error) {
        // The log itself stands: the old floor is valid until the new one is. The next snapshot tries again.
        if (this.#closedBy === undefined) {
          events.error('journal.maintenance-failed', {
            cause: error instanceof Error ? error.message : String(error),
          });
        }
      } finally {
        this.#maintenance = undefined;
      }
    };
    this.#maintenance = work();
  }

  #fail(cause: unknown, decided: DecidedTogether): void {
    const wasClosed = this.#closedBy !== undefined;
    const message = cause instanceof Error ? cause.message : String(cause);
    const error =
      cause instanceof SupersededError
        ? new JournalClosedError(`${message}; this process must stop and start again`, { cause })
        : new JournalClosedError(`the metadata log cannot be written any more: ${message}`, { cause });
    this.#closedBy ??= error;
    decided.reject(error);
    this.#queue.rejectAll(error);
    this.#committed.close(error);
    if (wasClosed) return;
    this.#env.events.error('journal.failed', { cause: message });
    this.#log.close();
    this.#onFailed(error);
  }
}
