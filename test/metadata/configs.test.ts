import { beforeEach, describe, expect, test } from '@jest/globals';
import type {
  ConfigChange,
  ConfigRow,
  TopicResult,
} from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { ConfigSource, ConfigType } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { BROKER_CONFIGS } from '../../broker-runtime/src/metadata/configs/broker-configs.ts';
import { problemWith } from '../../broker-runtime/src/metadata/configs/definition.ts';
import { TOPIC_CONFIGS } from '../../broker-runtime/src/metadata/configs/topic-configs.ts';
import { InvalidSettingError } from '../../broker-runtime/src/metadata/static-settings.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { createTopic, openMetadata } from './metadata-world.ts';
import type { World } from './metadata-world.ts';

let world: World;
beforeEach(async () => {
  world = await openMetadata();
  await createTopic(world, 't');
});

type Operation = ConfigChange['operations'][number];
const set = (name: string, value: string | null): Operation => ({ name, op: 'set', value });

async function change(
  type: 'topic' | 'broker',
  name: string,
  operations: readonly Operation[],
  mode: ConfigChange['mode'] = 'incremental',
  validateOnly = false,
): Promise<TopicResult | undefined> {
  const [result] = await world.metadata.alterConfigs(
    [{ resource: { type, name }, mode, operations }],
    validateOnly,
  );
  return result;
}

function topicRow(name: string): ConfigRow | undefined {
  return world.metadata.describeTopicConfig('t')?.find((row) => row.name === name);
}

function brokerRow(name: string): ConfigRow | undefined {
  return world.metadata.describeBrokerConfig(0)?.find((row) => row.name === name);
}

describe('the tables', () => {
  test('every default passes the check of its own setting', () => {
    for (const definition of [...TOPIC_CONFIGS, ...BROKER_CONFIGS]) {
      if (definition.defaultValue !== null)
        expect(problemWith(definition, definition.defaultValue)).toBeUndefined();
      expect(definition.documentation).not.toBe('');
    }
  });

  test('names stand once, and every default of a topic setting is a broker setting', () => {
    const brokerNames = BROKER_CONFIGS.map((definition) => definition.name);
    expect(new Set(brokerNames).size).toBe(brokerNames.length);
    expect(new Set(TOPIC_CONFIGS.map((definition) => definition.name)).size).toBe(TOPIC_CONFIGS.length);
    for (const { brokerDefaults } of TOPIC_CONFIGS) {
      for (const { name } of brokerDefaults) expect(brokerNames).toContain(name);
    }
  });

  test('a topic tells all settings of Kafka 4 that are not internal', () => {
    expect(world.metadata.describeTopicConfig('t')?.map((row) => row.name)).toEqual([
      'cleanup.policy',
      'compression.gzip.level',
      'compression.lz4.level',
      'compression.type',
      'compression.zstd.level',
      'delete.retention.ms',
      'file.delete.delay.ms',
      'flush.messages',
      'flush.ms',
      'follower.replication.throttled.replicas',
      'index.interval.bytes',
      'leader.replication.throttled.replicas',
      'local.retention.bytes',
      'local.retention.ms',
      'max.compaction.lag.ms',
      'max.message.bytes',
      'message.timestamp.after.max.ms',
      'message.timestamp.before.max.ms',
      'message.timestamp.type',
      'min.cleanable.dirty.ratio',
      'min.compaction.lag.ms',
      'min.insync.replicas',
      'preallocate',
      'remote.log.copy.disable',
      'remote.log.delete.on.disable',
      'remote.storage.enable',
      'retention.bytes',
      'retention.ms',
      'segment.bytes',
      'segment.index.bytes',
      'segment.jitter.ms',
      'segment.ms',
      'unclean.leader.election.enable',
    ]);
    expect(world.metadata.describeTopicConfig('none')).toBeUndefined();
  });
});

