import type { Stream } from '../store/stream.ts';
import { BatchHeader } from '../wire/records/batch-header.ts';
import { streamEntries } from './log-scan.ts';
import type { TimestampOffset } from './partition-log.ts';
import { readableRecords } from './readable-records.ts';

/**
 * The first record at or above `timestampMs` below `untilOffset`. Narrowed from ranges in objects, which carry their
 * newest timestamp, over batch headers to the records of one batch: only that one is decompressed.
 */
export async function findTimestamp(
  data: Stream,
  timestampMs: number,
  untilOffset: number,
): Promise<TimestampOffset | undefined> {
  for (const { startOffset, endOffset } of candidates(data, timestampMs, untilOffset)) {
    for await (const { bytes } of streamEntries(data, startOffset, endOffset)) {
      const batch = new BatchHeader(bytes);
      if (batch.maxTimestampMs < timestampMs) continue;
      const found = firstRecordAt(batch, timestampMs, data.startOffset);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** The record with the newest timestamp below `untilOffset`, the first of equals (KIP-734). */
export async function findMaxTimestamp(
  data: Stream,
  untilOffset: number,
): Promise<TimestampOffset | undefined> {
  let newest: TimestampOffset | undefined;
  const pieces = candidates(data, -Infinity, untilOffset).sort((a, b) => b.maxTimestampMs - a.maxTimestampMs);
  for (const { startOffset, endOffset, maxTimestampMs: pieceMax } of pieces) {
    if (newest !== undefined && pieceMax < newest.timestampMs) break;
    for await (const { bytes } of streamEntries(data, startOffset, endOffset)) {
      const batch = new BatchHeader(bytes);
      const batchMax = batch.maxTimestampMs;
      if (batchMax < 0 || (newest !== undefined && batchMax < newest.timestampMs)) continue;
      const found = firstRecordAt(batch, batchMax, data.startOffset);
      if (found !== undefined && isBetter(found, newest)) newest = found;
    }
  }
  return newest;
}

function isBetter(found: TimestampOffset, newest: TimestampOffset | undefined): boolean {
  if (newest === undefined || found.timestampMs > newest.timestampMs) return true;
  return found.timestampMs === newest.timestampMs && found.offset < newest.offset;
}

interface Piece {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly maxTimestampMs: number;
}

/** The pieces of the log that may hold `timestampMs`, in order: ranges in objects, then what is only in the WAL. */
function candidates(data: Stream, timestampMs: number, untilOffset: number): Piece[] {
  const ranges = data.ranges();
  const tail: Piece = {
    startOffset: ranges.at(-1)?.endOffset ?? data.startOffset,
    endOffset: untilOffset,
    maxTimestampMs: Infinity,
  };
  return [...ranges, tail].filter((piece) => piece.maxTimestampMs >= timestampMs);
}

function firstRecordAt(
  batch: BatchHeader,
  timestampMs: number,
  logStartOffset: number,
): TimestampOffset | undefined {
  const records = readableRecords(batch);
  while (records?.next() === true) {
    if (records.timestampMs < timestampMs || records.offset < logStartOffset) continue;
    const { timestampMs: foundMs, offset } = records;
    return { timestampMs: foundMs, offset, leaderEpoch: batch.partitionLeaderEpoch };
  }
  return undefined;
}
