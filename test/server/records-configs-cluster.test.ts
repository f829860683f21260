import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  AlterConfigsRequest,
  AlterConfigsResponse,
} from '../../broker-runtime/src/wire/messages/alter-configs.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../broker-runtime/src/wire/messages/delete-records.ts';
import {
  DescribeClusterRequest,
  DescribeClusterResponse,
} from '../../broker-runtime/src/wire/messages/describe-cluster.ts';
import {
  DescribeConfigsRequest,
  DescribeConfigsResponse,
} from '../../broker-runtime/src/wire/messages/describe-configs.ts';
import {
  DescribeLogDirsRequest,
  DescribeLogDirsResponse,
} from '../../broker-runtime/src/wire/messages/describe-log-dirs.ts';
import {
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse,
} from '../../broker-runtime/src/wire/messages/incremental-alter-configs.ts';
import {
  ListOffsetsRequest,
  ListOffsetsResponse,
} from '../../broker-runtime/src/wire/messages/list-offsets.ts';
import {
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochResponse,
} from '../../broker-runtime/src/wire/messages/offset-for-leader-epoch.ts';
import { Produce, batchOf, produceTo, producedRow, startBroker, type BrokerRig } from './broker-rig.ts';

const ListOffsets = [ListOffsetsRequest, ListOffsetsResponse] as const;
const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;
const OffsetForLeaderEpoch = [OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse] as const;
const DescribeConfigs = [DescribeConfigsRequest, DescribeConfigsResponse] as const;
const AlterConfigs = [AlterConfigsRequest, AlterConfigsResponse] as const;
const IncrementalAlterConfigs = [IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse] as const;
const DescribeCluster = [DescribeClusterRequest, DescribeClusterResponse] as const;
const DescribeLogDirs = [DescribeLogDirsRequest, DescribeLogDirsResponse] as const;

const BASE_MS = 1_767_225_600_000;
const TOPIC = 2;
const BROKER = 4;

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
  await rig.topic('times');
  for (const [at, value] of ['a', 'b', 'c'].entries()) {
    const batch = batchOf([value], { timestampMs: BASE_MS + at * 1000 });
    const produced = await rig.run(rig.client.call(Produce, 9, produceTo('times', batch)));
    expect(producedRow(produced).baseOffset).toBe(at);
  }
});
afterAll(() => rig.close());

describe('ListOffsets', () => {
  const list = async (
    version: number,
    timestamp: number,
    more: { partitionIndex?: number; epoch?: number; isolationLevel?: number } = {},
  ) => {
    const { partitionIndex = 0, epoch = -1, isolationLevel = 0 } = more;
    const { topics } = await rig.run(
      rig.client.call(ListOffsets, version, {
        replicaId: -1,
        isolationLevel,
        topics: [{ name: 'times', partitions: [{ partitionIndex, currentLeaderEpoch: epoch, timestamp }] }],
      }),
    );
    return topics[0]?.partitions[0];
  };

  test.each([1, 2, 4, 6, 7, 8, 9])('version %i: latest, earliest and by time', async (version) => {
    expect(await list(version, -1)).toMatchObject({ errorCode: 0, offset: 3, timestamp: -1 });
    expect(await list(version, -2)).toMatchObject({ errorCode: 0, offset: 0, timestamp: -1 });
    expect(await list(version, BASE_MS + 1)).toMatchObject({ offset: 1, timestamp: BASE_MS + 1000 });
    expect(await list(version, 0)).toMatchObject({ offset: 0, timestamp: BASE_MS });
  });

  test('read_committed: without transactions everything is stable up to the high watermark', async () => {
    const committed = { isolationLevel: 1 };
    expect(await list(9, -1, committed)).toMatchObject({ errorCode: 0, offset: 3 });
    expect(await list(9, -3, committed)).toMatchObject({ errorCode: 0, offset: 2 });
    expect(await list(9, BASE_MS + 1, committed)).toMatchObject({ errorCode: 0, offset: 1 });
  });

  test('a time after the last record is offset -1, timestamp -1, and no error', async () => {
    expect(await list(7, BASE_MS + 60_000)).toMatchObject({ errorCode: 0, offset: -1, timestamp: -1 });
  });

  test('questions of newer versions: largest timestamp, earliest local, latest tiered', async () => {
    expect(await list(7, -3)).toMatchObject({ errorCode: 0, offset: 2, timestamp: BASE_MS + 2000 });
    expect(await list(8, -4)).toMatchObject({ errorCode: 0, offset: 0, timestamp: -1 });
    expect(await list(9, -5)).toMatchObject({ errorCode: 0, offset: -1, timestamp: -1 });
  });

  test.each([
    [6, -3],
    [7, -4],
    [8, -5],
    [9, -6],
    [9, -100],
  ])('version %i does not know timestamp %i: UNSUPPORTED_VERSION', async (version, timestamp) => {
    expect(await list(version, timestamp)).toMatchObject({
      errorCode: Errors.UNSUPPORTED_VERSION,
      offset: -1,
    });
  });

  test('earliest-without-epoch: earliest tells the leader epoch of its offset, in versions with a place for it', async () => {
    const epoch = (await list(7, -1))?.leaderEpoch;
    expect(epoch).toBeGreaterThanOrEqual(0);
    for (const [version, timestamp] of [
      [4, -2],
      [7, -2],
      [8, -4],
    ] as const) {
      expect((await list(version, timestamp))?.leaderEpoch).toBe(epoch);
    }
    expect((await list(2, -2))?.leaderEpoch).toBe(-1);
  });

  test('unknown partitions and newer leader epochs are told', async () => {
    expect((await list(7, -1, { partitionIndex: 5 }))?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    expect((await list(7, -1, { epoch: 1_000_000 }))?.errorCode).toBe(Errors.UNKNOWN_LEADER_EPOCH);
  });

  test('a partition named twice is INVALID_REQUEST', async () => {
    const partition = { partitionIndex: 0, timestamp: -1 };
    const { topics } = await rig.run(
      rig.client.call(ListOffsets, 7, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: 'times', partitions: [partition, partition] }],
      }),
    );
    expect(topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([42, 42]);
  });
});