describe('where a value comes from', () => {
  test('the default, then the start, then all brokers, then this broker, then the topic', async () => {
    expect(topicRow('segment.bytes')).toMatchObject({
      value: '1073741824',
      source: ConfigSource.DEFAULT,
      type: ConfigType.INT,
      readOnly: false,
      synonyms: [{ name: 'log.segment.bytes', value: '1073741824', source: ConfigSource.DEFAULT }],
    });
    world = await openMetadata({ staticSettings: { 'log.segment.bytes': '2000000' } });
    await createTopic(world, 't');
    expect(topicRow('segment.bytes')).toMatchObject({ value: '2000000', source: ConfigSource.STATIC_BROKER });
    await change('broker', '', [set('log.segment.bytes', '3000000')]);
    expect(topicRow('segment.bytes')).toMatchObject({
      value: '3000000',
      source: ConfigSource.DYNAMIC_CLUSTER_DEFAULT,
    });
    await change('broker', '0', [set('log.segment.bytes', '4000000')]);
    expect(topicRow('segment.bytes')).toMatchObject({
      value: '4000000',
      source: ConfigSource.DYNAMIC_BROKER,
    });
    await change('topic', 't', [set('segment.bytes', '5000000')]);
    expect(topicRow('segment.bytes')).toMatchObject({ value: '5000000', source: ConfigSource.TOPIC });
    expect(topicRow('segment.bytes')?.synonyms.map((synonym) => [synonym.source, synonym.value])).toEqual([
      [1, '5000000'],
      [2, '4000000'],
      [3, '3000000'],
      [4, '2000000'],
      [5, '1073741824'],
    ]);
    expect(world.metadata.logConfig('t').segmentBytes).toBe(5_000_000);
  });

  test('milliseconds come before minutes, minutes before hours, in the topic’s unit', async () => {
    world = await openMetadata({ staticSettings: { 'log.retention.hours': '2' } });
    await createTopic(world, 't');
    expect(topicRow('retention.ms')).toMatchObject({ value: '7200000', source: ConfigSource.STATIC_BROKER });
    world = await openMetadata({
      staticSettings: { 'log.retention.hours': '2', 'log.retention.minutes': '3' },
    });
    expect(world.metadata.logConfig('t').retentionMs).toBe(180_000);
    await change('broker', '', [set('log.retention.ms', '4')]);
    expect(world.metadata.logConfig('t').retentionMs).toBe(4);
    world = await openMetadata({ staticSettings: { 'log.retention.hours': '-1' } });
    expect(world.metadata.logConfig('t').retentionMs).toBe(-1);
  });

  test('a broker tells what it was started with; secrets have no value', async () => {
    world = await openMetadata({
      staticSettings: { 'ssl.keystore.password': 'hush', 'advertised.listeners': 'PLAINTEXT://b:1' },
      brokerId: 0,
    });
    expect(brokerRow('node.id')).toMatchObject({
      value: '0',
      source: ConfigSource.STATIC_BROKER,
      readOnly: true,
    });
    expect(brokerRow('advertised.listeners')?.value).toBe('PLAINTEXT://b:1');
    const secret = brokerRow('ssl.keystore.password');
    expect(secret).toMatchObject({ value: null, sensitive: true, type: ConfigType.PASSWORD });
    expect(JSON.stringify(secret)).not.toContain('hush');
    expect(brokerRow('log.retention.ms')).toMatchObject({
      value: null,
      readOnly: false,
      source: ConfigSource.DEFAULT,
    });
    expect(world.metadata.describeBrokerConfig(9)).toBeUndefined();
  });

  test('what was set for all brokers is told alone', async () => {
    expect(world.metadata.describeBrokerConfig('cluster-default')).toEqual([]);
    await change('broker', '', [set('message.max.bytes', '2000000')]);
    expect(world.metadata.describeBrokerConfig('cluster-default')).toMatchObject([
      { name: 'message.max.bytes', value: '2000000', source: ConfigSource.DYNAMIC_CLUSTER_DEFAULT },
    ]);
    expect(world.metadata.brokerSetting('message.max.bytes')).toBe('2000000');
  });

  test('a setting given at start that is unknown or wrong stops the start', async () => {
    await expect(openMetadata({ staticSettings: { 'nmu.partitions': '1' } })).rejects.toBeInstanceOf(
      InvalidSettingError,
    );
    await expect(openMetadata({ staticSettings: { 'num.partitions': '0' } })).rejects.toThrow(
      'Invalid value 0 for configuration num.partitions: Value must be at least 1',
    );
  });
});

