import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';

/**
 * A part of the replicated state, folded from the records of its kind. Images of different rooms share one
 * journal, so one entry may change several of them atomically (a topic and its streams).
 */
export interface Image {
  /** One byte on disk, unique among the images of a journal and never reused. */
  readonly kind: number;
  /** Folds one record in. Deterministic; must accept every record ever committed, or throw to stop the reader. */
  apply(record: Uint8Array, sequence: number): void;
  /** The same state gives the same bytes, whoever writes them (I20). */
  writeSnapshot(writer: ByteWriter): void;
  /** Replaces the whole state; what the reader lends must be copied if it is kept. */
  readSnapshot(reader: ByteReader): void;
  /** Back to the state before the first entry. */
  clear(): void;
}

export interface JournalRecord {
  readonly kind: number;
  readonly bytes: Uint8Array;
}

export interface Decision<T> {
  readonly records: readonly JournalRecord[];
  readonly result: T;
}

/**
 * The metadata log with its images: group commit of decisions over the log on conditional puts (protocol 3.3).
 */
export interface Journal {
  /**
   * Runs `decide` against the images as all earlier decisions left them, applies its records, and resolves when
   * the entry that carries them is committed. `decide` is synchronous and runs exactly once; when it throws, that
   * call alone is rejected and nothing changes. Between apply and commit the images are ahead of the log: act on
   * the outside world only after the promise resolved.
   * @throws {JournalClosedError} (rejects) when another writer took over or the log failed: state must be reloaded
   * @throws {JournalBusyError} (rejects) when too many decisions wait already
   * @throws {DecisionTooLargeError} (rejects) when the records do not fit one entry
   */
  commit<T>(decide: (sequence: number) => Decision<T>): Promise<T>;

  /** Sequence of the newest committed entry. */
  readonly committedSequence: number;

  /** Random UUID of the cluster as Kafka prints it, given at its first start. */
  readonly clusterId: string;

  /** Why commits are not getting through at the moment, for people; undefined while all goes well. */
  readonly trouble: string | undefined;

  /** Ends what is under way if the store answers in time, then closes. The images must not be used afterwards. */
  close(): Promise<void>;
}

/**
 * The journal commits nothing any more: it was closed, or another process took the cluster over. A decision that
 * was under way may or may not be in the log: never report it as failed, stop and let the next start find out.
 */
export class JournalClosedError extends MillraceError {
  readonly code = 'JOURNAL_CLOSED';
}

/** More decisions wait than the journal is allowed to hold; nothing of this one was done, try later. */
export class JournalBusyError extends MillraceError {
  readonly code = 'JOURNAL_BUSY';
}

/** One decision has more bytes than an entry may carry; nothing of it was done. */
export class DecisionTooLargeError extends MillraceError {
  readonly code = 'DECISION_TOO_LARGE';
}