describe('DeleteRecords', () => {
  const remove = async (topic: string, offset: number) => {
    const { topics } = await rig.run(
      rig.client.call(DeleteRecords, 2, {
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset }] }],
        timeoutMs: 1000,
      }),
    );
    return topics[0]?.partitions[0];
  };

  test('moves the log start; -1 means the high watermark; beyond it is OFFSET_OUT_OF_RANGE', async () => {
    await rig.topic('dr');
    await rig.run(rig.client.call(Produce, 9, produceTo('dr', batchOf(['a', 'b']))));
    await rig.run(rig.client.call(Produce, 9, produceTo('dr', batchOf(['c']))));
    expect(await remove('dr', 1)).toEqual({ partitionIndex: 0, errorCode: 0, lowWatermark: 1 });
    expect(await remove('dr', 4)).toMatchObject({ errorCode: Errors.OFFSET_OUT_OF_RANGE, lowWatermark: -1 });
    expect(await remove('dr', -1)).toMatchObject({ errorCode: 0, lowWatermark: 3 });
  });

  test('compacted topics refuse, unknown ones are unknown', async () => {
    await rig.topic('dr-compacted', { configs: { 'cleanup.policy': 'compact' } });
    expect((await remove('dr-compacted', 0))?.errorCode).toBe(Errors.POLICY_VIOLATION);
    expect((await remove('dr-unknown', 0))?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
  });
});

describe('OffsetForLeaderEpoch', () => {
  test.each([2, 3, 4])('version %i: the epoch in charge ends at the end of the log', async (version) => {
    const ask = async (partition: number, leaderEpoch: number) => {
      const { topics } = await rig.run(
        rig.client.call(OffsetForLeaderEpoch, version, {
          topics: [{ topic: 'times', partitions: [{ partition, leaderEpoch }] }],
        }),
      );
      return topics[0]?.partitions[0];
    };
    expect(await ask(0, 0)).toMatchObject({ errorCode: 0, leaderEpoch: 0, endOffset: 3 });
    expect(await ask(9, 0)).toMatchObject({ errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION, endOffset: -1 });
  });

  test('what ListOffsets tells of an empty log is confirmed, or consumers would be sent back to their reset policy', async () => {
    await rig.topic('empty');
    for (const timestamp of [-1, -2]) {
      const asked = { partitionIndex: 0, timestamp };
      const listed = await rig.run(
        rig.client.call(ListOffsets, 9, {
          replicaId: -1,
          isolationLevel: 0,
          topics: [{ name: 'empty', partitions: [asked] }],
        }),
      );
      const leaderEpoch = listed.topics[0]?.partitions[0]?.leaderEpoch ?? -1;
      expect(leaderEpoch).toBeGreaterThanOrEqual(0);
      const { topics } = await rig.run(
        rig.client.call(OffsetForLeaderEpoch, 4, {
          topics: [{ topic: 'empty', partitions: [{ partition: 0, leaderEpoch }] }],
        }),
      );
      expect(topics[0]?.partitions[0]).toMatchObject({ errorCode: 0, leaderEpoch, endOffset: 0 });
    }
  });
});

