/**
 * The largest record batch any topic may take. A batch is one entry of the WAL and is written in one piece, and every
 * buffer of the WAL must hold the largest: Kafka's default for it is a tenth of this.
 */
export const LARGEST_BATCH_BYTES = 10 * 1024 * 1024;

/** The topic settings a partition acts on; names as in Kafka's topic configs with units added. */
export interface LogConfig {
  readonly cleanupPolicy: { readonly delete: boolean; readonly compact: boolean };
  /** -1: no limit. */
  readonly retentionMs: number;
  /** -1: no limit. */
  readonly retentionBytes: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly deleteRetentionMs: number;
  readonly minCleanableDirtyRatio: number;
  readonly minCompactionLagMs: number;
  readonly maxCompactionLagMs: number;
  readonly maxMessageBytes: number;
  readonly messageTimestampType: 'CreateTime' | 'LogAppendTime';
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampAfterMaxMs: number;
  readonly producerIdExpirationMs: number;
}
