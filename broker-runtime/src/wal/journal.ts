import type { ByteReader, ByteWriter } from '../base/bytes.ts';

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
  readSnapshot(reader: ByteReader): void;
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
   */
  commit<T>(decide: (sequence: number) => Decision<T>): Promise<T>;

  /** Sequence of the newest committed entry. */
  readonly committedSequence: number;

  close(): Promise<void>;
}
