import { InvariantViolation } from '../../base/errors.ts';
import { DecisionTooLargeError, JournalBusyError } from '../journal.ts';
import type { Decision, JournalRecord } from '../journal.ts';
import type { Images } from './images.ts';

/** Decisions that may wait for the entry under way. Each is a request somebody waits for. */
const MAX_WAITING = 10_000;
/** An entry takes in no further decision from this size on: a put of this size takes about as long as a small one. */
const ENTRY_FULL_BYTES = 256 * 1024;
/** What one decision may have: ten thousand partitions created at once have about a tenth of it. */
const MAX_DECISION_BYTES = 4 * 1024 * 1024;

interface Waiting {
  readonly decide: (sequence: number) => Decision<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Decisions whose records are in the images and not in the log yet; each is answered once. */
export class DecidedTogether {
  readonly records: JournalRecord[] = [];
  readonly #answers: { readonly waiting: Waiting; readonly result: unknown }[] = [];

  add(waiting: Waiting, { records, result }: Decision<unknown>): void {
    this.#answers.push({ waiting, result });
    for (const record of records) this.records.push(record);
  }

  resolve(): void {
    for (const { waiting, result } of this.#answers) waiting.resolve(result);
  }

  reject(error: Error): void {
    for (const { waiting } of this.#answers) waiting.reject(error);
  }
}

/** Decisions that wait for their entry, in the order they were asked for. */
export class DecisionQueue {
  #waiting: Waiting[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** @throws {JournalBusyError} (rejects) as many as may wait do; `trouble` says what for */
  add<T>(decide: (sequence: number) => Decision<T>, trouble: string | undefined): Promise<T> {
    if (this.#waiting.length >= MAX_WAITING) {
      const why = trouble === undefined ? '' : ` (${trouble})`;
      return Promise.reject(
        new JournalBusyError(`${MAX_WAITING} decisions wait for the metadata log already${why}`),
      );
    }
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ decide, resolve: (result) => resolve(result as T), reject });
    });
  }

  /**
   * Makes decisions for the entry of this sequence until it is full, each on top of the ones before.
   * @throws {InvariantViolation} and leaves in `decided` what was decided before it
   */
  decide(sequence: number, images: Images, decided: DecidedTogether): void {
    let bytes = 0;
    let taken = 0;
    for (const waiting of this.#waiting) {
      if (bytes >= ENTRY_FULL_BYTES) break;
      taken++;
      let decision: Decision<unknown>;
      try {
        decision = waiting.decide(sequence);
        bytes += checkedSize(decision.records, images);
      } catch (error) {
        // A broken invariant is not an answer to this caller alone: the state cannot be trusted (R10).
        if (error instanceof InvariantViolation) throw error;
        waiting.reject(error);
        continue;
      }
      decided.add(waiting, decision);
      for (const record of decision.records) images.apply(record, sequence);
    }
    this.#waiting = this.#waiting.slice(taken);
  }

  rejectAll(error: Error): void {
    for (const waiting of this.#waiting) waiting.reject(error);
    this.#waiting = [];
  }
}

function checkedSize(records: readonly JournalRecord[], images: Images): number {
  let bytes = 0;
  for (const record of records) {
    images.image(record.kind);
    bytes += record.bytes.length;
  }
  if (bytes > MAX_DECISION_BYTES) {
    throw new DecisionTooLargeError(
      `one change has ${bytes} bytes of metadata records, at most ${MAX_DECISION_BYTES} fit an entry: split the request`,
    );
  }
  return bytes;
}