describe('changing settings', () => {
  test('incremental operations change what they name; lists are added to and taken from', async () => {
    await change('topic', 't', [set('retention.ms', '1'), set('max.message.bytes', '2')]);
    await change('topic', 't', [
      { name: 'retention.ms', op: 'delete', value: null },
      { name: 'cleanup.policy', op: 'append', value: 'compact' },
    ]);
    expect(world.metadata.topicConfig('t')).toEqual(
      new Map([
        ['max.message.bytes', '2'],
        ['cleanup.policy', 'delete,compact'],
      ]),
    );
    expect(world.metadata.logConfig('t').cleanupPolicy).toEqual({ delete: true, compact: true });
    await change('topic', 't', [{ name: 'cleanup.policy', op: 'append', value: 'compact' }]);
    await change('topic', 't', [{ name: 'cleanup.policy', op: 'subtract', value: 'delete' }]);
    expect(topicRow('cleanup.policy')?.value).toBe('compact');
  });

  test('a replacement removes what it does not name', async () => {
    await change('topic', 't', [set('retention.ms', '1'), set('max.message.bytes', '2')]);
    await change('topic', 't', [set('segment.ms', '3')], 'replace');
    expect(world.metadata.topicConfig('t')).toEqual(new Map([['segment.ms', '3']]));
  });

  test('survives a restart and is told to listeners', async () => {
    await change('topic', 't', [set('retention.ms', '1')]);
    expect(world.changes.at(-1)?.changed.map((topic) => topic.name)).toEqual(['t']);
    await change('broker', '', [set('log.segment.bytes', '2000000')]);
    expect(world.changes.at(-1)?.changed.map((topic) => topic.name)).toEqual(['t']);
    await world.journal.close();
    world = await openMetadata({}, world);
    expect(world.metadata.logConfig('t')).toMatchObject({ retentionMs: 1, segmentBytes: 2_000_000 });
  });

  test('validateOnly says what would be answered and changes nothing', async () => {
    world.changes.length = 0;
    expect((await change('topic', 't', [set('retention.ms', '1')], 'incremental', true))?.error).toBe(
      Errors.NONE,
    );
    expect((await change('topic', 't', [set('retention.ms', 'x')], 'incremental', true))?.error).toBe(
      Errors.INVALID_CONFIG,
    );
    expect([world.metadata.topicConfig('t').size, world.changes]).toEqual([0, []]);
  });

  test('one wrong operation leaves the whole resource as it was, and only that resource', async () => {
    await createTopic(world, 'u');
    const results = await world.metadata.alterConfigs(
      [
        {
          resource: { type: 'topic', name: 't' },
          mode: 'incremental',
          operations: [set('retention.ms', '1'), set('no.such', '1')],
        },
        {
          resource: { type: 'topic', name: 'u' },
          mode: 'incremental',
          operations: [set('retention.ms', '1')],
        },
      ],
      false,
    );
    expect(results.map((result) => result.error)).toEqual([Errors.INVALID_CONFIG, Errors.NONE]);
    expect([world.metadata.topicConfig('t').size, world.metadata.topicConfig('u').size]).toEqual([0, 1]);
  });

  const refused: readonly (readonly [
    string,
    'topic' | 'broker',
    string,
    readonly Operation[],
    number,
    string,
  ])[] = [
    [
      'an unknown topic',
      'topic',
      'no',
      [set('retention.ms', '1')],
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
      'does not exist',
    ],
    [
      'an unknown setting',
      'topic',
      't',
      [set('no.such', '1')],
      Errors.INVALID_CONFIG,
      'Unknown topic config name: no.such',
    ],
    [
      'a word for a number',
      'topic',
      't',
      [set('retention.ms', 'x')],
      Errors.INVALID_CONFIG,
      'Not a number of type LONG',
    ],
    [
      'a number beyond 64 bits',
      'topic',
      't',
      [set('retention.ms', '9223372036854775808')],
      Errors.INVALID_CONFIG,
      'LONG',
    ],
    [
      'a number beyond 32 bits',
      'topic',
      't',
      [set('segment.bytes', '2147483648')],
      Errors.INVALID_CONFIG,
      'INT',
    ],
    [
      'below the limit',
      'topic',
      't',
      [set('segment.bytes', '1000')],
      Errors.INVALID_CONFIG,
      'at least 1048576',
    ],
    [
      'above the limit',
      'topic',
      't',
      [set('min.cleanable.dirty.ratio', '1.5')],
      Errors.INVALID_CONFIG,
      'no more than 1',
    ],
    [
      'not one of the words',
      'topic',
      't',
      [set('compression.type', 'rar')],
      Errors.INVALID_CONFIG,
      'must be one of',
    ],
    [
      'not true or false',
      'topic',
      't',
      [set('preallocate', 'yes')],
      Errors.INVALID_CONFIG,
      'either true or false',
    ],
    [
      'an unknown policy',
      'topic',
      't',
      [set('cleanup.policy', 'delete,burn')],
      Errors.INVALID_CONFIG,
      'must be one of',
    ],
    [
      'a list with one twice',
      'topic',
      't',
      [set('cleanup.policy', 'delete,delete')],
      Errors.INVALID_CONFIG,
      'duplicate',
    ],
    [
      'gzip level 0',
      'topic',
      't',
      [set('compression.gzip.level', '0')],
      Errors.INVALID_CONFIG,
      '-1 or between',
    ],
    [
      'bad replicas',
      'topic',
      't',
      [set('leader.replication.throttled.replicas', '1-2')],
      Errors.INVALID_CONFIG,
      '[partitionId]',
    ],
    [
      'tiered storage',
      'topic',
      't',
      [set('remote.storage.enable', 'true')],
      Errors.INVALID_CONFIG,
      'object store',
    ],
    ['null', 'topic', 't', [set('retention.ms', null)], Errors.INVALID_REQUEST, 'Null value'],
    [
      'one setting twice',
      'topic',
      't',
      [set('retention.ms', '1'), set('retention.ms', '2')],
      Errors.INVALID_REQUEST,
      'duplicate',
    ],
    [
      'appending to a number',
      'topic',
      't',
      [{ name: 'retention.ms', op: 'append', value: '1' }],
      Errors.INVALID_CONFIG,
      'append',
    ],
    [
      'a value of 65 KiB',
      'topic',
      't',
      [set('cleanup.policy', 'x'.repeat(65 * 1024))],
      Errors.INVALID_CONFIG,
      'characters',
    ],
    [
      'lags that contradict',
      'topic',
      't',
      [set('min.compaction.lag.ms', '10'), set('max.compaction.lag.ms', '9')],
      Errors.INVALID_CONFIG,
      'min.compaction.lag.ms (10) > max.compaction.lag.ms (9)',
    ],
    [
      'a broker that is not there',
      'broker',
      '9',
      [set('log.segment.bytes', '2000000')],
      Errors.INVALID_REQUEST,
      'No broker',
    ],
    [
      'a broker that is no number',
      'broker',
      'x',
      [set('log.segment.bytes', '2000000')],
      Errors.INVALID_REQUEST,
      'integer',
    ],
    [
      'a setting of the start',
      'broker',
      '0',
      [set('num.partitions', '2')],
      Errors.INVALID_CONFIG,
      'when a broker starts',
    ],
    [
      'an unknown broker setting',
      'broker',
      '0',
      [set('no.such', '2')],
      Errors.INVALID_CONFIG,
      'Unknown broker config',
    ],
  ];
  test.each(refused)('%s is refused', async (_what, type, name, operations, error, message) => {
    const result = await change(type, name, operations);
    expect(result?.error).toBe(error);
    expect(result?.message).toContain(message);
    expect(world.metadata.topicConfig('t').size).toBe(0);
  });

  test('the same resource twice in one request', async () => {
    const resource = { type: 'topic', name: 't' } as const;
    const results = await world.metadata.alterConfigs(
      [
        { resource, mode: 'incremental', operations: [set('retention.ms', '1')] },
        { resource, mode: 'incremental', operations: [set('retention.ms', '2')] },
      ],
      false,
    );
    expect(results.map((result) => result.error)).toEqual([Errors.INVALID_REQUEST, Errors.INVALID_REQUEST]);
  });
});

describe('what a partition acts on', () => {
  test('is Kafka’s defaults when nothing was set', () => {
    expect(world.metadata.logConfig('t')).toEqual({
      cleanupPolicy: { delete: true, compact: false },
      retentionMs: 604_800_000,
      retentionBytes: -1,
      segmentBytes: 1_073_741_824,
      segmentMs: 604_800_000,
      deleteRetentionMs: 86_400_000,
      minCleanableDirtyRatio: 0.5,
      minCompactionLagMs: 0,
      maxCompactionLagMs: Number('9223372036854775807'),
      maxMessageBytes: 1_048_588,
      messageTimestampType: 'CreateTime',
      messageTimestampBeforeMaxMs: Number('9223372036854775807'),
      messageTimestampAfterMaxMs: 3_600_000,
      producerIdExpirationMs: 86_400_000,
    });
  });

  test('an empty policy keeps everything (KIP-1161), and tests may have small segments', async () => {
    await change('topic', 't', [set('cleanup.policy', ''), set('internal.segment.bytes', '100')]);
    expect(world.metadata.logConfig('t')).toMatchObject({
      cleanupPolicy: { delete: false, compact: false },
      segmentBytes: 100,
    });
  });
});
