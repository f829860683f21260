import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DATA_PREFIX } from '../../broker-runtime/src/store/object-key.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from '../../broker-runtime/src/wire/messages/alter-partition-reassignments.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../broker-runtime/src/wire/messages/delete-records.ts';
import {
  ListOffsetsRequest,
  ListOffsetsResponse,
} from '../../broker-runtime/src/wire/messages/list-offsets.ts';
import {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from '../../broker-runtime/src/wire/messages/list-partition-reassignments.ts';
import {
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochResponse,
} from '../../broker-runtime/src/wire/messages/offset-for-leader-epoch.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
import {
  Fetch,
  Metadata,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  joinBroker,
  produceTo,
  producedRow,
  recordsIn,
  startBroker,
  type BrokerRig,
  type JoinedBroker,
} from './broker-rig.ts';

const Alter = [AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse] as const;
const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;
const ListOffsets = [ListOffsetsRequest, ListOffsetsResponse] as const;
const OffsetForLeaderEpoch = [OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse] as const;
const List = [ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse] as const;

let rig: BrokerRig;
let other: JoinedBroker;
beforeAll(async () => {
  rig = await startBroker();
  other = await joinBroker(rig, 2);
});
afterAll(async () => {
  await other.close();
  await rig.close();
});

async function rowOf(client: KafkaClient, topic: string) {
  const { topics } = await rig.run(client.call(Metadata, 12, { topics: [{ name: topic }] }));
  const partition = topics[0]?.partitions[0];
  if (partition === undefined) throw new Error(`${topic} has no partition`);
  return partition;
}

/** Moves partition 0 of a topic, and waits until both brokers show it. */
async function move(topic: string, to: number): Promise<void> {
  const topics = [{ name: topic, partitions: [{ partitionIndex: 0, replicas: [to] }] }];
  const { responses } = await rig.run(rig.client.call(Alter, 1, { topics }));
  expect(responses[0]?.partitions[0]).toEqual({ partitionIndex: 0, errorCode: 0, errorMessage: null });
  for (const client of [rig.client, other.client]) {
    for (let tries = 0; (await rowOf(client, topic)).leaderId !== to; tries++) {
      if (tries === 100) throw new Error(`${topic} does not move`);
      await rig.run(rig.env.clock.sleep(50));
    }
  }
}

/** A topic whose partition is at broker 1 with one record in it. */
async function topicAtOne(name: string): Promise<string> {
  const topicId = await rig.topic(name);
  if ((await rowOf(rig.client, name)).leaderId !== 1) await move(name, 1);
  expect(
    producedRow(await rig.run(rig.client.call(Produce, 12, produceTo(name, batchOf(['a']))))).errorCode,
  ).toBe(0);
  return topicId;
}

const atTwo = (leaderEpoch: number) => ({ leaderId: 2, leaderEpoch });

test('a move ends with the new leader, one epoch later, with all records and none under way', async () => {
  await topicAtOne('m');
  const before = await rowOf(rig.client, 'm');
  await move('m', 2);
  expect(await rowOf(other.client, 'm')).toMatchObject({
    leaderEpoch: before.leaderEpoch + 1,
    replicaNodes: [2],
    isrNodes: [2],
  });
  expect((await rig.run(rig.client.call(List, 0, { topics: null }))).topics).toEqual([]);
  const fetched = await rig.run(other.client.call(Fetch, 12, fetchFrom('m', 0)));
  expect(recordsIn(fetchedRow(fetched).records)).toEqual(['0:a']);
});

test('KIP-951: a produce to the old leader is told who leads, and where, from version 10', async () => {
  const topicId = await topicAtOne('hint-p');
  await move('hint-p', 2);
  const { leaderEpoch } = await rowOf(rig.client, 'hint-p');
  const batch = batchOf(['b']);
  const old = await rig.run(rig.client.call(Produce, 9, produceTo('hint-p', batch)));
  expect(producedRow(old).errorCode).toBe(Errors.NOT_LEADER_OR_FOLLOWER);
  for (const version of [10, 12, 13]) {
    const topic = version < 13 ? { name: 'hint-p' } : { topicId };
    const partitionData = [
      { index: 0, records: batch },
      { index: 0, records: batch },
      { index: 9, records: batch },
    ];
    const told = await rig.run(
      rig.client.call(Produce, version, {
        acks: -1,
        timeoutMs: 1000,
        topicData: [{ ...topic, partitionData }],
      }),
    );
    expect(
      told.responses[0]?.partitionResponses.map(({ errorCode, currentLeader }) => [errorCode, currentLeader]),
    ).toEqual([
      [Errors.NOT_LEADER_OR_FOLLOWER, atTwo(leaderEpoch)],
      [Errors.NOT_LEADER_OR_FOLLOWER, atTwo(leaderEpoch)],
      [Errors.UNKNOWN_TOPIC_OR_PARTITION, { leaderId: -1, leaderEpoch: -1 }],
    ]);
    const { host, port } = other.broker.address;
    expect(told.nodeEndpoints).toEqual([{ nodeId: 2, host, port, rack: 'zone-2' }]);
  }
  const there = await rig.run(other.client.call(Produce, 10, produceTo('hint-p', batch)));
  expect(producedRow(there)).toMatchObject({ errorCode: 0, baseOffset: 1, currentLeader: { leaderId: -1 } });
  expect(there.nodeEndpoints).toEqual([]);
});

test('KIP-951: a fetch from the old leader, or under an old epoch, is told as well, from version 16', async () => {
  const topicId = await topicAtOne('hint-f');
  await move('hint-f', 2);
  const { leaderEpoch } = await rowOf(rig.client, 'hint-f');
  const { host, port } = other.broker.address;
  const endpoints = [{ nodeId: 2, host, port, rack: 'zone-2' }];
  const ask = async (client: KafkaClient, version: number, currentLeaderEpoch: number) => {
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000, currentLeaderEpoch }];
    const topics = [{ topicId, partitions }];
    const { nodeEndpoints, ...rest } = await rig.run(
      client.call(Fetch, version, fetchFrom('hint-f', 0, { topics })),
    );
    const row = rest.responses[0]?.partitions[0];
    return [row?.errorCode, row?.currentLeader, nodeEndpoints];
  };
  const none = { leaderId: -1, leaderEpoch: -1 };
  expect(await ask(rig.client, 15, -1)).toEqual([Errors.NOT_LEADER_OR_FOLLOWER, none, []]);
  for (const version of [16, 17]) {
    expect(await ask(rig.client, version, -1)).toEqual([
      Errors.NOT_LEADER_OR_FOLLOWER,
      atTwo(leaderEpoch),
      endpoints,
    ]);
    // The leader itself, asked by a client that knows an older one.
    expect(await ask(other.client, version, leaderEpoch - 1)).toEqual([
      Errors.FENCED_LEADER_EPOCH,
      atTwo(leaderEpoch),
      endpoints,
    ]);
    expect(await ask(other.client, version, leaderEpoch)).toEqual([0, none, []]);
  }
});

