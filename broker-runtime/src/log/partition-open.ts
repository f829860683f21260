import { CorruptionError, invariant } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Stream } from '../store/stream.ts';
import { BatchHeader } from '../wire/records/batch-header.ts';
import { streamEntries } from './log-scan.ts';
import { type PartitionState, decodeSnapshot, emptyState } from './partition-state.ts';
import { RecentBatches } from './recent-batches.ts';

export interface RebuiltPartition {
  readonly state: PartitionState;
  readonly recent: RecentBatches;
  /** Bytes of batches above the snapshot: what the next open would replay again. */
  readonly replayedBytes: number;
  /** Batches below it are told of by the snapshot. */
  readonly coveredOffset: number;
}

/**
 * State as of the log's end: the newest usable snapshot, then the headers of all batches after it. Whatever was
 * durable counts, acknowledged or not, so that a retry of it is found to be a duplicate (I14).
 *
 * @throws {StreamReadError} when the object store cannot be read now
 * @throws {CorruptionError} when batches are damaged; the partition stays closed
 */
export async function rebuildPartition(data: Stream, states: Stream, env: Env): Promise<RebuiltPartition> {
  invariant(data.durableOffset === data.endOffset, 'I14', 'a partition opens when its log is durable', {
    stream: data.id,
    durableOffset: data.durableOffset,
    endOffset: data.endOffset,
  });
  const snapshot = await newestSnapshot(states, data, env);
  const state = snapshot?.state ?? emptyState();
  const snapshotOffset = Math.max(snapshot?.endOffset ?? 0, data.startOffset);

  const recent = new RecentBatches();
  const nowMs = env.clock.wallMs();
  let replayedBytes = 0;
  // Sizes of batches that are not in objects are known only from the batches themselves.
  const committedOffset = data.ranges().at(-1)?.endOffset ?? data.startOffset;
  for await (const { baseOffset, count, bytes } of streamEntries(
    data,
    Math.min(snapshotOffset, committedOffset),
  )) {
    const endOffset = baseOffset + count;
    recent.add(baseOffset, endOffset, bytes.length, endOffset <= committedOffset ? 'in-objects' : nowMs);
    if (endOffset <= snapshotOffset) continue;
    replayedBytes += bytes.length;
    replay(new BatchHeader(bytes), state, nowMs);
  }
  state.epochs.trim(data.startOffset);
  return { state, recent, replayedBytes, coveredOffset: snapshotOffset };
}

function replay(batch: BatchHeader, { epochs, producers }: PartitionState, nowMs: number): void {
  const { baseOffset, partitionLeaderEpoch, producerId, lastOffsetDelta } = batch;
  if (partitionLeaderEpoch > epochs.latest) epochs.assign(partitionLeaderEpoch, baseOffset);
  if (producerId < 0 || batch.isControl) return;
  const { producerEpoch, baseSequence } = batch;
  const logAppendTimeMs = batch.isLogAppendTime ? batch.maxTimestampMs : -1;
  producers.record(
    producerId,
    producerEpoch,
    baseSequence,
    baseOffset,
    lastOffsetDelta,
    logAppendTimeMs,
    nowMs,
  );
}

/**
 * The newest snapshot that is whole and fits the log: not ahead of its end (a log restored from a backup may end
 * earlier), and not behind its start, for then batches are missing between the two. A snapshot only saves work, so one
 * that does not serve is reported and passed over, never an obstacle.
 */
async function newestSnapshot(
  states: Stream,
  data: Stream,
  env: Env,
): Promise<ReturnType<typeof decodeSnapshot> | undefined> {
  let newest: ReturnType<typeof decodeSnapshot> | undefined;
  for await (const { baseOffset: snapshotAt, bytes } of streamEntries(states, states.startOffset)) {
    const passOver = (reason: string): void =>
      env.events.warn('log.snapshot-passed-over', { stream: states.id, snapshotAt, reason });
    try {
      const snapshot = decodeSnapshot(bytes);
      if (snapshot.endOffset > data.endOffset) passOver(`the log ends at ${data.endOffset}`);
      else if (snapshot.endOffset >= data.startOffset) newest = snapshot;
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      passOver(error.message);
    }
  }
  return newest;
}
