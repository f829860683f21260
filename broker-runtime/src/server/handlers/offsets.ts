import type { GroupOffsets, OffsetKey, OffsetToCommit } from '../../coordinator/group-coordinator.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { OffsetCommitRequest, OffsetCommitResponse } from '../../wire/messages/offset-commit.ts';
import { OffsetDeleteRequest, OffsetDeleteResponse } from '../../wire/messages/offset-delete.ts';
import { OffsetFetchRequest, OffsetFetchResponse } from '../../wire/messages/offset-fetch.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';

interface FetchedTopic {
  readonly name: string;
  readonly partitions: readonly FetchedPartition[];
}
interface FetchedPartition {
  readonly partitionIndex: number;
  readonly committedOffset: number;
  readonly committedLeaderEpoch: number;
  readonly metadata: string;
  readonly errorCode: ErrorCode;
}
type AskedTopics = readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[] | null;

/** First version of OffsetCommit that can say that a group does not exist (KIP-848). */
const FIRST_NOT_FOUND_VERSION = 9;
/** First version of OffsetFetch that asks for many groups (KIP-709). */
const FIRST_BATCH_VERSION = 8;
/** First version of OffsetFetch with an error of its own; below, every partition carries it. */
const FIRST_TOP_LEVEL_ERROR_VERSION = 2;

/** OffsetCommit: answered when the offsets are durable. */
export const offsetCommitApi = defineApi({
  key: ApiKey.OffsetCommit,
  request: OffsetCommitRequest,
  response: OffsetCommitResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request, context) => {
    const commitWallMs = services.env.clock.wallMs();
    const offsets: OffsetToCommit[] = [];
    // Decided once: topics may come and go until the answer, and errors are matched by position.
    const rows = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex, ...asked }) => {
        if (!exists(services, name, partitionIndex)) return { partitionIndex, at: -1 };
        const committed = {
          offset: asked.committedOffset,
          leaderEpoch: asked.committedLeaderEpoch,
          metadata: asked.committedMetadata ?? '',
          commitWallMs,
        };
        return {
          partitionIndex,
          at: offsets.push({ topic: name, partition: partitionIndex, committed }) - 1,
        };
      }),
    }));
    const committer = {
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      generationId: request.generationIdOrMemberEpoch,
    };
    const unknownGroup =
      context.apiVersion >= FIRST_NOT_FOUND_VERSION ? Errors.GROUP_ID_NOT_FOUND : Errors.ILLEGAL_GENERATION;
    const errors = await services.groups.commit(request.groupId, committer, offsets, unknownGroup);
    return {
      topics: rows.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, at }) => ({
          partitionIndex,
          errorCode: errors[at] ?? Errors.UNKNOWN_TOPIC_OR_PARTITION,
        })),
      })),
    };
  },
  failure: (errorCode, request) => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
    })),
  }),
});

/**
 * OffsetFetch: what was committed last. RequireStable asks to wait for offsets of open transactions; there are none,
 * so every committed offset is stable.
 */
export const offsetFetchApi = defineApi({
  key: ApiKey.OffsetFetch,
  request: OffsetFetchRequest,
  response: OffsetFetchResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    if (context.apiVersion >= FIRST_BATCH_VERSION) {
      const tooMany = request.groups.length > services.groups.config.maxGroupsPerRequest;
      return {
        groups: request.groups.map(({ groupId, topics }) => {
          const found = tooMany ? Errors.INVALID_REQUEST : services.groups.offsetsOf(groupId);
          return { groupId, ...fetched(found, topics) };
        }),
      };
    }
    const answer = fetched(services.groups.offsetsOf(request.groupId), request.topics);
    if (answer.errorCode === Errors.NONE || context.apiVersion >= FIRST_TOP_LEVEL_ERROR_VERSION)
      return answer;
    return { topics: asTopics(request.topics, () => missing(answer.errorCode)) };
  },
  failure: (errorCode, request) => ({
    errorCode,
    topics: asTopics(request.topics, () => missing(errorCode)),
    groups: request.groups.map(({ groupId }) => ({ groupId, topics: [], errorCode })),
  }),
});

/** OffsetDelete (KIP-496): for topics nobody in the group subscribes to. */
export const offsetDeleteApi = defineApi({
  key: ApiKey.OffsetDelete,
  request: OffsetDeleteRequest,
  response: OffsetDeleteResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const keys: OffsetKey[] = [];
    const rows = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const isKnown = exists(services, name, partitionIndex);
        if (isKnown) keys.push({ topic: name, partition: partitionIndex });
        return { partitionIndex, isKnown };
      }),
    }));
    const { error, subscribed } = await services.groups.deleteOffsets(request.groupId, keys);
    if (error !== Errors.NONE) return { errorCode: error, throttleTimeMs: 0, topics: [] };
    return {
      errorCode: Errors.NONE,
      throttleTimeMs: 0,
      topics: rows.map(({ name, partitions }) => {
        const known = subscribed.has(name) ? Errors.GROUP_SUBSCRIBED_TO_TOPIC : Errors.NONE;
        return {
          name,
          partitions: partitions.map(({ partitionIndex, isKnown }) => ({
            partitionIndex,
            errorCode: isKnown ? known : Errors.UNKNOWN_TOPIC_OR_PARTITION,
          })),
        };
      }),
    };
  },
  failure: (errorCode) => ({ errorCode, throttleTimeMs: 0, topics: [] }),
});

function exists(services: Services, topic: string, partition: number): boolean {
  const partitions = services.metadata.topicByName(topic)?.partitions;
  return partitions !== undefined && partition >= 0 && partition < partitions.length;
}

/** `topics` null asks for everything the group has. */
function fetched(
  offsets: GroupOffsets | undefined | ErrorCode,
  topics: AskedTopics,
): { readonly errorCode: ErrorCode; readonly topics: readonly FetchedTopic[] } {
  if (typeof offsets === 'number') return { errorCode: offsets, topics: [] };
  if (topics === null) return { errorCode: Errors.NONE, topics: everything(offsets) };
  return {
    errorCode: Errors.NONE,
    topics: asTopics(topics, (topic, partition) => {
      const committed = offsets?.get(topic, partition);
      if (committed === undefined) return missing(Errors.NONE);
      return {
        committedOffset: committed.offset,
        committedLeaderEpoch: committed.leaderEpoch,
        metadata: committed.metadata,
        errorCode: Errors.NONE,
      };
    }),
  };
}

function everything(offsets: GroupOffsets | undefined): readonly FetchedTopic[] {
  const topics = new Map<string, FetchedPartition[]>();
  for (const { topic, partition, committed } of offsets?.committed() ?? []) {
    const partitions = topics.get(topic) ?? [];
    topics.set(topic, partitions);
    partitions.push({
      partitionIndex: partition,
      committedOffset: committed.offset,
      committedLeaderEpoch: committed.leaderEpoch,
      metadata: committed.metadata,
      errorCode: Errors.NONE,
    });
  }
  return Array.from(topics, ([name, partitions]) => ({ name, partitions }));
}

function asTopics(
  topics: AskedTopics,
  find: (topic: string, partition: number) => Omit<FetchedPartition, 'partitionIndex'>,
): readonly FetchedTopic[] {
  return (topics ?? []).map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, ...find(name, partitionIndex) })),
  }));
}

/** Nothing was committed, or `errorCode` says why it cannot be told. */
function missing(errorCode: ErrorCode): Omit<FetchedPartition, 'partitionIndex'> {
  return { committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode };
}
