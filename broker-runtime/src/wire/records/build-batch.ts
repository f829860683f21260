import { BATCH_HEADER_BYTES, BatchHeader, CompressionType } from './batch-header.ts';
import { compress } from './compression.ts';
import { writeRecords, type NewRecord } from './write-records.ts';

export type { NewRecord };

export interface NewBatch {
  readonly records: readonly NewRecord[];
  /** Default: the first record's offset. Compaction keeps that of the batch it rewrites. */
  readonly baseOffset?: number;
  /** Default: the last record's offset. Compaction keeps it, so that offsets have no gap between batches. */
  readonly lastOffset?: number;
  readonly partitionLeaderEpoch?: number;
  readonly compression?: CompressionType;
  /** Makes the batch one of append time, all records of which have this timestamp. */
  readonly logAppendTimeMs?: number;
  /** Default: the largest of the records. */
  readonly maxTimestampMs?: number;
  /** From when on the tombstones and markers in it may be dropped (KIP-534). */
  readonly deleteHorizonMs?: number;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
}

const NONE = -1;

/** Makes a record batch: for the broker's own topics and for compaction. May be empty, if both offsets are given. */
export function buildBatch(batch: NewBatch): Uint8Array {
  const { records, compression = CompressionType.none } = batch;
  const first = records[0];
  const baseOffset = batch.baseOffset ?? first?.offset ?? 0;
  const lastOffset = batch.lastOffset ?? records.at(-1)?.offset ?? baseOffset;
  const baseTimestampMs = batch.deleteHorizonMs ?? first?.timestampMs ?? NONE;
  let maxTimestampMs = NONE;
  for (const record of records) maxTimestampMs = Math.max(maxTimestampMs, record.timestampMs);
  const plain = writeRecords(records, baseOffset, baseTimestampMs);
  // Readers do not inflate a batch without records, so its payload stays empty.
  const payload = plain.length === 0 ? plain : compress(compression, plain);
  const sizeBytes = BATCH_HEADER_BYTES + payload.length;
  const bytes = new Uint8Array(sizeBytes);
  bytes.set(payload, BATCH_HEADER_BYTES);
  new BatchHeader(bytes).write({
    baseOffset,
    sizeBytes,
    partitionLeaderEpoch: batch.partitionLeaderEpoch ?? NONE,
    compression: records.length === 0 ? CompressionType.none : compression,
    isLogAppendTime: batch.logAppendTimeMs !== undefined,
    isTransactional: batch.isTransactional ?? false,
    isControl: batch.isControl ?? false,
    hasDeleteHorizon: batch.deleteHorizonMs !== undefined,
    lastOffsetDelta: lastOffset - baseOffset,
    baseTimestampMs,
    maxTimestampMs: batch.logAppendTimeMs ?? batch.maxTimestampMs ?? maxTimestampMs,
    producerId: batch.producerId ?? NONE,
    producerEpoch: batch.producerEpoch ?? NONE,
    baseSequence: batch.baseSequence ?? NONE,
    recordCount: records.length,
  });
  return bytes;
}