describe('a client that knows an older leader (KIP-320, KIP-595)', () => {
  /** Records 0 and 1 under one epoch, record 2 three epochs later; under those in between nothing was written. */
  async function twoEpochs(name: string): Promise<{ older: number; newer: number }> {
    const put = async (client: KafkaClient, value: string): Promise<number> => {
      const produced = producedRow(
        await rig.run(client.call(Produce, 12, produceTo(name, batchOf([value])))),
      );
      expect(produced.errorCode).toBe(0);
      return produced.baseOffset;
    };
    await topicAtOne(name);
    expect(await put(rig.client, 'b')).toBe(1);
    const { leaderEpoch: older } = await rowOf(rig.client, name);
    for (const to of [2, 1, 2]) await move(name, to);
    const { leaderEpoch: newer } = await rowOf(other.client, name);
    expect(await put(other.client, 'c')).toBe(2);
    return { older, newer };
  }

  test('a fetch that goes on behind where its epoch ended is told that end at once; others are answered', async () => {
    const { older, newer } = await twoEpochs('diverge');
    const ask = async (fetchOffset: number, lastFetchedEpoch: number) => {
      const body = fetchFrom('diverge', fetchOffset, { maxWaitMs: 20_000 }, { lastFetchedEpoch });
      const { errorCode, divergingEpoch, records } = fetchedRow(
        await rig.run(other.client.call(Fetch, 12, body)),
      );
      return { errorCode, divergingEpoch, records: recordsIn(records) };
    };
    const none = { epoch: -1, endOffset: -1 };
    const fromMs = rig.env.clock.monotonicMs();
    expect(await ask(2, older)).toEqual({ errorCode: 0, divergingEpoch: none, records: ['2:c'] });
    for (const [offset, epoch] of [
      [3, older],
      [1, older + 1],
    ] as const) {
      expect(await ask(offset, epoch)).toEqual({
        errorCode: 0,
        divergingEpoch: { epoch: older, endOffset: 2 },
        records: [],
      });
    }
    // Failure class: neither an error nor an end to go back to, so that a client asks again without end.
    expect(await ask(3, newer + 1)).toMatchObject({
      errorCode: Errors.OFFSET_OUT_OF_RANGE,
      divergingEpoch: none,
    });
    expect(rig.env.clock.monotonicMs() - fromMs).toBeLessThan(1000);
    const before = { topics: [{ name: 'diverge', partitions: [{ partitionIndex: 0, offset: 1 }] }] };
    await rig.run(other.client.call(DeleteRecords, 2, { ...before, timeoutMs: 1000 }));
    expect(await ask(0, older + 1)).toMatchObject({
      errorCode: Errors.OFFSET_OUT_OF_RANGE,
      divergingEpoch: none,
    });
  });

  test('ListOffsets and OffsetForLeaderEpoch under an old epoch are FENCED, and tell where an old epoch ended', async () => {
    const { older, newer } = await twoEpochs('old-epoch');
    const list = async (currentLeaderEpoch: number) => {
      const partitions = [{ partitionIndex: 0, currentLeaderEpoch, timestamp: -1 }];
      const { topics } = await rig.run(
        other.client.call(ListOffsets, 9, {
          replicaId: -1,
          isolationLevel: 0,
          topics: [{ name: 'old-epoch', partitions }],
        }),
      );
      return topics[0]?.partitions[0];
    };
    expect(await list(older)).toMatchObject({ errorCode: Errors.FENCED_LEADER_EPOCH, offset: -1 });
    expect(await list(newer)).toMatchObject({ errorCode: 0, offset: 3, leaderEpoch: newer });
    const endOf = async (leaderEpoch: number, currentLeaderEpoch: number) => {
      const partitions = [{ partition: 0, currentLeaderEpoch, leaderEpoch }];
      const topics = [{ topic: 'old-epoch', partitions }];
      return (await rig.run(other.client.call(OffsetForLeaderEpoch, 4, { topics }))).topics[0]?.partitions[0];
    };
    const undefinedEnd = { leaderEpoch: -1, endOffset: -1 };
    expect(await endOf(older, older)).toMatchObject({
      errorCode: Errors.FENCED_LEADER_EPOCH,
      ...undefinedEnd,
    });
    expect(await endOf(older, newer + 1)).toMatchObject({ errorCode: Errors.UNKNOWN_LEADER_EPOCH });
    expect(await endOf(older, newer)).toMatchObject({ errorCode: 0, leaderEpoch: older, endOffset: 2 });
    expect(await endOf(newer, -1)).toMatchObject({ errorCode: 0, leaderEpoch: newer, endOffset: 3 });
    expect(await endOf(newer + 1, -1)).toMatchObject({ errorCode: 0, ...undefinedEnd });
  });
});

