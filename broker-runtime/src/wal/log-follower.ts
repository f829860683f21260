import { ClosedError, messageOf, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { findFloor } from './conditional/floor.ts';
import { DEFAULT_GRACE_PERIOD_MS, FloorProof } from './conditional/floor-proof.ts';
import { Images } from './conditional/images.ts';
import { LogReader } from './conditional/log-reader.ts';
import type { LogTarget } from './conditional/log-reader.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { SequenceWaiters } from './conditional/sequence-waiters.ts';
import type { Image, JournalRecord } from './journal.ts';

export { TooManyWaitersError } from './conditional/sequence-waiters.ts';

/** Callers that may wait for an entry at once: each is a command somebody waits for. */
const MAX_WAITING = 10_000;

export interface LogFollowerOptions {
  /** Gives up the opening, and closes the follower afterwards. */
  readonly signal?: AbortSignal;
  /** The grace period of the cluster's writers; see ConditionalLogOptions. */
  readonly gracePeriodMs?: number;
}

/** `entry`: the records of the entry with this sequence. `everything`: a snapshot replaced the whole state. */
export type Applied = 'entry' | 'everything';

export type AppliedListener = (sequence: number, applied: Applied) => void;

/**
 * Follows the log without ever writing to it: folds entries into images of its own, in order, each checked. What
 * the images show is committed. Entries come from the bucket ({@link catchUp}) or, as stored, from whoever has
 * them ({@link apply}); both may happen at the same time.
 */
export class LogFollower {
  readonly clusterId: string;
  readonly #store: RetryingStore;
  readonly #abort: AbortController;
  readonly #images: Images;
  readonly #reader: LogReader;
  readonly #waiters = new SequenceWaiters(MAX_WAITING);
  readonly #listeners = new Set<AppliedListener>();
  readonly #target: LogTarget;
  /** Why nothing is applied any more. */
  #stoppedBy: MillraceError | undefined;
  /** Settled when no catching up is under way; the next begins behind it. */
  #lastCatchUp: Promise<unknown> = Promise.resolve();
  /** The one that has not begun yet. */
  #nextCatchUp: Promise<number> | undefined;

  /**
   * Reads what the bucket has into `images`. Waits while the store is down.
   * @returns undefined when there is no cluster in the bucket yet: the first controller creates it; ask again later
   * @throws {CorruptionError} when what is stored is damaged, incomplete or of an unknown version
   */
  static async open(
    env: Env,
    store: ObjectStore,
    images: readonly Image[],
    options: LogFollowerOptions = {},
  ): Promise<LogFollower | undefined> {
    const begunMs = env.clock.monotonicMs();
    const abort = new AbortController();
    const signals = options.signal === undefined ? [abort.signal] : [abort.signal, options.signal];
    const signal = AbortSignal.any(signals);
    const retrying = new RetryingStore(env, store, signal);
    const floor = await findFloor(env, retrying);
    if (floor === undefined) return undefined;
    const proof = new FloorProof(env.clock, options.gracePeriodMs ?? DEFAULT_GRACE_PERIOD_MS);
    const reader = new LogReader(env, retrying, floor.clusterId, proof);
    const follower = new LogFollower(env, retrying, abort, images, reader, floor.clusterId);
    await reader.load(follower.#target, 'listed');
    signal.throwIfAborted();
    signal.addEventListener('abort', () => follower.#stop(closedError()), { once: true });
    env.events.info('follower.opened', {
      clusterId: floor.clusterId,
      sequence: follower.sequence,
      epoch: follower.epoch,
      tookMs: Math.round(env.clock.monotonicMs() - begunMs),
    });
    return follower;
  }

  private constructor(
    env: Env,
    store: RetryingStore,
    abort: AbortController,
    images: readonly Image[],
    reader: LogReader,
    clusterId: string,
  ) {
    this.#store = store;
    this.#abort = abort;
    this.#images = new Images(images);
    this.#reader = reader;
    this.clusterId = clusterId;
    this.#target = {
      clear: () => this.#images.clear(),
      restore: (state, sequence) => {
        this.#changing(() => this.#images.read(state));
        env.events.info('follower.reloaded', { sequence, stateBytes: state.length });
      },
      restored: (sequence) => this.#notify(sequence, 'everything'),
      apply: (record, sequence) => this.#changing(() => this.#images.apply(record, sequence)),
      applied: (sequence) => this.#notify(sequence, 'entry'),
    };
  }

  /** Newest entry in the images. */
  get sequence(): number {
    return this.#reader.position.sequence;
  }

  /** Highest writer epoch seen. */
  get epoch(): number {
    return this.#reader.position.writerEpoch;
  }

  /** Why the bucket cannot be read at the moment, for people. */
  get trouble(): string | undefined {
    return this.#stoppedBy?.message ?? this.#store.trouble;
  }

  /**
   * Applies entries as they are stored, in order; those that are in the images already are skipped.
   * @throws {CorruptionError} damage, a gap, or entries that do not follow ours (I18, I19): not one of them was
   * applied; {@link catchUp} shows which of the two sides is wrong
   * @throws {FollowerStoppedError} an image or a listener failed
   * @throws {ClosedError}
   */
  apply(entries: readonly Uint8Array[]): void {
    this.#throwIfStopped();
    const checked = this.#reader.check(entries);
    this.#checkKinds(checked.flatMap(({ entry }) => entry.records));
    for (const next of checked) this.#reader.accept(next, this.#target);
  }

  /**
   * Applies what the bucket has beyond {@link sequence}, at least up to the end of the log at the time of the call;
   * when the floor has passed us, the snapshot replaces everything first. Waits while the store is down.
   * @returns the sequence reached
   * @throws {CorruptionError} (rejects) as {@link LogFollower.open}
   * @throws {FollowerStoppedError} (rejects)
   * @throws {ClosedError} (rejects)
   */
  catchUp(): Promise<number> {
    if (this.#nextCatchUp !== undefined) return this.#nextCatchUp;
    // What is under way may have seen the end of the log already, so all who come now share the one behind it.
    const next = this.#lastCatchUp.then(() => {
      this.#nextCatchUp = undefined;
      return this.#readOn();
    });
    this.#nextCatchUp = next;
    this.#lastCatchUp = next.catch(() => undefined);
    return next;
  }

  /**
   * Called after all records of an entry are in the images, or after a snapshot replaced them. A listener must
   * not throw, and must not apply. @returns how to stop listening
   */
  onApplied(listener: AppliedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves when the images hold `sequence`. Rejects with the signal's reason.
   * @throws {FollowerStoppedError} (rejects)
   * @throws {ClosedError} (rejects)
   * @throws {TooManyWaitersError} (rejects)
   */
  whenApplied(sequence: number, signal?: AbortSignal): Promise<void> {
    if (this.#stoppedBy !== undefined) return Promise.reject(this.#stoppedBy);
    if (this.sequence >= sequence) return Promise.resolve();
    return this.#waiters.wait(sequence, signal);
  }

  /** Ends what is under way. The images stay as they are. */
  close(): void {
    this.#abort.abort(closedError());
  }

  async #readOn(): Promise<number> {
    this.#throwIfStopped();
    await this.#reader.catchUp(this.#target, 'listed');
    return this.sequence;
  }

  /** A kind that no image has is found before anything changes (T23). */
  #checkKinds(records: readonly JournalRecord[]): void {
    for (const record of records) this.#images.image(record.kind);
  }

  /** An image that fails half-way leaves a state that no log describes: nothing is built on it (R10). */
  #changing(change: () => void): void {
    this.#throwIfStopped();
    try {
      change();
    } catch (error) {
      throw this.#stop(failedError(error));
    }
  }

  #notify(sequence: number, applied: Applied): void {
    try {
      for (const listener of this.#listeners) listener(sequence, applied);
    } catch (error) {
      throw this.#stop(failedError(error));
    }
    this.#waiters.reached(sequence);
  }

  #stop(error: MillraceError): MillraceError {
    this.#stoppedBy ??= error;
    this.#waiters.rejectAll(this.#stoppedBy);
    return this.#stoppedBy;
  }

  #throwIfStopped(): void {
    if (this.#stoppedBy !== undefined) throw this.#stoppedBy;
  }
}

/** The follower applies nothing any more: an image or a listener failed and its state is not to be trusted. */
export class FollowerStoppedError extends MillraceError {
  readonly code = 'FOLLOWER_STOPPED';
}

function closedError(): MillraceError {
  return new ClosedError('the follower of the metadata log was closed');
}

function failedError(cause: unknown): MillraceError {
  return new FollowerStoppedError(
    `the metadata log cannot be followed any more: what it says could not be applied: ${messageOf(cause)}; this ` +
      `process must stop and start again`,
    { cause },
  );
}
