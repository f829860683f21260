import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../../broker-runtime/src/wire/messages/create-topics.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../../broker-runtime/src/wire/messages/delete-records.ts';
import {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from '../../../broker-runtime/src/wire/messages/delete-topics.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../../broker-runtime/src/wire/messages/find-coordinator.ts';
import {
  OffsetCommitRequest,
  OffsetCommitResponse,
} from '../../../broker-runtime/src/wire/messages/offset-commit.ts';
import {
  OffsetFetchRequest,
  OffsetFetchResponse,
} from '../../../broker-runtime/src/wire/messages/offset-fetch.ts';
import type { Address } from '../../../broker-runtime/src/ports/network.ts';
import { type ClusterClient, NONE } from './cluster-client.ts';
import { configsOf, type TopicKind } from './topic-kinds.ts';

const CreateTopics = [CreateTopicsRequest, CreateTopicsResponse] as const;
const DeleteTopics = [DeleteTopicsRequest, DeleteTopicsResponse] as const;
const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;
const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;
const OffsetCommit = [OffsetCommitRequest, OffsetCommitResponse] as const;
const OffsetFetch = [OffsetFetchRequest, OffsetFetchResponse] as const;

const UNKNOWN_TOPIC_OR_PARTITION = 3;
const TOPIC_ALREADY_EXISTS = 36;
const TIMEOUT_MS = 10_000;

/** @returns whether it is there now */
export async function createTopic(
  client: ClusterClient,
  name: string,
  numPartitions: number,
  kind: TopicKind = 'kept',
): Promise<boolean> {
  const topics = [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: configsOf(kind) }];
  const answer = await client.call(client.anyBroker(), CreateTopics, 7, { topics, timeoutMs: TIMEOUT_MS });
  const errorCode = answer?.topics[0]?.errorCode;
  return errorCode === NONE || errorCode === TOPIC_ALREADY_EXISTS;
}

/** @returns whether it is gone now */
export async function deleteTopic(client: ClusterClient, name: string): Promise<boolean> {
  const body = { topicNames: [name], timeoutMs: TIMEOUT_MS };
  const answer = await client.call(client.anyBroker(), DeleteTopics, 5, body);
  const errorCode = answer?.responses[0]?.errorCode;
  return errorCode === NONE || errorCode === UNKNOWN_TOPIC_OR_PARTITION;
}

/** @returns where the log begins now; undefined: it may have been done or not */
export async function deleteRecords(
  client: ClusterClient,
  topic: string,
  partitionIndex: number,
  offset: number,
): Promise<number | undefined> {
  const address = await client.leaderOf(topic, partitionIndex);
  if (address === undefined) return undefined;
  const topics = [{ name: topic, partitions: [{ partitionIndex, offset }] }];
  const answer = await client.call(address, DeleteRecords, 2, { topics, timeoutMs: TIMEOUT_MS });
  const row = answer?.topics[0]?.partitions[0];
  if (row?.errorCode === NONE) return row.lowWatermark;
  client.forget(topic, partitionIndex);
  return undefined;
}

export async function findCoordinator(client: ClusterClient, group: string): Promise<Address | undefined> {
  const body = { key: '', keyType: 0, coordinatorKeys: [group] };
  const answer = await client.call(client.anyBroker(), FindCoordinator, 4, body);
  const found = answer?.coordinators[0];
  return found?.errorCode === NONE ? { host: found.host, port: found.port } : undefined;
}

/** Without membership. @returns the error code; undefined: no answer */
export async function commitOffset(
  client: ClusterClient,
  coordinator: Address,
  group: string,
  topic: string,
  partitionIndex: number,
  committedOffset: number,
): Promise<number | undefined> {
  const partitions = [{ partitionIndex, committedOffset, committedMetadata: null }];
  const answer = await client.call(coordinator, OffsetCommit, 8, {
    groupId: group,
    generationIdOrMemberEpoch: -1,
    memberId: '',
    topics: [{ name: topic, partitions }],
  });
  return answer?.topics[0]?.partitions[0]?.errorCode;
}

/** @returns -1: none; undefined: it was not told */
export async function committedOffset(
  client: ClusterClient,
  coordinator: Address,
  group: string,
  topic: string,
  partition: number,
): Promise<number | undefined> {
  const topics = [{ name: topic, partitionIndexes: [partition] }];
  const answer = await client.call(coordinator, OffsetFetch, 7, { groupId: group, topics });
  const row = answer?.topics[0]?.partitions[0];
  return answer?.errorCode === NONE && row?.errorCode === NONE ? row.committedOffset : undefined;
}
