import type { BatchHeader, CompressionType } from '../wire/records/batch-header.ts';
import { buildBatch, type NewRecord } from '../wire/records/build-batch.ts';
import type { OffsetMap } from './offset-map.ts';
import type { ProducerState } from './producer-state.ts';
import { readableRecords } from './readable-records.ts';

/** What one pass of the cleaner knows. */
export interface CleaningPass {
  /** The newest offset of every key in the dirty part. */
  readonly newest: OffsetMap;
  /** Batches from here on are not in the map and stay as they are. */
  readonly mapEndOffset: number;
  /**
   * Tombstones from here on were compared with everything before them in this pass: nothing older of their key is left
   * when it ends, so the time until they may go begins.
   */
  readonly horizonFromOffset: number;
  readonly nowMs: number;
  readonly deleteRetentionMs: number;
  readonly producers: Pick<ProducerState, 'isLastBatch'>;
  /** Told of every tombstone that stays, and until when. */
  readonly onTombstone: (deleteHorizonMs: number) => void;
}

/**
 * What is left of a batch: the same bytes when all of it stays, a new batch with the same offsets when a part does,
 * an empty one when only its producer's sequence must survive, undefined when nothing does.
 *
 * Control batches stay: no transaction has data here yet. So does a batch whose records cannot be read (a producer's
 * mistake on a topic that was not compacted then): deleting what nobody understands would be a guess.
 */
export function cleanBatch(batch: BatchHeader, pass: CleaningPass): Uint8Array | undefined {
  if (batch.baseOffset >= pass.mapEndOffset || batch.isControl) return batch.batch;
  if (batch.recordCount === 0) return isKeptEmpty(batch, pass) ? batch.batch : undefined;
  const records = readableRecords(batch);
  if (records === undefined) return batch.batch;

  const kept: NewRecord[] = [];
  let tombstones = 0;
  while (records.next()) {
    const { key, value, offset } = records;
    if (key === null || pass.newest.get(key) > offset) continue;
    if (value === null) {
      if (batch.deleteHorizonMs !== undefined && batch.deleteHorizonMs <= pass.nowMs) continue;
      tombstones++;
    }
    kept.push({ offset, timestampMs: records.timestampMs, key, value, headers: records.headers() });
  }

  const beginsHorizon =
    tombstones > 0 && batch.deleteHorizonMs === undefined && batch.lastOffset >= pass.horizonFromOffset;
  const deleteHorizonMs = beginsHorizon ? pass.nowMs + pass.deleteRetentionMs : batch.deleteHorizonMs;
  if (tombstones > 0 && deleteHorizonMs !== undefined) pass.onTombstone(deleteHorizonMs);
  if (kept.length === batch.recordCount && !beginsHorizon) return batch.batch;
  if (kept.length === 0) return isKeptEmpty(batch, pass) ? emptyBatch(batch) : undefined;
  return buildBatch({
    ...identity(batch),
    records: kept,
    compression: compressionOf(batch),
    ...(batch.isLogAppendTime ? { logAppendTimeMs: batch.maxTimestampMs } : {}),
    ...(deleteHorizonMs === undefined ? {} : { deleteHorizonMs }),
  });
}

/** The batch without records: its offsets and its producer's sequence, nothing else. */
export function emptyBatch(batch: BatchHeader): Uint8Array {
  return buildBatch({ ...identity(batch), records: [], maxTimestampMs: batch.maxTimestampMs });
}

function isKeptEmpty(batch: BatchHeader, pass: CleaningPass): boolean {
  return batch.producerId >= 0 && pass.producers.isLastBatch(batch.producerId, batch.lastOffset);
}

/** What makes a batch the same batch, whatever is left in it. */
function identity(batch: BatchHeader) {
  return {
    baseOffset: batch.baseOffset,
    lastOffset: batch.lastOffset,
    partitionLeaderEpoch: batch.partitionLeaderEpoch,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
  };
}

/** Known, because the records were read. */
function compressionOf(batch: BatchHeader): CompressionType {
  return batch.compression as CompressionType;
}
