import { ClosedError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Stream, StreamEntry, StreamRange } from '../store/stream.ts';
import type { LogConfig } from '../wire/log-config.ts';
import { BatchHeader } from '../wire/records/batch-header.ts';
import { type CleaningPass, cleanBatch, emptyBatch } from './batch-cleaner.ts';
import { entryTimestampMs } from './entry-timestamp.ts';
import { streamEntries } from './log-scan.ts';
import { OffsetMap } from './offset-map.ts';
import type { PartitionState } from './partition-state.ts';
import { readableRecords } from './readable-records.ts';

/** Memory of the map of keys: about half a million keys a pass. Partitions are cleaned one at a time. */
const OFFSET_MAP_BYTES = 16 * 1024 * 1024;
/** Ranges are rewritten together up to this, so that what is left of many small objects becomes one. */
const REWRITE_BYTES = 64 * 1024 * 1024;
/** Bytes looked at in one turn of the event loop: a few milliseconds. */
const TURN_BYTES = 256 * 1024;

export interface Compaction {
  readonly data: Stream;
  readonly state: PartitionState;
  readonly config: LogConfig;
  /** Last stable offset: nothing at or above it is touched. */
  readonly untilOffset: number;
  readonly env: Pick<Env, 'clock' | 'events'>;
  /** Stops the work between two batches. */
  readonly signal: AbortSignal;
  readonly offsetMapBytes?: number;
}

/**
 * Keeps of every key the newest record (I39), when enough is dirty. Only whole ranges in objects are rewritten: what
 * is in the WAL alone, or younger than the compaction lag, is the active part and stays as it is. Each pass maps as
 * many keys of the dirty part as fit, rewrites the log up to there from its beginning, and moves the checkpoint.
 *
 * @returns whether anything was done, so that the checkpoint is worth saving
 * @throws {ClosedError} when the signal stopped it; what was replaced until then is complete
 */
export async function compactLog(compaction: Compaction): Promise<boolean> {
  const { data, state, env } = compaction;
  const nowMs = env.clock.wallMs();
  const ranges = cleanableRanges(data.ranges(), compaction, nowMs);
  const endOffset = ranges.at(-1)?.endOffset ?? 0;
  if (!isDue(ranges, compaction, nowMs)) return false;
  const pace = paced(compaction);
  do {
    const dirtyOffset = Math.max(state.cleaner.firstDirtyOffset, data.startOffset);
    const { newest, mapEndOffset, horizonFromOffset } = await mapKeys(
      compaction,
      dirtyOffset,
      endOffset,
      pace,
    );
    let nextDeleteHorizonMs: number | undefined;
    const pass: CleaningPass = {
      newest,
      mapEndOffset,
      horizonFromOffset,
      nowMs,
      deleteRetentionMs: compaction.config.deleteRetentionMs,
      producers: state.producers,
      onTombstone: (horizonMs) =>
        (nextDeleteHorizonMs = Math.min(nextDeleteHorizonMs ?? horizonMs, horizonMs)),
    };
    for (const group of rewriteGroups(data.ranges(), mapEndOffset)) {
      if (await isChanged(data, group, pass, pace)) {
        await data.replace(group.startOffset, group.endOffset, cleaned(data, group, pass, pace));
      }
    }
    state.cleaner.firstDirtyOffset = mapEndOffset;
    state.cleaner.nextDeleteHorizonMs = nextDeleteHorizonMs;
  } while (state.cleaner.firstDirtyOffset < endOffset);
  return true;
}

/** The leading ranges that may be touched: below the last stable offset, and older than the compaction lag. */
function cleanableRanges(
  ranges: readonly StreamRange[],
  { config, untilOffset }: Compaction,
  nowMs: number,
): readonly StreamRange[] {
  const tooYoungMs = config.minCompactionLagMs > 0 ? nowMs - config.minCompactionLagMs : Infinity;
  const active = ranges.findIndex(
    (range) => range.endOffset > untilOffset || range.maxTimestampMs > tooYoungMs,
  );
  return active < 0 ? ranges : ranges.slice(0, active);
}

/** Enough is dirty, something has been dirty for too long, or a tombstone may go. */
function isDue(ranges: readonly StreamRange[], { state, config }: Compaction, nowMs: number): boolean {
  const { firstDirtyOffset, nextDeleteHorizonMs } = state.cleaner;
  if (ranges.length > 0 && nextDeleteHorizonMs !== undefined && nextDeleteHorizonMs <= nowMs) return true;
  const dirty = ranges.filter((range) => range.endOffset > firstDirtyOffset);
  const oldest = dirty[0];
  if (oldest === undefined) return false;
  if (nowMs - oldest.maxTimestampMs > config.maxCompactionLagMs) return true;
  return sizeOf(dirty) >= sizeOf(ranges) * config.minCleanableDirtyRatio;
}

function sizeOf(ranges: readonly StreamRange[]): number {
  return ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
}

