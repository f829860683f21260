import type { ErrorCode } from '../wire/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';
import type { Traffic } from './traffic.ts';

export type { LogConfig } from '../wire/log-config.ts';

/**
 * One partition with Kafka's semantics over a stream of the store: offsets, leader epochs, idempotence, high
 * watermark, timestamps, retention, compaction. An append is checked and takes its offset in one turn of the event
 * loop: there is no await between check and act, which is what keeps (pid, epoch, sequence) exact.
 */
export interface PartitionLog {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly logStartOffset: number;
  /** One past the last durable offset; only below it is anything served (I9). */
  readonly highWatermark: number;
  /** Equals the high watermark while no transaction is open. */
  readonly lastStableOffset: number;
  readonly logEndOffset: number;
  readonly traffic: Readonly<Traffic>;
  /** Bytes between log start and end, as DescribeLogDirs and retention count them. */
  readonly sizeBytes: number;

  /**
   * Validates one record batch, assigns its offsets in place (the header's base offset, leader epoch and, for
   * LogAppendTime, time and CRC) and appends it. Synchronous; the caller admitted the bytes in this turn.
   * Never throws for bad input: `error` says what to answer, and nothing was stored.
   */
  append(batch: Uint8Array, options: AppendOptions): AppendResult;

  /**
   * What to answer for a batch that was refused before it could be appended. The partition hears of it for the sake of what
   * the producer sent behind it.
   */
  refuse(batch: Uint8Array, error: ErrorCode): AppendResult;

  /**
   * Batches from the one containing `fromOffset` on. At least one whole batch when `minOneBatch`, else none that
   * exceeds `maxBytes` (KIP-74). Synchronous when the bytes are in the tail cache.
   */
  read(fromOffset: number, maxBytes: number, options: ReadOptions): LogRead | Promise<LogRead>;

  /** Bytes a read from `fromOffset` could return now, counted up to `limit`: what MinBytes is compared with. */
  availableBytes(fromOffset: number, limit: number, isolation: Isolation): number;

  /** Calls back when high watermark, last stable offset or log start moved. Returns the way to stop. */
  onAdvance(listener: () => void): () => void;

  /** ListOffsets by time: the first record with a timestamp at or above the target. */
  offsetForTimestamp(timestampMs: number): Promise<TimestampOffset | undefined>;
  /** ListOffsets -3 (KIP-734): the record with the largest timestamp, the first of equals. */
  maxTimestamp(): Promise<TimestampOffset | undefined>;
  /** OffsetForLeaderEpoch (KIP-320): the largest known epoch ≤ the one asked for, and where it ends. */
  endOffsetForEpoch(leaderEpoch: number): { readonly leaderEpoch: number; readonly endOffset: number };
  /** The leader epoch of the record at `offset`, or of the one to be appended there; -1 when it is no longer known. */
  epochAt(offset: number): number;

  /** DeleteRecords: moves the log start. @returns the new log start offset */
  deleteRecordsBefore(
    offset: number,
  ): Promise<{ readonly error: ErrorCode; readonly logStartOffset: number }>;

  /** Follows a change of the topic's configuration. */
  reconfigure(config: LogConfig): void;
  /** One round of retention, then of compaction if the topic asks for it and enough is dirty. */
  maintain(): Promise<void>;
  /** Writes the producer-state snapshot and flushes, so that the next open replays nothing. */
  close(): Promise<void>;
}

export type Isolation = 'read_uncommitted' | 'read_committed';

export interface AppendOptions {
  /** `client`: everything is checked. `coordinator`: our own records, to internal topics. */
  readonly origin: 'client' | 'coordinator';
}

export interface AppendResult {
  readonly error: ErrorCode;
  readonly errorMessage?: string;
  /** KIP-467: which records of the batch were refused, by index in the batch. */
  readonly recordErrors?: readonly { readonly index: number; readonly message: string }[];
  /** -1 with an error. For a duplicate (idempotence) the offset of the first time. */
  readonly baseOffset: number;
  readonly logAppendTimeMs: number;
  /** Resolves when the answer may be sent; absent with an error. A duplicate waits for the original. */
  readonly durable?: Promise<void>;
}

export interface ReadOptions {
  readonly isolation: Isolation;
  readonly minOneBatch: boolean;
}

export interface LogRead {
  readonly error: ErrorCode;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Must be called exactly once, when the pieces have left for the socket or are dropped. */
  release(): void;
}

export interface TimestampOffset {
  readonly timestampMs: number;
  readonly offset: number;
  readonly leaderEpoch: number;
}
