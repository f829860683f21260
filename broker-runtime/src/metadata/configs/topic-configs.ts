import { LARGEST_BATCH_BYTES } from '../../wire/log-config.ts';
import { ConfigType } from '../cluster-metadata.ts';
import type { ConfigDefinition, Limits } from './definition.ts';
import { listOf } from './definition.ts';

/** A setting of a topic, with the broker settings that give its default, the strongest first. */
export interface TopicConfigDefinition extends ConfigDefinition {
  readonly brokerDefaults: readonly BrokerDefault[];
  /** Works and is not told: meant for tests, as in Kafka. */
  readonly internal: boolean;
}

export interface BrokerDefault {
  readonly name: string;
  /** What one unit of the broker setting is in the unit of the topic setting. */
  readonly scale: number;
}

const { BOOLEAN, STRING, INT, LONG, DOUBLE, LIST } = ConfigType;
const LONG_MAX = '9223372036854775807';
const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

const from = (...names: readonly string[]): readonly BrokerDefault[] =>
  names.map((name) => ({ name, scale: 1 }));

function topicConfig(
  name: string,
  type: ConfigType,
  defaultValue: string | null,
  brokerDefaults: readonly BrokerDefault[],
  limits: Limits,
  documentation: string,
  internal = false,
): TopicConfigDefinition {
  return { name, type, defaultValue, brokerDefaults, limits, documentation, internal };
}

/**
 * Every topic setting of Kafka 4.x (`LogConfig`, `TopicConfig`), with its default and limits. Those that tune files
 * on a broker's disk are accepted, kept and told, so that tools and templates work; streams in S3 have no use for them,
 * and their documentation says so.
 */
