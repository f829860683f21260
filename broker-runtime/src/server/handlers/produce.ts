import { invariant } from '../../base/errors.ts';
import type { AppendResult, PartitionLog } from '../../log/partition-log.ts';
import { AdmissionExpiredError, EntryTooLargeError, type Patience } from '../../wal/wal.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { ProduceRequest, ProduceResponse } from '../../wire/messages/produce.ts';
import { BATCH_HEADER_BYTES, BatchHeader, CompressionType } from '../../wire/records/batch-header.ts';
import type { Encodable } from '../../wire/schema.ts';
import { UnanswerableError, defineApi, type RequestContext } from '../api.ts';
import type { Services } from '../services.ts';
import { LeaderHints, wantsLeader } from './leader-hints.ts';
import { findTopic, openPartition, type TopicRef } from './partition-access.ts';
import { StuckBatches } from './stuck-batches.ts';

type TopicData = ProduceRequest['topicData'][number];
type TopicRow = Encodable<typeof ProduceResponse>['responses'][number];
type PartitionRow = TopicRow['partitionResponses'][number];

const FIRST_VERSION_BY_ID = 13;
const FIRST_VERSION_WITH_ZSTD = 7;
const FIRST_VERSION_WITH_LEADER_HINTS = 10;

/** However hurried a producer is: a full log must not become a storm of answers and new connections. */
const MIN_ADMISSION_PATIENCE_MS = 1000;

const NO_BYTES = new Uint8Array(0);

/** One partition's batch on its way: to a log, or to the error that stops it. */
interface Work {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly target: PartitionLog | ErrorCode | Promise<PartitionLog | ErrorCode>;
}

/** Where the batch got to. */
interface Outcome {
  readonly index: number;
  readonly log?: PartitionLog;
  readonly appended: AppendResult;
}

/**
 * Produce. All partitions of a request are admitted to the WAL together and appended in one turn, so that they share
 * a group and one write; then the request waits once. The next request of the connection may start after the appends:
 * producers rely on the order of appends, not on one write ending before the next begins.
 *
 *   order of checks: acks · topic · partition · leadership · compression of the version · admission · the batch (log)
 *
 * acks 1 and all are the same here: an answer means durable. acks 0 gets no answer, and a close when it fails.
 *
 * `timeoutMs` limits the wait for room in the WAL. When it is over nothing was appended, and the answer says
 * REQUEST_TIMED_OUT, upon which clients send again. The connection ends with it: what is pipelined behind would be
 * appended first otherwise, and a partition that does not know the producer yet would take the later sequence for
 * its beginning. What was appended is waited for without limit, because it may be durable any moment: a client that
 * does not want to wait for it closes, sends again, and is answered from the first append.
 */
export const produceApi = defineApi({
  key: ApiKey.Produce,
  request: ProduceRequest,
  response: ProduceResponse,
  requestMemory: 'borrowed',
  handler:
    (services, stuck = new StuckBatches()) =>
    async (request, context) => {
      const { acks, timeoutMs, topicData } = request;
      const planned = plan(services, topicData, acks, context.apiVersion);
      const works = planned.every(isOpen) ? planned : await Promise.all(planned.map(opened));

      // No await between being let in at once and the appends: others would be let into the same room.
      const admitted = admit(services, works, {
        ms: Math.max(MIN_ADMISSION_PATIENCE_MS, timeoutMs),
        // Without acks a client may be gone as soon as it has sent.
        signal: acks === 0 ? undefined : context.signal,
      });
      const refused = typeof admitted === 'number' ? admitted : await admitted;
      if (refused === Errors.REQUEST_TIMED_OUT) {
        context.endConnection(
          'produce-timeout',
          'the WAL had no room within the timeout of a produce request',
        );
      }
      const outcomes = works.map((work) => append(work, refused));
      const throttleTimeMs = outcomes.some(isTooLarge) ? throttleMs(stuck, works, outcomes) : 0;
      context.releaseRequest();
      context.startNext();

      if (acks === 0) {
        closeIfRefused(outcomes);
        return undefined;
      }
      const failed = await failedWrites(outcomes);
      const hints = hintsFor(services, context, outcomes);
      let at = 0;
      const responses = topicData.map((topic) => {
        const { name, topicId, partitionData } = topic;
        const ofTopic = outcomes.slice(at, at + partitionData.length);
        at += partitionData.length;
        return {
          name,
          topicId,
          partitionResponses: ofTopic.map((outcome) => rowOf(topic, outcome, failed, hints)),
        };
      });
      const answer = { responses, throttleTimeMs };
      return hints === undefined ? answer : { ...answer, nodeEndpoints: hints.nodeEndpoints };
    },
  failure: (errorCode, { topicData }) => ({
    responses: topicData.map(({ name, topicId, partitionData }) => ({
      name,
      topicId,
      partitionResponses: partitionData.map(({ index }) => ({ index, errorCode, baseOffset: -1 })),
    })),
  }),
});

/** All partitions of all topics, one after the other: most requests have one, so there is one list and no list of lists. */
function plan(services: Services, topicData: readonly TopicData[], acks: number, version: number): Work[] {
  const works: Work[] = [];
  for (const data of topicData) {
    const topic = findTopic(services, data, version >= FIRST_VERSION_BY_ID);
    for (const { index, records } of data.partitionData) {
      const bytes = records ?? NO_BYTES;
      let target: Work['target'];
      if (acks < -1 || acks > 1) target = Errors.INVALID_REQUIRED_ACKS;
      else if (typeof topic === 'number') target = topic;
      else if (topic.internal) target = Errors.INVALID_TOPIC_EXCEPTION;
      else if (version < FIRST_VERSION_WITH_ZSTD && isZstd(bytes))
        target = Errors.UNSUPPORTED_COMPRESSION_TYPE;
      else target = openPartition(services, topic, index);
      works.push({ index, bytes, target });
    }
  }
  return works;
}