test('while a partition moves, its rows stay with the leader; it is listed, and the move can be called off', async () => {
  await topicAtOne('slow');
  const alterTo = (replicas: readonly number[] | null) =>
    rig.run(
      rig.client.call(Alter, 1, {
        topics: [{ name: 'slow', partitions: [{ partitionIndex: 0, replicas }] }],
      }),
    );
  const list = async (partitionIndexes: readonly number[] | undefined) => {
    const topics = partitionIndexes === undefined ? null : [{ name: 'slow', partitionIndexes }];
    return (await rig.run(rig.client.call(List, 0, { topics }))).topics;
  };
  const produced = async (version: number) =>
    rig.run(rig.client.call(Produce, version, produceTo('slow', batchOf(['b']))));

  // What is only in the WAL cannot be uploaded, so the leader cannot let go.
  rig.objects.faults = (operation, key) =>
    operation === 'put' && key.startsWith(DATA_PREFIX) ? { kind: 'fail' } : undefined;
  await alterTo([2, 1]);
  expect(await rowOf(rig.client, 'slow')).toMatchObject({
    errorCode: 0,
    leaderId: 1,
    replicaNodes: [1],
    isrNodes: [1],
    offlineReplicas: [],
  });
  const moving = { partitionIndex: 0, replicas: [1, 2], addingReplicas: [2], removingReplicas: [1] };
  expect(await list(undefined)).toEqual([{ name: 'slow', partitions: [moving] }]);
  expect(await list([1, 0])).toEqual([{ name: 'slow', partitions: [moving] }]);
  expect(await list([1])).toEqual([]);
  // The one who leads and serves nothing is no place to send anybody to.
  const refused = await produced(10);
  expect(producedRow(refused)).toMatchObject({
    errorCode: Errors.NOT_LEADER_OR_FOLLOWER,
    currentLeader: { leaderId: -1 },
  });
  expect(refused.nodeEndpoints).toEqual([]);

  expect((await alterTo(null)).responses[0]?.partitions[0]?.errorCode).toBe(0);
  expect(await list(undefined)).toEqual([]);
  rig.objects.faults = undefined;
  let row = producedRow(await produced(10));
  for (let tries = 0; row.errorCode !== 0 && tries < 100; tries++) {
    await rig.run(rig.env.clock.sleep(100));
    row = producedRow(await produced(10));
  }
  expect(row).toMatchObject({ errorCode: 0, baseOffset: 1 });
  expect((await rowOf(rig.client, 'slow')).leaderId).toBe(1);
});