export const TOPIC_CONFIGS: readonly TopicConfigDefinition[] = [
  topicConfig(
    'cleanup.policy',
    LIST,
    'delete',
    from('log.cleanup.policy'),
    { oneOf: ['compact', 'delete'] },
    'delete: drop the oldest data by retention.ms and retention.bytes. compact: keep the newest record of each key. Both may be combined; empty keeps everything.',
  ),
  topicConfig(
    'compression.gzip.level',
    INT,
    '-1',
    from('compression.gzip.level'),
    {
      min: -1,
      max: 9,
      problem: (value) => (value === '0' ? 'Value must be -1 or between 1 and 9' : undefined),
    },
    'Level used when compression.type is gzip. Batches are stored as the producer sent them.',
  ),
  topicConfig(
    'compression.lz4.level',
    INT,
    '9',
    from('compression.lz4.level'),
    { min: 1, max: 17 },
    'Level used when compression.type is lz4. Batches are stored as the producer sent them.',
  ),
  topicConfig(
    'compression.type',
    STRING,
    'producer',
    from('compression.type'),
    { oneOf: ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'] },
    'Final compression of the topic. Batches are stored as the producer sent them, which is what "producer" means.',
  ),
  topicConfig(
    'compression.zstd.level',
    INT,
    '3',
    from('compression.zstd.level'),
    { min: -131_072, max: 22 },
    'Level used when compression.type is zstd. Batches are stored as the producer sent them.',
  ),
  topicConfig(
    'delete.retention.ms',
    LONG,
    '86400000',
    from('log.cleaner.delete.retention.ms'),
    { min: 0 },
    'How long a compacted topic keeps the marker of a deleted key, so that slow readers learn of the deletion.',
  ),
  topicConfig(
    'file.delete.delay.ms',
    LONG,
    '60000',
    from('log.segment.delete.delay.ms'),
    { min: 0 },
    'Kept for tools. Objects in S3 are deleted by their state, after a delay of the store.',
  ),
  topicConfig(
    'flush.messages',
    LONG,
    LONG_MAX,
    from('log.flush.interval.messages'),
    { min: 1 },
    'Kept for tools. Every acknowledged record is durable in the write-ahead log already.',
  ),
  topicConfig(
    'flush.ms',
    LONG,
    LONG_MAX,
    from('log.flush.interval.ms', 'log.flush.scheduler.interval.ms'),
    { min: 0 },
    'Kept for tools. Every acknowledged record is durable in the write-ahead log already.',
  ),
  topicConfig(
    'follower.replication.throttled.replicas',
    LIST,
    '',
    [],
    { problem: throttledReplicasProblem },
    'Kept for tools. There is no replication between brokers to throttle.',
  ),
  topicConfig(
    'index.interval.bytes',
    INT,
    '4096',
    from('log.index.interval.bytes'),
    { min: 0 },
    'Kept for tools. Objects carry an index of their own.',
  ),
  topicConfig(
    'internal.segment.bytes',
    INT,
    null,
    [],
    { min: 1 },
    'Takes the place of segment.bytes, below its lower limit too. For tests.',
    true,
  ),
  topicConfig(
    'leader.replication.throttled.replicas',
    LIST,
    '',
    [],
    { problem: throttledReplicasProblem },
    'Kept for tools. There is no replication between brokers to throttle.',
  ),
  topicConfig(
    'local.retention.bytes',
    LONG,
    '-2',
    from('log.local.retention.bytes'),
    { min: -2 },
    'Kept for tools. There is no local copy: all data is in the object store.',
  ),
  topicConfig(
    'local.retention.ms',
    LONG,
    '-2',
    from('log.local.retention.ms'),
    { min: -2 },
    'Kept for tools. There is no local copy: all data is in the object store.',
  ),
  topicConfig(
    'max.compaction.lag.ms',
    LONG,
    LONG_MAX,
    from('log.cleaner.max.compaction.lag.ms'),
    { min: 1 },
    'The longest time a record of a compacted topic may stay out of compaction.',
  ),
  topicConfig(
    'max.message.bytes',
    INT,
    '1048588',
    from('message.max.bytes'),
    { min: 0, max: LARGEST_BATCH_BYTES },
    `The largest record batch the topic takes, as sent (compressed). Larger than ${LARGEST_BATCH_BYTES} is refused: the write-ahead log takes a batch in one piece.`,
  ),
  topicConfig(
    'message.timestamp.after.max.ms',
    LONG,
    '3600000',
    from('log.message.timestamp.after.max.ms'),
    { min: 0 },
    'How far the timestamp of a record may lie after the time of the broker, with CreateTime.',
  ),
  topicConfig(
    'message.timestamp.before.max.ms',
    LONG,
    LONG_MAX,
    from('log.message.timestamp.before.max.ms'),
    { min: 0 },
    'How far the timestamp of a record may lie before the time of the broker, with CreateTime.',
  ),
  topicConfig(
    'message.timestamp.type',
    STRING,
    'CreateTime',
    from('log.message.timestamp.type'),
    { oneOf: ['CreateTime', 'LogAppendTime'] },
    'Whether records carry the time the producer gave them or that of their append.',
  ),
  topicConfig(
    'min.cleanable.dirty.ratio',
    DOUBLE,
    '0.5',
    from('log.cleaner.min.cleanable.ratio'),
    { min: 0, max: 1 },
    'The part of a log that must be uncompacted before it is compacted again.',
  ),
  topicConfig(
    'min.compaction.lag.ms',
    LONG,
    '0',
    from('log.cleaner.min.compaction.lag.ms'),
    { min: 0 },
    'The shortest time a record of a compacted topic stays out of compaction.',
  ),
  topicConfig(
    'min.insync.replicas',
    INT,
    '1',
    from('min.insync.replicas'),
    { min: 1 },
    'Kept for tools and always satisfied: durability comes from the storage, not from replicas.',
  ),
  topicConfig(
    'preallocate',
    BOOLEAN,
    'false',
    from('log.preallocate'),
    {},
    'Kept for tools. There are no segment files to preallocate.',
  ),
  topicConfig(
    'remote.log.copy.disable',
    BOOLEAN,
    'false',
    [],
    {},
    'Kept for tools. All data is in the object store.',
  ),
  topicConfig(
    'remote.log.delete.on.disable',
    BOOLEAN,
    'false',
    [],
    {},
    'Kept for tools. All data is in the object store.',
  ),
  topicConfig(
    'remote.storage.enable',
    BOOLEAN,
    'false',
    [],
    {
      problem: (value) =>
        /^true$/i.test(value)
          ? 'Tiered storage cannot be switched on for a topic: all its data is in the object store already'
          : undefined,
    },
    'Kept for tools. All data is in the object store, without being told to.',
  ),
  topicConfig(
    'retention.bytes',
    LONG,
    '-1',
    from('log.retention.bytes'),
    {},
    'The size a partition may have before its oldest data is dropped, with cleanup.policy delete; -1: no limit.',
  ),
  topicConfig(
    'retention.ms',
    LONG,
    '604800000',
    [
      { name: 'log.retention.ms', scale: 1 },
      { name: 'log.retention.minutes', scale: MINUTE_MS },
      { name: 'log.retention.hours', scale: HOUR_MS },
    ],
    { min: -1 },
    'How long data is kept, with cleanup.policy delete; -1: no limit.',
  ),
  topicConfig(
    'segment.bytes',
    INT,
    '1073741824',
    from('log.segment.bytes'),
    { min: MIB },
    'The amount of data that retention and compaction treat as one piece.',
  ),
  topicConfig(
    'segment.index.bytes',
    INT,
    '10485760',
    from('log.index.size.max.bytes'),
    { min: 4 },
    'Kept for tools. Objects carry an index of their own.',
  ),
  topicConfig(
    'segment.jitter.ms',
    LONG,
    '0',
    [
      { name: 'log.roll.jitter.ms', scale: 1 },
      { name: 'log.roll.jitter.hours', scale: HOUR_MS },
    ],
    { min: 0 },
    'Kept for tools. Segments of a stream do not roll all at once.',
  ),
  topicConfig(
    'segment.ms',
    LONG,
    '604800000',
    [
      { name: 'log.roll.ms', scale: 1 },
      { name: 'log.roll.hours', scale: HOUR_MS },
    ],
    { min: 1 },
    'The time after which data may be compacted or dropped although its segment is not full.',
  ),
  topicConfig(
    'unclean.leader.election.enable',
    BOOLEAN,
    'false',
    from('unclean.leader.election.enable'),
    {},
    'Kept for tools and without effect: a leader always has all acknowledged data.',
  ),
];

/** '*' or partition:broker pairs (Kafka's `ThrottledReplicaListValidator`). */
function throttledReplicasProblem(value: string): string | undefined {
  const elements = listOf(value);
  const isWildcard = elements.length === 1 && elements[0] === '*';
  if (isWildcard || elements.every((element) => /^\d+:\d+$/.test(element))) return undefined;
  return "must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...";
}
