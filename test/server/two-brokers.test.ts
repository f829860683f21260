import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { describePartition } from '../../broker-runtime/src/server/handlers/topic-rows.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  DescribeClusterRequest,
  DescribeClusterResponse,
} from '../../broker-runtime/src/wire/messages/describe-cluster.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
import { Metadata, joinBroker, startBroker, type BrokerRig, type JoinedBroker } from './broker-rig.ts';

const DescribeCluster = [DescribeClusterRequest, DescribeClusterResponse] as const;
const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;

const FIRST = { nodeId: 1, host: '127.0.0.1', port: 9092, rack: 'zone-a' };
const SECOND = { nodeId: 2, host: 'b2.example', port: 9096, rack: 'zone-2' };

let rig: BrokerRig;
let other: JoinedBroker;
beforeAll(async () => {
  rig = await startBroker({ 'offsets.topic.num.partitions': '2' });
  other = await joinBroker(rig, 2, { advertisedHost: SECOND.host });
});
afterAll(() => rig.close());

const metadata = (client: KafkaClient) => rig.run(client.call(Metadata, 12, { topics: [] }));
const cluster = (client: KafkaClient) =>
  rig.run(client.call(DescribeCluster, 1, { includeClusterAuthorizedOperations: false, endpointType: 1 }));

test('every broker tells of the same brokers, under the names they advertise, and the same cluster', async () => {
  const [first, second] = [await metadata(rig.client), await metadata(other.client)];
  expect(first.brokers).toEqual([FIRST, SECOND]);
  expect(second.brokers).toEqual([FIRST, SECOND]);
  expect(second.clusterId).toBe(first.clusterId);
});

test('the controller that admin clients are sent to is alive: it is whom they asked', async () => {
  for (const [client, nodeId] of [
    [rig.client, 1],
    [other.client, 2],
  ] as const) {
    expect((await metadata(client)).controllerId).toBe(nodeId);
    expect((await cluster(client)).controllerId).toBe(nodeId);
  }
});

test('a group is coordinated where both brokers say, under the name that is advertised', async () => {
  const hosts = new Map<number, string>();
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
    const ask = { keyType: 0, coordinatorKeys: [key] };
    const [one] = (await rig.run(rig.client.call(FindCoordinator, 4, ask))).coordinators;
    const [two] = (await rig.run(other.client.call(FindCoordinator, 4, ask))).coordinators;
    expect(one).toMatchObject({ key, errorCode: 0 });
    expect(two).toEqual(one);
    if (one !== undefined) hosts.set(one.nodeId, `${one.host}:${one.port}`);
  }
  expect(Object.fromEntries(hosts)).toEqual({ 1: '127.0.0.1:9092', 2: 'b2.example:9096' });
});

test('a broker that left is told of no more', async () => {
  await other.close();
  await rig.env.clock.advance(1000);
  const { brokers, controllerId } = await metadata(rig.client);
  expect(brokers).toEqual([FIRST]);
  expect(controllerId).toBe(1);
});

test('a partition whose leader is not alive is LEADER_NOT_AVAILABLE, which makes clients ask again', () => {
  const partition = { index: 0, leaderId: 2, leaderEpoch: 7, dataStreamId: 1, stateStreamId: 2 };
  expect(describePartition(partition, new Set([1]))).toEqual({
    errorCode: Errors.LEADER_NOT_AVAILABLE,
    partitionIndex: 0,
    leaderId: -1,
    leaderEpoch: 7,
    replicaNodes: [2],
    isrNodes: [],
    offlineReplicas: [2],
  });
});
