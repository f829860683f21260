import type { Isolation, PartitionLog, TimestampOffset } from '../../log/partition-log.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { DeleteRecordsRequest, DeleteRecordsResponse } from '../../wire/messages/delete-records.ts';
import { ListOffsetsRequest, ListOffsetsResponse } from '../../wire/messages/list-offsets.ts';
import {
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochResponse,
} from '../../wire/messages/offset-for-leader-epoch.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { repeated } from './repeated.ts';
import { checkLeaderEpoch, findTopic, openPartition } from './partition-access.ts';

type ListOffsetsRow = Encodable<typeof ListOffsetsResponse>['topics'][number]['partitions'][number];
type AskedOffset = ListOffsetsRequest['topics'][number]['partitions'][number];

/** Timestamps that are questions, and the first version that may ask them. */
const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;
const LATEST_TIERED = -5;
const FIRST_VERSION_ASKING: ReadonlyMap<number, number> = new Map([
  [LATEST, 1],
  [EARLIEST, 1],
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9],
]);

const FIRST_VERSION_WITH_EPOCH = 4;

const NO_OFFSET = { timestamp: -1, offset: -1 };

/** The offset of a moment, of the ends, or of the newest record. */
export const listOffsetsApi = defineApi({
  key: ApiKey.ListOffsets,
  request: ListOffsetsRequest,
  response: ListOffsetsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request, context) => {
    const isolation = request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted';
    const twice = repeated(
      request.topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex }) => `${name}/${partitionIndex}`),
      ),
    );
    return {
      topics: await Promise.all(
        request.topics.map(async ({ name, partitions }) => ({
          name,
          partitions: await Promise.all(
            partitions.map(async (asked) =>
              twice.has(`${name}/${asked.partitionIndex}`)
                ? refuseOffset(asked, Errors.INVALID_REQUEST)
                : rowFor(
                    context.apiVersion,
                    await listOffset(services, name, asked, isolation, context.apiVersion),
                  ),
            ),
          ),
        })),
      ),
    };
  },
});

/** Versions without leader epochs have no place for one. */
function rowFor(apiVersion: number, row: ListOffsetsRow): ListOffsetsRow {
  return apiVersion >= FIRST_VERSION_WITH_EPOCH ? row : { ...row, leaderEpoch: -1 };
}

async function listOffset(
  services: Services,
  name: string,
  asked: AskedOffset,
  isolation: Isolation,
  apiVersion: number,
): Promise<ListOffsetsRow> {
  const { timestamp, currentLeaderEpoch, partitionIndex } = asked;
  if (timestamp < 0 && apiVersion < (FIRST_VERSION_ASKING.get(timestamp) ?? Infinity)) {
    return refuseOffset(asked, Errors.UNSUPPORTED_VERSION);
  }
  const log = await logOf(services, name, partitionIndex);
  if (typeof log === 'number') return refuseOffset(asked, log);
  const error = checkLeaderEpoch(log, currentLeaderEpoch);
  if (error !== Errors.NONE) return refuseOffset(asked, error);
  const row = { partitionIndex, errorCode: Errors.NONE };
  const end = isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark;
  switch (timestamp) {
    case LATEST:
      return { ...row, timestamp: -1, offset: end, leaderEpoch: log.leaderEpoch };
    case EARLIEST:
    case EARLIEST_LOCAL:
      return {
        ...row,
        timestamp: -1,
        offset: log.logStartOffset,
        leaderEpoch: log.epochAt(log.logStartOffset),
      };
    case LATEST_TIERED:
      // Nothing is tiered in Kafka's sense: all data is where the log is.
      return { ...row, ...NO_OFFSET };
    case MAX_TIMESTAMP:
      return { ...row, ...found(await log.maxTimestamp(), end) };
    default:
      return { ...row, ...found(await log.offsetForTimestamp(timestamp), end) };
  }
}

function found(
  record: TimestampOffset | undefined,
  end: number,
): Pick<ListOffsetsRow, 'timestamp' | 'offset' | 'leaderEpoch'> {
  if (record === undefined || record.offset >= end) return NO_OFFSET;
  return { timestamp: record.timestampMs, offset: record.offset, leaderEpoch: record.leaderEpoch };
}

function refuseOffset(asked: AskedOffset, errorCode: ErrorCode): ListOffsetsRow {
  return { partitionIndex: asked.partitionIndex, errorCode, ...NO_OFFSET };
}

/** Where a leader epoch ends: consumers compare it with their position after a change of leader (KIP-320). */
export const offsetForLeaderEpochApi = defineApi({
  key: ApiKey.OffsetForLeaderEpoch,
  request: OffsetForLeaderEpochRequest,
  response: OffsetForLeaderEpochResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => ({
    topics: await Promise.all(
      request.topics.map(async ({ topic, partitions }) => ({
        topic,
        partitions: await Promise.all(
          partitions.map(async ({ partition, currentLeaderEpoch, leaderEpoch }) => {
            const log = await logOf(services, topic, partition);
            if (typeof log === 'number') return { partition, errorCode: log };
            const errorCode = checkLeaderEpoch(log, currentLeaderEpoch);
            if (errorCode !== Errors.NONE) return { partition, errorCode };
            return { partition, errorCode, ...log.endOffsetForEpoch(leaderEpoch) };
          }),
        ),
      })),
    ),
  }),
});

/** Declares everything below an offset deleted; -1 means up to the high watermark. */
export const deleteRecordsApi = defineApi({
  key: ApiKey.DeleteRecords,
  request: DeleteRecordsRequest,
  response: DeleteRecordsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => ({
    throttleTimeMs: 0,
    topics: await Promise.all(
      request.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(async ({ partitionIndex, offset }) => {
            const log = await logOf(services, name, partitionIndex);
            if (typeof log === 'number') return { partitionIndex, errorCode: log, lowWatermark: -1 };
            const { error, logStartOffset } = await log.deleteRecordsBefore(offset);
            const lowWatermark = error === Errors.NONE ? logStartOffset : -1;
            return { partitionIndex, errorCode: error, lowWatermark };
          }),
        ),
      })),
    ),
  }),
});

async function logOf(
  services: Services,
  topicName: string,
  index: number,
): Promise<PartitionLog | ErrorCode> {
  const topic = findTopic(services, { name: topicName, topicId: '' }, false);
  return typeof topic === 'number' ? topic : openPartition(services, topic, index);
}
