import { invariant } from '../../base/errors.ts';
import type { MovePartition, TopicResult } from '../../metadata/cluster-metadata.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors } from '../../wire/errors.ts';
import {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from '../../wire/messages/alter-partition-reassignments.ts';
import {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from '../../wire/messages/list-partition-reassignments.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { REPLICATION_FACTOR } from './topic-rows.ts';

type AlterRequest = AlterPartitionReassignmentsRequest;
type AskedPartition = AlterRequest['topics'][number]['partitions'][number];
type ListedTopic = Encodable<typeof ListPartitionReassignmentsResponse>['topics'][number];

/** A partition to move, or why it cannot be. */
type Planned = MovePartition | TopicResult;

/**
 * AlterPartitionReassignments. A partition has one replica, its leader: to reassign it is to move it to the first broker
 * of the list. The others of a longer list must exist, and hold nothing: the storage below keeps the copies. A request
 * that forbids another replica count gets an error for such a list. Null calls a move off.
 */
export const alterPartitionReassignmentsApi = defineApi({
  key: ApiKey.AlterPartitionReassignments,
  request: AlterPartitionReassignmentsRequest,
  response: AlterPartitionReassignmentsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const { topics, allowReplicationFactorChange } = request;
    const planned = topics.flatMap(({ name, partitions }) =>
      partitions.map((asked) => plan(services, name, asked, allowReplicationFactorChange)),
    );
    const results = (await moveAll(services, planned)).values();
    return {
      throttleTimeMs: 0,
      allowReplicationFactorChange,
      errorCode: Errors.NONE,
      errorMessage: null,
      responses: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex }) => {
          const { value } = results.next();
          invariant(value !== undefined, 'server', 'every partition asked for has a result');
          return { partitionIndex, errorCode: value.error, errorMessage: value.message ?? null };
        }),
      })),
    };
  },
  failure: (errorCode, request) => ({
    throttleTimeMs: 0,
    allowReplicationFactorChange: request.allowReplicationFactorChange,
    errorCode,
    errorMessage: null,
    responses: [],
  }),
});

function plan(
  services: Services,
  topicName: string,
  { partitionIndex, replicas }: AskedPartition,
  mayChangeFactor: boolean,
): Planned {
  const topic = services.metadata.topicByName(topicName);
  if (topic === undefined) {
    return {
      error: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      message: `Unable to find a topic named ${topicName}.`,
    };
  }
  if (topic.partitions[partitionIndex] === undefined) {
    return {
      error: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      message: `Unable to find partition ${topicName}:${partitionIndex}.`,
    };
  }
  const move = { topicId: topic.id, index: partitionIndex };
  if (replicas === null) return { ...move, toNodeId: null };
  const [toNodeId] = replicas;
  const problem = problemOf(services, replicas);
  if (toNodeId === undefined || problem !== undefined) {
    return {
      error: Errors.INVALID_REPLICA_ASSIGNMENT,
      message: `The manual partition assignment ${problem}`,
    };
  }
  if (!mayChangeFactor && replicas.length !== REPLICATION_FACTOR) {
    return {
      error: Errors.INVALID_REPLICATION_FACTOR,
      message: `The replication factor is changed from ${REPLICATION_FACTOR} to ${replicas.length}`,
    };
  }
  return { ...move, toNodeId };
}

/** Kafka's words behind "The manual partition assignment". */
function problemOf(services: Services, replicas: readonly number[]): string | undefined {
  if (replicas.length === 0) return 'includes an empty replica list.';
  const seen = new Set<number>();
  for (const id of replicas) {
    if (services.metadata.broker(id) === undefined) {
      return `includes broker ${id}, but no such broker is registered.`;
    }
    if (seen.has(id)) return `includes the broker ${id} more than once.`;
    seen.add(id);
  }
  return undefined;
}

/** All moves of a request in one entry of the log; results in the order of `planned`. */
async function moveAll(services: Services, planned: readonly Planned[]): Promise<readonly TopicResult[]> {
  const moves = planned.filter(isMove);
  const results = moves.length === 0 ? [] : await services.metadata.movePartitions(moves);
  const moved = results.values();
  return planned.map((row) => {
    if (!isMove(row)) return row;
    const { value } = moved.next();
    invariant(value !== undefined, 'metadata', 'one move has one answer');
    return value;
  });
}

function isMove(row: Planned): row is MovePartition {
  return 'topicId' in row;
}

/** ListPartitionReassignments: what moves. The replica to be added is the one that will lead. */
export const listPartitionReassignmentsApi = defineApi({
  key: ApiKey.ListPartitionReassignments,
  request: ListPartitionReassignmentsRequest,
  response: ListPartitionReassignmentsResponse,
  requestMemory: 'decoded',
  handler:
    (services) =>
    ({ topics }) => {
      const rows =
        topics === null
          ? Array.from(services.metadata.topics(), ({ name }) => moving(services, name, undefined))
          : topics.map(({ name, partitionIndexes }) => moving(services, name, new Set(partitionIndexes)));
      return {
        throttleTimeMs: 0,
        errorCode: Errors.NONE,
        errorMessage: null,
        topics: rows.filter(({ partitions }) => partitions.length > 0),
      };
    },
  failure: (errorCode) => ({ throttleTimeMs: 0, errorCode, errorMessage: null, topics: [] }),
});

/** What is asked for and does not exist does not move either. */
function moving(services: Services, name: string, asked: ReadonlySet<number> | undefined): ListedTopic {
  const partitions = services.metadata.topicByName(name)?.partitions ?? [];
  return {
    name,
    partitions: partitions.flatMap(({ index, leaderId, movingTo }) =>
      movingTo === undefined || (asked !== undefined && !asked.has(index))
        ? []
        : [
            {
              partitionIndex: index,
              replicas: [leaderId, movingTo],
              addingReplicas: [movingTo],
              removingReplicas: [leaderId],
            },
          ],
    ),
  };
}