type MappedKeys = Pick<CleaningPass, 'newest' | 'mapEndOffset' | 'horizonFromOffset'>;

/** The newest offset of each key from `fromOffset` on, for as many batches as the map has room for. */
async function mapKeys(
  { data, offsetMapBytes, env }: Compaction,
  fromOffset: number,
  untilOffset: number,
  pace: Pace,
): Promise<MappedKeys> {
  const newest = new OffsetMap(offsetMapBytes ?? OFFSET_MAP_BYTES);
  for await (const { bytes, baseOffset, count } of streamEntries(data, fromOffset, untilOffset)) {
    await pace(bytes.length);
    const batch = new BatchHeader(bytes);
    if (batch.recordCount > newest.free) {
      if (newest.size > 0) return { newest, mapEndOffset: baseOffset, horizonFromOffset: fromOffset };
      // One batch with more keys than a whole map: passed over, and its tombstones never begin to expire.
      const batchEnd = baseOffset + count;
      env.events.warn('log.compaction-passed-over', {
        stream: data.id,
        baseOffset,
        recordCount: batch.recordCount,
        roomForKeys: newest.free,
      });
      return { newest, mapEndOffset: batchEnd, horizonFromOffset: batchEnd };
    }
    const records = batch.isControl ? undefined : readableRecords(batch);
    while (records?.next() === true) if (records.key !== null) newest.put(records.key, records.offset);
  }
  return { newest, mapEndOffset: Math.max(fromOffset, untilOffset), horizonFromOffset: fromOffset };
}

/** Neighbouring ranges that are rewritten together, up to the one that holds the last mapped offset. */
function* rewriteGroups(ranges: readonly StreamRange[], mapEndOffset: number): Generator<OffsetSpan> {
  let span: { startOffset: number; endOffset: number; sizeBytes: number } | undefined;
  for (const { startOffset, endOffset, sizeBytes } of ranges) {
    if (startOffset >= mapEndOffset) break;
    if (span !== undefined && span.sizeBytes + sizeBytes > REWRITE_BYTES) {
      yield span;
      span = undefined;
    }
    span ??= { startOffset, endOffset, sizeBytes: 0 };
    span.endOffset = endOffset;
    span.sizeBytes += sizeBytes;
  }
  if (span !== undefined) yield span;
}

interface OffsetSpan {
  readonly startOffset: number;
  readonly endOffset: number;
}

/** Reading is cheaper than writing anew: a span in which every batch stays is left alone. */
async function isChanged(data: Stream, span: OffsetSpan, pass: CleaningPass, pace: Pace): Promise<boolean> {
  let emptyBatchGoes = false;
  for await (const { bytes } of streamEntries(data, span.startOffset, span.endOffset)) {
    await pace(bytes.length);
    // An empty batch goes once another one follows it.
    if (emptyBatchGoes) return true;
    const batch = new BatchHeader(bytes);
    // Compared by memory: `cleanBatch` returns the batch itself when all of it stays.
    if (cleanBatch(batch, pass)?.buffer === bytes.buffer) continue;
    if (batch.recordCount > 0) return true;
    emptyBatchGoes = true;
  }
  return false;
}

/**
 * What is left of a span. Its last batch stays, if only as an empty one: a consumer moves past offsets that are gone by
 * the end of the next batch it gets, so at the end of the log it would wait for ever for a batch that is not there.
 */
async function* cleaned(
  data: Stream,
  span: OffsetSpan,
  pass: CleaningPass,
  pace: Pace,
): AsyncGenerator<StreamEntry, void, undefined> {
  let lastGone: StreamEntry | undefined;
  for await (const entry of streamEntries(data, span.startOffset, span.endOffset)) {
    await pace(entry.bytes.length);
    const batch = new BatchHeader(entry.bytes);
    const bytes = cleanBatch(batch, pass);
    if (bytes === undefined) {
      const { baseOffset, count, maxTimestampMs } = entry;
      lastGone = { baseOffset, count, maxTimestampMs, bytes: emptyBatch(batch) };
      continue;
    }
    lastGone = undefined;
    const maxTimestampMs = entryTimestampMs(new BatchHeader(bytes), entry.maxTimestampMs);
    yield { baseOffset: entry.baseOffset, count: entry.count, maxTimestampMs, bytes };
  }
  if (lastGone !== undefined) yield lastGone;
}

type Pace = (bytes: number) => Promise<void> | undefined;

/** Lets other work run between portions, and stops when asked to. */
function paced({ env: { clock }, signal }: Compaction): Pace {
  let bytesInTurn = 0;
  return (bytes) => {
    if (signal.aborted) throw new ClosedError('the partition closes: cleaning stops');
    bytesInTurn += bytes;
    if (bytesInTurn < TURN_BYTES) return undefined;
    bytesInTurn = 0;
    return new Promise((resolve) => clock.afterTurn(resolve));
  };
}
