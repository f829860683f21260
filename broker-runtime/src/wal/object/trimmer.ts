import { invariant } from '../../base/errors.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { RetryingStore } from '../conditional/retrying-store.ts';
import { groupKey } from './keys.ts';

/** What S3 takes in one request. */
const DELETE_BATCH_KEYS = 1_000;

export interface TrimPoint {
  readonly trimmedUpTo: number;
  readonly ackedUpTo: number;
}

export interface TrimmerOptions {
  readonly store: RetryingStore;
  readonly clock: Clock;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  /** Between the starts of two rounds: each costs a read and a put of the fence. */
  readonly intervalMs: number;
  /** What the fence says already. */
  readonly saved: TrimPoint;
  readonly ackedUpTo: () => number;
  /** Writes the trim point into the fence; throws when the log is not ours any more. */
  readonly save: (point: TrimPoint) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

interface Round {
  readonly promise: Promise<undefined>;
  readonly resolve: (nothing: undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Deletes what is in committed objects, in rounds: first the fence says how far, then the objects go. A crash between
 * the two leaves objects that no recovery reads; they go with the next epoch. One round is under way and one collects
 * what is trimmed meanwhile.
 *
 * An object that is deleted here was acknowledged, so its put had a certain answer (R4). An earlier try of that put
 * may still land afterwards (P4): below the trim point, where nobody looks.
 */
export class Trimmer {
  readonly #options: TrimmerOptions;
  #saved: TrimPoint;
  #wanted: number;
  #running: Round | undefined;
  #next: Round | undefined;
  #timer: Timer | undefined;
  #lastStartMs = Number.NEGATIVE_INFINITY;
  #stopped: Error | undefined;

  constructor(options: TrimmerOptions) {
    this.#options = options;
    this.#saved = options.saved;
    this.#wanted = options.saved.trimmedUpTo;
  }

  /** Resolves when the groups up to `sequence` are deleted. */
  trim(sequence: number): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (sequence > this.#wanted) {
      this.#wanted = sequence;
      this.#next ??= newRound();
    }
    const promise = (this.#next ?? this.#running)?.promise ?? Promise.resolve();
    this.#schedule();
    return promise;
  }

  /** Runs what is left, and says in the fence how far the log was acknowledged: then the loss of any of it shows. */
  async finish(): Promise<void> {
    await this.#running?.promise;
    while (this.#stopped === undefined && this.#isStale()) {
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#next ??= newRound();
      const { promise } = this.#next;
      this.#run();
      await promise;
    }
  }

  stop(error: Error): void {
    this.#stopped = error;
    this.#timer?.cancel();
    this.#running?.reject(error);
    this.#next?.reject(error);
  }

  #isStale(): boolean {
    return this.#wanted > this.#saved.trimmedUpTo || this.#options.ackedUpTo() > this.#saved.ackedUpTo;
  }

  #schedule(): void {
    if (this.#next === undefined || this.#running !== undefined || this.#timer !== undefined) return;
    const { clock, intervalMs } = this.#options;
    const waitMs = Math.max(0, this.#lastStartMs + intervalMs - clock.monotonicMs());
    this.#timer = clock.timer(waitMs, () => {
      this.#timer = undefined;
      this.#run();
    });
  }

  #run(): void {
    const round = this.#next;
    invariant(round !== undefined && this.#running === undefined, 'wal', 'one trim at a time');
    this.#next = undefined;
    this.#running = round;
    this.#lastStartMs = this.#options.clock.monotonicMs();
    void this.#work(round);
  }

  /** Never rejects. */
  async #work(round: Round): Promise<void> {
    const { save, ackedUpTo, onError } = this.#options;
    const from = this.#saved.trimmedUpTo;
    const point = { trimmedUpTo: this.#wanted, ackedUpTo: ackedUpTo() };
    try {
      await save(point);
      this.#saved = point;
      await deleteGroups(this.#options, from + 1, point.trimmedUpTo);
      round.resolve(undefined);
      this.#running = undefined;
      if (this.#stopped === undefined) this.#schedule();
    } catch (error) {
      if (this.#stopped === undefined) onError(error);
    }
  }
}

/** Numbers `from` to `to`; one that is not there counts as deleted. */
export async function deleteGroups(
  where: { readonly store: RetryingStore; readonly nodeId: number; readonly nodeEpoch: number },
  from: number,
  to: number,
): Promise<void> {
  for (let first = from; first <= to; first += DELETE_BATCH_KEYS) {
    const length = Math.min(DELETE_BATCH_KEYS, to - first + 1);
    const keys = Array.from({ length }, (_, at) => groupKey(where.nodeId, where.nodeEpoch, first + at));
    await where.store.delete(keys);
  }
}

function newRound(): Round {
  const round = Promise.withResolvers<undefined>();
  // Whoever does not wait learns of a failure elsewhere; it must not end the process as an unhandled rejection.
  round.promise.catch(() => undefined);
  return round;
}
