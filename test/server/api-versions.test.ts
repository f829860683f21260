import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ApiVersionsRequest,
  ApiVersionsResponse,
} from '../../broker-runtime/src/wire/messages/api-versions.ts';
import { ProduceRequest } from '../../broker-runtime/src/wire/messages/produce.ts';
import { batchOf, produceTo, startBroker, type BrokerRig } from './broker-rig.ts';

const ApiVersions = [ApiVersionsRequest, ApiVersionsResponse] as const;

/** What a broker tells its clients, decided version by version: "key lowest-highest". */
const ADVERTISED = [
  '0 0-13', // Produce; below 3 is refused
  '1 4-17', // Fetch
  '2 1-9', // ListOffsets
  '3 0-13', // Metadata
  '8 2-9', // OffsetCommit
  '9 1-9', // OffsetFetch
  '10 0-6', // FindCoordinator
  '11 0-9', // JoinGroup
  '12 0-4', // Heartbeat
  '13 0-5', // LeaveGroup
  '14 0-5', // SyncGroup
  '15 0-6', // DescribeGroups
  '16 0-5', // ListGroups
  '18 0-4', // ApiVersions
  '19 2-7', // CreateTopics
  '20 1-6', // DeleteTopics
  '21 0-2', // DeleteRecords
  '22 0-5', // InitProducerId
  '23 2-4', // OffsetForLeaderEpoch
  '32 1-4', // DescribeConfigs
  '33 0-2', // AlterConfigs
  '35 1-4', // DescribeLogDirs
  '37 0-3', // CreatePartitions
  '42 0-2', // DeleteGroups
  '43 0-2', // ElectLeaders
  '44 0-1', // IncrementalAlterConfigs
  '45 0-1', // AlterPartitionReassignments
  '46 0-0', // ListPartitionReassignments
  '47 0-0', // OffsetDelete
  '60 0-1', // DescribeCluster
  '75 0-0', // DescribeTopicPartitions
];

/** The keys a listener for clients serves in Apache Kafka 4.3.1. */
const KAFKA_KEYS = keysOf('0-3, 8-51, 55, 57, 60, 61, 64-66, 68, 69, 71, 72, 74-81, 83-92');

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
});
afterAll(() => rig.close());

function ask(version: number) {
  const software = { clientSoftwareName: 'apache-kafka-java', clientSoftwareVersion: '4.3.1' };
  return rig.run(rig.client.call(ApiVersions, version, version >= 3 ? software : {}));
}

/** "0-2, 8" is 0, 1, 2, 8. */
function keysOf(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [from = NaN, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, at) => from + at);
  });
}

describe('what a broker says it serves', () => {
  test.each([0, 1, 2, 3, 4])(
    'is the same in version %i, and asked again on one connection',
    async (version) => {
      const { errorCode, apiKeys } = await ask(version);
      expect(errorCode).toBe(0);
      expect(apiKeys.map((row) => `${row.apiKey} ${row.minVersion}-${row.maxVersion}`)).toEqual(ADVERTISED);
    },
  );

  test.each([3, 4])('version %i: no features, supported or finalized', async (version) => {
    // Clients of 3.x fail on a supported feature from level 0, and take transactions v2 for granted with one finalized.
    expect(await ask(version)).toMatchObject({
      supportedFeatures: [],
      finalizedFeatures: [],
      finalizedFeaturesEpoch: -1,
    });
  });

  test('every other API of Kafka has its reason in docs/compatibility-findings.md', () => {
    const docs = path.join(import.meta.dirname, '../../docs/compatibility-findings.md');
    const [, section = ''] = readFileSync(docs, 'utf8').split('\n## APIs that are not served\n');
    const [table = ''] = section.split('\n## ');
    const explained = [...table.matchAll(/^\| (\d[\d, -]*) \|/gm)].flatMap(([, keys = '']) => keysOf(keys));
    const served = ADVERTISED.map((row) => Number.parseInt(row, 10));
    expect([...served, ...explained].toSorted((a, b) => a - b)).toEqual(KAFKA_KEYS);
  });
});

test.each([0, 1, 2])(
  'Produce %i is advertised for old clients, and closes the connection',
  async (version) => {
    const client = await rig.connect();
    const frame = client.frame(ProduceRequest, 3, produceTo('any', batchOf(['a'])));
    new DataView(frame.buffer, frame.byteOffset).setInt16(6, version);
    client.sendBytes(frame);
    await rig.run(client.gone);
    expect(rig.broker.status().server.closes.get('unsupported-request')).toBe(version + 1);
  },
);
