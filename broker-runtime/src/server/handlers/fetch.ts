import type { LogRead } from '../../log/partition-log.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { FetchRequest, FetchResponse } from '../../wire/messages/fetch.ts';
import { ZERO_UUID, type Encodable } from '../../wire/schema.ts';
import { defineApi, type RequestContext } from '../api.ts';
import type { Services } from '../services.ts';
import {
  FIRST_VERSION_BY_ID,
  availableBytes,
  limitsOf,
  resolveTargets,
  type FetchLimits,
  type FetchTarget,
} from './fetch-plan.ts';
import { waitForBytes } from './fetch-wait.ts';
import { LeaderHints, wantsLeader } from './leader-hints.ts';

type Response = Encodable<typeof FetchResponse>;
type TopicRow = Response['responses'][number];
type PartitionRow = TopicRow['partitions'][number];

const FIRST_VERSION_WITH_LEADER_HINTS = 16;

/**
 * One fetch takes at most this part of the memory for fetches, so that a few clients that take their replies slowly
 * do not stop all the others. 4 MiB of the default 64: enough to fill a 10 Gbit/s line at 3 ms a round.
 */
const SHARES_OF_FETCH_MEMORY = 16;

/**
 * Fetch. Sessions (KIP-227) are declined: every answer carries session id 0, so clients send the full list each time.
 * All of a request's partitions share one budget; the first with data gives at least one whole batch whatever its
 * size (KIP-74). A fetch that finds too little parks until its partitions advance.
 */
export const fetchApi = defineApi({
  key: ApiKey.Fetch,
  request: FetchRequest,
  response: FetchResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request, context) => {
    // Reading changes nothing: whatever follows on this connection may run meanwhile.
    context.startNext();
    if (isIncremental(request)) return { errorCode: Errors.FETCH_SESSION_ID_NOT_FOUND, responses: [] };

    const limits = limitsOf(services, request);
    const topics = await targetsWorthAnswering(services, request, context, limits);
    if (topics === undefined) return undefined;
    const reads = await readAll(services, context, topics.flat(), limits);
    if (reads === undefined) return undefined;
    const responses = request.topics.map(({ topic, topicId }, at) => ({
      topic,
      topicId,
      partitions: (topics[at] ?? []).map((target) => rowOf(target, reads.get(target), limits)),
    }));
    return responses.some(isLedElsewhere) ? withLeaders(services, context, responses) : { responses };
  },
  failure: (errorCode, { topics }) => ({
    errorCode,
    responses: topics.map(({ topic, topicId, partitions }) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => ({ ...EMPTY, partitionIndex: partition, errorCode })),
    })),
  }),
});

/** Epoch 0 asks for a new session, -1 for none: both list all partitions. Others refer to a session, and we keep none. */
function isIncremental({ sessionEpoch }: FetchRequest): boolean {
  return sessionEpoch !== 0 && sessionEpoch !== -1;
}

/** Parks until there is enough to read, an error to tell, or no time left. Undefined: the client is gone. */
async function targetsWorthAnswering(
  services: Services,
  request: FetchRequest,
  context: RequestContext,
  limits: FetchLimits,
): Promise<readonly (readonly FetchTarget[])[] | undefined> {
  const { clock } = services.env;
  const untilMs = clock.monotonicMs() + limits.waitMs;
  for (;;) {
    const topics = await resolveTargets(services, request.topics, context.apiVersion);
    if (isGone(context)) return undefined;
    const waitMs = untilMs - clock.monotonicMs();
    const targets = topics.flat();
    if (waitMs <= 0 || targets.length === 0 || isReady(targets, limits)) return topics;
    await waitForBytes(clock, targets, limits, waitMs, context.signal);
    if (isGone(context)) return undefined;
  }
}

function isGone(context: RequestContext): boolean {
  return context.signal.aborted;
}

function isReady(targets: readonly FetchTarget[], { minBytes, isolation }: FetchLimits): boolean {
  let bytes = 0;
  for (const target of targets) {
    if (target.error !== Errors.NONE || target.divergingEpoch !== undefined) return true;
    bytes += availableBytes(target, isolation);
  }
  return bytes >= minBytes;
}

