import type { AppendResult } from '../log/partition-log.ts';

/** Key and value of one record of `__consumer_offsets`; value null deletes what the key names. */
export interface OffsetRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** What a coordinator partition needs of its log: one partition of `__consumer_offsets`. */
export interface OffsetsLog {
  /** One record batch of these records, ready to append. */
  encode(records: readonly OffsetRecord[]): Uint8Array;

  /**
   * Admission to the WAL; undefined means at once. First come, first served, so records keep the order in which their
   * writers asked.
   * @throws (or rejects) when it can never be admitted
   */
  admit(sizeBytes: number): Promise<void> | undefined;

  /** Appends an admitted batch in this turn; `durable` settles in the order of appends. */
  append(batch: Uint8Array): AppendResult;

  /**
   * Visits every record, oldest first. The bytes are valid during the call only.
   * @throws (rejects) when the log cannot be read, or is damaged: the groups must not be served then
   */
  replay(visit: (record: OffsetRecord, offset: number) => void): Promise<void>;
}