describe('settings', () => {
  const describeOne = async (
    version: number,
    resourceType: number,
    resourceName: string,
    more: { keys?: string[] | null; includeSynonyms?: boolean; includeDocumentation?: boolean } = {},
  ) => {
    const { keys = null, ...include } = more;
    const { results } = await rig.run(
      rig.client.call(DescribeConfigs, version, {
        resources: [{ resourceType, resourceName, configurationKeys: keys }],
        ...include,
      }),
    );
    const [result] = results;
    if (result === undefined) throw new Error('every resource asked for has a result');
    return result;
  };

  test.each([1, 2, 3, 4])('version %i lists every topic setting with value and source', async (version) => {
    await rig.topic(`cfg-v${version}`, { configs: { 'cleanup.policy': 'compact' } });
    const { errorCode, configs } = await describeOne(version, TOPIC, `cfg-v${version}`);
    expect(errorCode).toBe(0);
    // Connect stops unless it reads exactly this.
    expect(configs.find(({ name }) => name === 'cleanup.policy')).toMatchObject({
      value: 'compact',
      configSource: 1,
    });
    expect(configs.find(({ name }) => name === 'retention.ms')).toMatchObject({
      value: '604800000',
      configSource: 5,
      isSensitive: false,
      synonyms: [],
    });
    expect(configs.length).toBeGreaterThan(20);
  });

  test('keys choose; synonyms and documentation come when asked for', async () => {
    const { configs } = await describeOne(4, TOPIC, 'times', {
      keys: ['retention.ms', 'no.such.setting'],
      includeSynonyms: true,
      includeDocumentation: true,
    });
    expect(configs.map(({ name }) => name)).toEqual(['retention.ms']);
    expect(configs[0]?.synonyms.length).toBeGreaterThan(0);
    expect(configs[0]?.documentation).not.toBe('');
    // An empty list is all of them, as null is.
    expect((await describeOne(4, TOPIC, 'times', { keys: [] })).configs.length).toBeGreaterThan(20);
    const plain = await describeOne(4, TOPIC, 'times', { keys: ['retention.ms'] });
    expect(plain.configs[0]).toMatchObject({ synonyms: [], documentation: null });
  });

  test('brokers by id or all of them; others, unknown topics and unknown types are refused in their row', async () => {
    expect((await describeOne(4, BROKER, '1')).configs.map(({ name }) => name)).toContain('num.partitions');
    expect((await describeOne(4, BROKER, '')).errorCode).toBe(0);
    expect((await describeOne(4, BROKER, '99')).errorCode).toBe(Errors.INVALID_REQUEST);
    expect((await describeOne(4, BROKER, 'one')).errorCode).toBe(Errors.INVALID_REQUEST);
    expect((await describeOne(4, TOPIC, 'nobody')).errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    expect((await describeOne(4, TOPIC, 'a/b')).errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION);
    expect((await describeOne(4, 8, '1')).errorCode).toBe(Errors.INVALID_REQUEST);
  });

  const change = async (
    configs: [string, number, string | null][],
    validateOnly = false,
    name = 'cfg-change',
  ) => {
    const { responses } = await rig.run(
      rig.client.call(IncrementalAlterConfigs, 1, {
        resources: [
          {
            resourceType: TOPIC,
            resourceName: name,
            configs: configs.map(([key, configOperation, value]) => ({ name: key, configOperation, value })),
          },
        ],
        validateOnly,
      }),
    );
    return responses[0];
  };
  const valueOf = async (key: string): Promise<string | null | undefined> =>
    (await describeOne(4, TOPIC, 'cfg-change', { keys: [key] })).configs[0]?.value;

  test('incremental: set, append, subtract, delete; validateOnly changes nothing; one bad key stops all', async () => {
    await rig.topic('cfg-change');
    expect(await change([['cleanup.policy', 2, 'compact']])).toMatchObject({
      errorCode: 0,
      errorMessage: null,
    });
    expect(await valueOf('cleanup.policy')).toBe('delete,compact');
    await change([
      ['cleanup.policy', 3, 'delete'],
      ['retention.ms', 0, '5000'],
    ]);
    expect(await valueOf('cleanup.policy')).toBe('compact');
    await change([['retention.ms', 0, '7000']], true);
    expect(await valueOf('retention.ms')).toBe('5000');
    const bad = await change([
      ['retention.ms', 0, '9000'],
      ['no.such.setting', 0, '1'],
    ]);
    expect(bad?.errorCode).toBe(Errors.INVALID_CONFIG);
    expect(await valueOf('retention.ms')).toBe('5000');
    await change([['retention.ms', 1, null]]);
    expect(await valueOf('retention.ms')).toBe('604800000');
    expect((await change([['retention.ms', 9, '1']]))?.errorCode).toBe(Errors.INVALID_REQUEST);
    expect((await change([], false, 'cfg-nobody'))?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
  });

  test('AlterConfigs replaces the whole set', async () => {
    await rig.topic('cfg-replace', { configs: { 'retention.ms': '5000' } });
    const { responses } = await rig.run(
      rig.client.call(AlterConfigs, 2, {
        resources: [
          {
            resourceType: TOPIC,
            resourceName: 'cfg-replace',
            configs: [{ name: 'segment.ms', value: '60000' }],
          },
          { resourceType: 8, resourceName: '1', configs: [] },
        ],
        validateOnly: false,
      }),
    );
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([0, Errors.INVALID_REQUEST]);
    const { configs } = await describeOne(4, TOPIC, 'cfg-replace', { keys: ['retention.ms', 'segment.ms'] });
    expect(Object.fromEntries(configs.map(({ name, value }) => [name, value]))).toEqual({
      'retention.ms': '604800000',
      'segment.ms': '60000',
    });
  });

  test('a resource named twice is refused twice, and not changed', async () => {
    await rig.topic('cfg-twice');
    const resource = {
      resourceType: TOPIC,
      resourceName: 'cfg-twice',
      configs: [{ name: 'retention.ms', configOperation: 0, value: '1' }],
    };
    const { responses } = await rig.run(
      rig.client.call(IncrementalAlterConfigs, 1, { resources: [resource, resource], validateOnly: false }),
    );
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([42, 42]);
  });

  test('max.message.bytes counts for the next batch', async () => {
    await rig.topic('cfg-size');
    await change([['max.message.bytes', 0, '500']], false, 'cfg-size');
    const row = producedRow(
      await rig.run(rig.client.call(Produce, 9, produceTo('cfg-size', batchOf(['x'.repeat(600)])))),
    );
    expect(row.errorCode).toBe(Errors.MESSAGE_TOO_LARGE);
  });
});

describe('the cluster', () => {
  test('DescribeCluster lists brokers and the operations allowed', async () => {
    const body = await rig.run(
      rig.client.call(DescribeCluster, 1, { includeClusterAuthorizedOperations: true, endpointType: 1 }),
    );
    expect(body).toMatchObject({
      errorCode: 0,
      controllerId: 1,
      endpointType: 1,
      clusterAuthorizedOperations: 8096,
    });
    expect(body.brokers).toMatchObject([{ brokerId: 1, host: '127.0.0.1', port: 9092, rack: 'zone-a' }]);
  });

  test.each([
    [2, Errors.MISMATCHED_ENDPOINT_TYPE],
    [3, Errors.UNSUPPORTED_ENDPOINT_TYPE],
  ])('endpoint type %i is refused with %i', async (endpointType, errorCode) => {
    const body = await rig.run(
      rig.client.call(DescribeCluster, 1, { includeClusterAuthorizedOperations: false, endpointType }),
    );
    expect(body.errorCode).toBe(errorCode);
  });

  test('DescribeLogDirs tells sizes, of all partitions or of those asked for', async () => {
    const all = await rig.run(rig.client.call(DescribeLogDirs, 4, { topics: null }));
    const times = all.results[0]?.topics.find(({ name }) => name === 'times');
    expect(times?.partitions[0]?.partitionSize).toBeGreaterThan(3 * 61);
    const some = await rig.run(
      rig.client.call(DescribeLogDirs, 1, {
        topics: [
          { topic: 'times', partitions: [0, 7] },
          { topic: 'nobody', partitions: [0] },
        ],
      }),
    );
    expect(some.results[0]?.topics.map(({ name, partitions }) => [name, partitions.length])).toEqual([
      ['times', 1],
    ]);
  });
});