/** Reads within one budget, which is taken from the memory for fetches until the reply has left. */
async function readAll(
  services: Services,
  context: RequestContext,
  targets: readonly FetchTarget[],
  limits: FetchLimits,
): Promise<ReadonlyMap<FetchTarget, LogRead> | undefined> {
  const { fetchMemory } = services;
  const readable = targets.filter((target) => hasData(target, limits));
  const wantedBytes = readable.reduce((sum, target) => sum + availableBytes(target, limits.isolation), 0);
  const ceiling = Math.min(limits.maxBytes, Math.floor(fetchMemory.limitBytes / SHARES_OF_FETCH_MEMORY));
  let heldBytes = Math.min(wantedBytes, ceiling);
  if (heldBytes > 0) await fetchMemory.take(heldBytes);
  context.afterSent(() => fetchMemory.release(heldBytes));
  if (isGone(context)) return undefined;

  const reads = await collect(context, readable, limits, heldBytes);
  const readBytes = [...reads.values()].reduce((sum, read) => sum + read.sizeBytes, 0);
  if (readBytes < heldBytes) {
    fetchMemory.release(heldBytes - readBytes);
    heldBytes = readBytes;
  }
  return reads;
}

/**
 * Starts all reads before it waits for any: reads of history take their time, and the object store serves many at
 * once. A read under way counts with what it can bring at most.
 */
async function collect(
  context: RequestContext,
  targets: readonly FetchTarget[],
  { isolation }: FetchLimits,
  budgetBytes: number,
): Promise<Map<FetchTarget, LogRead>> {
  const reads = new Map<FetchTarget, LogRead>();
  const underWay: Promise<void>[] = [];
  const keep = (target: FetchTarget, read: LogRead): void => {
    context.afterSent(() => read.release());
    reads.set(target, read);
  };
  let leftBytes = budgetBytes;
  for (const [at, target] of targets.entries()) {
    const limitBytes = Math.min(leftBytes, availableBytes(target, isolation));
    const first = at === 0;
    if (target.log === undefined || (limitBytes <= 0 && !first)) continue;
    const read = target.log.read(target.asked.fetchOffset, limitBytes, { isolation, minOneBatch: first });
    if (read instanceof Promise) {
      underWay.push(read.then((arrived) => keep(target, arrived)));
      leftBytes -= limitBytes;
    } else {
      keep(target, read);
      leftBytes -= Math.min(leftBytes, read.sizeBytes);
    }
  }
  const failed = (await Promise.allSettled(underWay)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return reads;
}

function hasData({ asked, log, error, divergingEpoch }: FetchTarget, { isolation }: FetchLimits): boolean {
  if (log === undefined || error !== Errors.NONE || divergingEpoch !== undefined) return false;
  return log.availableBytes(asked.fetchOffset, 1, isolation) > 0;
}

const NO_RECORDS: readonly Uint8Array[] = [];
const EMPTY = {
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  abortedTransactions: null,
  records: NO_RECORDS,
};

/** Records are empty, never null, and the offsets are always filled: clients compute their lag from them. */
function rowOf(target: FetchTarget, read: LogRead | undefined, limits: FetchLimits): PartitionRow {
  const { asked, log, divergingEpoch } = target;
  const errorCode: ErrorCode = read?.error ?? target.error;
  const state = read ?? log;
  if (state === undefined) return { ...EMPTY, partitionIndex: asked.partition, errorCode };
  return {
    partitionIndex: asked.partition,
    errorCode,
    highWatermark: state.highWatermark,
    lastStableOffset: state.lastStableOffset,
    logStartOffset: state.logStartOffset,
    ...(divergingEpoch === undefined ? {} : { divergingEpoch }),
    abortedTransactions: limits.isolation === 'read_committed' ? [] : null,
    records: read?.pieces ?? NO_RECORDS,
  };
}

function isLedElsewhere({ partitions }: TopicRow): boolean {
  return partitions.some(({ errorCode }) => wantsLeader(errorCode));
}

function withLeaders(services: Services, context: RequestContext, rows: readonly TopicRow[]): Response {
  if (context.apiVersion < FIRST_VERSION_WITH_LEADER_HINTS) return { responses: rows };
  const hints = new LeaderHints(services, context, context.apiVersion >= FIRST_VERSION_BY_ID);
  const responses = rows.map(({ topic = '', topicId = ZERO_UUID, partitions }) => ({
    topic,
    topicId,
    partitions: partitions.map((row) => ({
      ...row,
      ...hints.of({ name: topic, topicId }, row.partitionIndex, row.errorCode),
    })),
  }));
  return { responses, nodeEndpoints: hints.nodeEndpoints };
}