function isZstd(bytes: Uint8Array): boolean {
  return bytes.length >= BATCH_HEADER_BYTES && new BatchHeader(bytes).compression === CompressionType.zstd;
}

function isOpen({ target }: Work): boolean {
  return !(target instanceof Promise);
}

async function opened(work: Work): Promise<Work> {
  return { ...work, target: await work.target };
}

/** Reserves room for all batches that have a log, or says why there is none. */
function admit(
  services: Services,
  works: readonly Work[],
  patience: Patience,
): ErrorCode | Promise<ErrorCode> {
  let bytes = 0;
  let count = 0;
  for (const work of works) {
    if (typeof work.target === 'number') continue;
    bytes += work.bytes.length;
    count += 1;
  }
  if (count === 0) return Errors.NONE;
  try {
    return services.admit(bytes, count, patience)?.then(() => Errors.NONE, admissionError) ?? Errors.NONE;
  } catch (error) {
    return admissionError(error);
  }
}

/** A closed WAL means that this broker stops: retriable, and the client looks for a leader. */
function admissionError(error: unknown): ErrorCode {
  if (error instanceof AdmissionExpiredError) return Errors.REQUEST_TIMED_OUT;
  return error instanceof EntryTooLargeError ? Errors.MESSAGE_TOO_LARGE : Errors.NOT_LEADER_OR_FOLLOWER;
}

function append({ index, bytes, target }: Work, refused: ErrorCode): Outcome {
  if (typeof target === 'number') return { index, appended: refusal(target) };
  invariant(!(target instanceof Promise), 'I14', 'a batch is appended to a partition that is open');
  if (refused !== Errors.NONE) return { index, log: target, appended: target.refuse(bytes, refused) };
  return { index, log: target, appended: target.append(bytes, { origin: 'client' }) };
}

function isTooLarge({ appended }: Outcome): boolean {
  return appended.error === Errors.MESSAGE_TOO_LARGE;
}

/** What is asked for by whichever batch asks for most. */
function throttleMs(stuck: StuckBatches, works: readonly Work[], outcomes: readonly Outcome[]): number {
  let ms = 0;
  for (const [at, { bytes }] of works.entries()) {
    const outcome = outcomes[at];
    if (outcome !== undefined && isTooLarge(outcome)) ms = Math.max(ms, stuck.throttleMs(bytes));
  }
  return ms;
}

function refusal(error: ErrorCode): AppendResult {
  return { error, baseOffset: -1, logAppendTimeMs: -1 };
}

type Writes = ReadonlySet<Promise<void>>;

const NO_WRITES: Writes = new Set();

/** Writes that failed. Nearly always all batches of a request wait for one write, which needs no list of results. */
async function failedWrites(outcomes: readonly Outcome[]): Promise<Writes> {
  const pending: Promise<void>[] = [];
  for (const { appended } of outcomes) {
    const { durable } = appended;
    if (durable !== undefined && !pending.includes(durable)) pending.push(durable);
  }
  const [only] = pending;
  if (only === undefined) return NO_WRITES;
  if (pending.length === 1) {
    return only.then(
      () => NO_WRITES,
      () => new Set(pending),
    );
  }
  const results = await Promise.allSettled(pending);
  return new Set(pending.filter((_, at) => results[at]?.status === 'rejected'));
}

/** Nearly every answer has no partition that is led elsewhere. */
function hintsFor(
  services: Services,
  context: RequestContext,
  outcomes: readonly Outcome[],
): LeaderHints | undefined {
  if (!outcomes.some(isLedElsewhere) || context.apiVersion < FIRST_VERSION_WITH_LEADER_HINTS)
    return undefined;
  return new LeaderHints(services, context, context.apiVersion >= FIRST_VERSION_BY_ID);
}

function isLedElsewhere({ appended }: Outcome): boolean {
  return wantsLeader(appended.error);
}

function rowOf(
  topic: TopicRef,
  { index, log, appended }: Outcome,
  failed: Writes,
  hints: LeaderHints | undefined,
): PartitionRow {
  const { error, errorMessage, recordErrors, baseOffset, logAppendTimeMs, durable } = appended;
  if (durable !== undefined && failed.has(durable)) {
    // Perhaps stored, perhaps not: the producer sends again, and idempotence tells.
    return { index, errorCode: Errors.KAFKA_STORAGE_ERROR, baseOffset: -1 };
  }
  if (error !== Errors.NONE || log === undefined) {
    return {
      index,
      errorCode: error,
      baseOffset: -1,
      errorMessage: errorMessage ?? null,
      recordErrors: (recordErrors ?? []).map((record) => ({
        batchIndex: record.index,
        batchIndexErrorMessage: record.message,
      })),
      ...hints?.of(topic, index, error),
    };
  }
  return { index, errorCode: error, baseOffset, logAppendTimeMs, logStartOffset: log.logStartOffset };
}

/** acks=0: success is silent, and a failure can only be told by closing the connection. */
function closeIfRefused(outcomes: readonly Outcome[]): void {
  for (const { index, appended } of outcomes) {
    if (appended.error !== Errors.NONE) {
      throw new UnanswerableError(`partition ${index} of a produce with acks=0: error ${appended.error}`);
    }
    // Nobody waits for this write; its failure stops the broker by other ways.
    appended.durable?.catch(() => undefined);
  }
}
