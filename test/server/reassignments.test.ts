import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from '../../broker-runtime/src/wire/messages/alter-partition-reassignments.ts';
import {
  ElectLeadersRequest,
  ElectLeadersResponse,
} from '../../broker-runtime/src/wire/messages/elect-leaders.ts';
import {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from '../../broker-runtime/src/wire/messages/list-partition-reassignments.ts';
import type { Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { startBroker, type BrokerRig } from './broker-rig.ts';

const Alter = [AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse] as const;
const List = [ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse] as const;
const Elect = [ElectLeadersRequest, ElectLeadersResponse] as const;

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
  await rig.topic('t', { partitions: 3 });
});
afterAll(() => rig.close());

async function alter(
  replicas: readonly number[] | null,
  { topic = 't', index = 0, version = 1, allowReplicationFactorChange = true } = {},
): Promise<readonly [error: number, message: string | null]> {
  const response = await rig.run(
    rig.client.call(Alter, version, {
      ...(version === 0 ? {} : { allowReplicationFactorChange }),
      topics: [{ name: topic, partitions: [{ partitionIndex: index, replicas }] }],
    }),
  );
  expect(response).toMatchObject({ errorCode: 0, errorMessage: null, responses: [{ name: topic }] });
  const row = response.responses[0]?.partitions[0];
  expect(row?.partitionIndex).toBe(index);
  return [row?.errorCode ?? -1, row?.errorMessage ?? null];
}

const elect = (version: number, body: Encodable<typeof ElectLeadersRequest>) =>
  rig.run(rig.client.call(Elect, version, body));

describe('AlterPartitionReassignments', () => {
  test.each([0, 1])('version %i: to where the partition is already, is done', async (version) => {
    expect(await alter([1], { version })).toEqual([0, null]);
  });

  test.each([
    [[], 'The manual partition assignment includes an empty replica list.'],
    [[1, 1], 'The manual partition assignment includes the broker 1 more than once.'],
    [[7], 'The manual partition assignment includes broker 7, but no such broker is registered.'],
    [[1, 7], 'The manual partition assignment includes broker 7, but no such broker is registered.'],
    [[-1], 'The manual partition assignment includes broker -1, but no such broker is registered.'],
  ])('the list %j is INVALID_REPLICA_ASSIGNMENT', async (replicas, message) => {
    expect(await alter(replicas)).toEqual([Errors.INVALID_REPLICA_ASSIGNMENT, message]);
  });

  test('null calls a move off, and there is none', async () => {
    expect(await alter(null)).toEqual([
      Errors.NO_REASSIGNMENT_IN_PROGRESS,
      'No partition reassignment is in progress.',
    ]);
  });

  test.each([
    ['none', 0, 'Unable to find a topic named none.'],
    ['t', 3, 'Unable to find partition t:3.'],
    ['t', -1, 'Unable to find partition t:-1.'],
  ])('%s-%i does not exist', async (topic, index, message) => {
    expect(await alter([1], { topic, index })).toEqual([Errors.UNKNOWN_TOPIC_OR_PARTITION, message]);
  });

  test('every partition of a request has its own answer, in order', async () => {
    const { responses } = await rig.run(
      rig.client.call(Alter, 0, {
        topics: [
          {
            name: 't',
            partitions: [
              { partitionIndex: 2, replicas: [] },
              { partitionIndex: 0, replicas: [1] },
              { partitionIndex: 1, replicas: null },
            ],
          },
          { name: 'none', partitions: [{ partitionIndex: 0, replicas: [1] }] },
        ],
      }),
    );
    const rows = responses.map(({ partitions }) =>
      partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
    );
    expect(rows).toEqual([
      [
        [2, Errors.INVALID_REPLICA_ASSIGNMENT],
        [0, 0],
        [1, Errors.NO_REASSIGNMENT_IN_PROGRESS],
      ],
      [[0, Errors.UNKNOWN_TOPIC_OR_PARTITION]],
    ]);
  });
});

describe('ListPartitionReassignments', () => {
  test.each([
    [null],
    [[]],
    [[{ name: 't', partitionIndexes: [0, 9] }]],
    [[{ name: 'none', partitionIndexes: [0] }]],
  ])('nothing moves: %j', async (topics) => {
    const response = await rig.run(rig.client.call(List, 0, { topics }));
    expect(response).toEqual({ throttleTimeMs: 0, errorCode: 0, errorMessage: null, topics: [] });
  });
});

describe('ElectLeaders', () => {
  test.each([
    [0, undefined],
    [1, 0],
    [2, 0],
    [2, 1],
  ])('version %i, type %p: the only replica leads already', async (version, electionType) => {
    const { errorCode, replicaElectionResults } = await elect(version, {
      ...(electionType === undefined ? {} : { electionType }),
      topicPartitions: [
        { topic: 't', partitions: [2, 5] },
        { topic: 'none', partitions: [0] },
      ],
    });
    expect(errorCode).toBe(0);
    expect(replicaElectionResults).toEqual([
      {
        topic: 't',
        partitionResult: [
          {
            partitionId: 2,
            errorCode: Errors.ELECTION_NOT_NEEDED,
            errorMessage: 'Leader election not needed for topic partition.',
          },
          {
            partitionId: 5,
            errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION,
            errorMessage: 'No such partition as t-5',
          },
        ],
      },
      {
        topic: 'none',
        partitionResult: [
          {
            partitionId: 0,
            errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION,
            errorMessage: 'No such topic as none',
          },
        ],
      },
    ]);
  });

  test('of all partitions, only those without their leader are told of', async () => {
    expect((await elect(2, { electionType: 0, topicPartitions: null })).replicaElectionResults).toEqual([]);
  });

  test('an unknown type is INVALID_REQUEST', async () => {
    expect((await elect(2, { electionType: 5, topicPartitions: null })).errorCode).toBe(
      Errors.INVALID_REQUEST,
    );
  });
});
