import type { Isolation, PartitionLog } from '../../log/partition-log.ts';
import type { Topic } from '../../metadata/cluster-metadata.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import type { FetchRequest } from '../../wire/messages/fetch.ts';
import type { Services } from '../services.ts';
import { checkLeaderEpoch, findTopic, openPartition } from './partition-access.ts';

export type FetchTopic = FetchRequest['topics'][number];
export type FetchPartition = FetchTopic['partitions'][number];

export const FIRST_VERSION_BY_ID = 13;

/** What `endOffsetForEpoch` tells of an epoch it does not know. */
const UNDEFINED_END = -1;

/** One partition a fetch asks for, and what stands in the way of reading it. */
export interface FetchTarget {
  readonly asked: FetchPartition;
  readonly log: PartitionLog | undefined;
  readonly error: ErrorCode;
  /** KIP-595: the client's last record is of another history; it has to cut its log there. */
  readonly divergingEpoch?: { readonly epoch: number; readonly endOffset: number };
}

/** What a fetch may take and how long it may wait, within our own limits. */
export interface FetchLimits {
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly waitMs: number;
  readonly isolation: Isolation;
}

/** Finds and checks every partition of a request, in its order, by topic. */
export async function resolveTargets(
  services: Services,
  topics: readonly FetchTopic[],
  apiVersion: number,
): Promise<readonly (readonly FetchTarget[])[]> {
  const byId = apiVersion >= FIRST_VERSION_BY_ID;
  const resolved: FetchTarget[][] = [];
  for (const asked of topics) {
    const topic = findTopic(services, { name: asked.topic, topicId: asked.topicId }, byId);
    // Started together: opening a partition for the first time reads from the object store.
    const logs = asked.partitions.map(({ partition }) => open(services, topic, partition));
    const targets: FetchTarget[] = [];
    for (const [at, partition] of asked.partitions.entries()) {
      const log = logs[at] ?? Errors.UNKNOWN_TOPIC_OR_PARTITION;
      targets.push(check(partition, log instanceof Promise ? await log : log));
    }
    resolved.push(targets);
  }
  return resolved;
}

/** Clamps what the client asks: negative sizes, more than we hold in memory, waits of days. */
export function limitsOf(services: Services, request: FetchRequest): FetchLimits {
  const { fetchMaxBytes, fetchMaxWaitMs } = services.options;
  const maxBytes = clamp(request.maxBytes, 0, fetchMaxBytes);
  return {
    maxBytes,
    minBytes: clamp(request.minBytes, 0, maxBytes),
    waitMs: clamp(request.maxWaitMs, 0, fetchMaxWaitMs),
    isolation: request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted',
  };
}

/** Bytes a target can give now, within its own limit. */
export function availableBytes({ asked, log, error }: FetchTarget, isolation: Isolation): number {
  if (log === undefined || error !== Errors.NONE) return 0;
  return log.availableBytes(asked.fetchOffset, Math.max(0, asked.partitionMaxBytes), isolation);
}

function open(
  services: Services,
  topic: Topic | ErrorCode,
  partition: number,
): PartitionLog | ErrorCode | Promise<PartitionLog | ErrorCode> {
  return typeof topic === 'number' ? topic : openPartition(services, topic, partition);
}

function check(asked: FetchPartition, log: PartitionLog | ErrorCode): FetchTarget {
  if (typeof log === 'number') return { asked, log: undefined, error: log };
  const staleness = checkLeaderEpoch(log, asked.currentLeaderEpoch);
  if (staleness !== Errors.NONE) return { asked, log, error: staleness };
  const end = asked.lastFetchedEpoch < 0 ? undefined : log.endOffsetForEpoch(asked.lastFetchedEpoch);
  // An epoch without an end is no divergence: the client would be given nothing to go back to, and ask without end.
  if (asked.fetchOffset < log.logStartOffset || end?.endOffset === UNDEFINED_END) {
    return { asked, log, error: Errors.OFFSET_OUT_OF_RANGE };
  }
  if (end !== undefined && (end.leaderEpoch < asked.lastFetchedEpoch || end.endOffset < asked.fetchOffset)) {
    const divergingEpoch = { epoch: end.leaderEpoch, endOffset: end.endOffset };
    return { asked, log, error: Errors.NONE, divergingEpoch };
  }
  const isBeyondEnd = asked.fetchOffset > log.logEndOffset;
  return { asked, log, error: isBeyondEnd ? Errors.OFFSET_OUT_OF_RANGE : Errors.NONE };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
