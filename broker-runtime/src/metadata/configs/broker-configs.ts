import { ConfigType } from '../cluster-metadata.ts';
import type { ConfigDefinition, Limits } from './definition.ts';
import { TOPIC_CONFIGS } from './topic-configs.ts';

/** A setting of a broker. */
export interface BrokerConfigDefinition extends ConfigDefinition {
  /** `dynamic`: may be set for one broker or for all and works at once. `start`: given when the broker starts. */
  readonly update: 'dynamic' | 'start';
}

const { BOOLEAN, STRING, INT, LONG, LIST, CLASS, PASSWORD } = ConfigType;
const INT_MAX = '2147483647';
const LONG_MAX = '9223372036854775807';

type Row = readonly [
  name: string,
  type: ConfigType,
  defaultValue: string | null,
  documentation: string,
  limits?: Limits,
];

/** Defaults of topic settings that differ from the topic setting itself in unit, default or both. */
const TIME_DEFAULTS: readonly Row[] = [
  ['log.flush.interval.ms', LONG, null, 'Default of the topic setting flush.ms.', { min: 0 }],
  [
    'log.retention.ms',
    LONG,
    null,
    'Default of the topic setting retention.ms; before minutes and hours.',
    { min: -1 },
  ],
  [
    'log.roll.jitter.ms',
    LONG,
    null,
    'Default of the topic setting segment.jitter.ms; before hours.',
    { min: 0 },
  ],
  ['log.roll.ms', LONG, null, 'Default of the topic setting segment.ms; before hours.', { min: 1 }],
];

/** Set at start; what a client or a tool asks for by name. Values a deployment does not set are Kafka's. */
const START_ROWS: readonly Row[] = [
  // Identity and addresses.
  ['advertised.listeners', LIST, null, 'The addresses clients are told to connect to.'],
  ['broker.id', INT, '-1', 'The id of this broker; the same as node.id.'],
  ['broker.rack', STRING, null, 'The availability zone of this broker.'],
  [
    'broker.session.timeout.ms',
    INT,
    '6000',
    'A broker that is silent for longer is declared dead and its log taken over; the same for all brokers of a cluster.',
    { min: 500 },
  ],
  ['controller.listener.names', LIST, null, 'Kept for tools. Controllers are not elected over listeners.'],
  ['inter.broker.listener.name', STRING, null, 'The listener that brokers use among themselves.'],
  [
    'listener.security.protocol.map',
    STRING,
    'PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL',
    'Which protocol each listener speaks.',
  ],
  ['listeners', LIST, 'PLAINTEXT://:9092', 'The addresses this broker listens on.'],
  ['node.id', INT, '-1', 'The id of this broker.'],
  ['process.roles', LIST, 'broker', 'What this process is in the cluster.'],
  ['security.inter.broker.protocol', STRING, 'PLAINTEXT', 'What brokers speak among themselves.'],

  // Topics.
  ['alter.config.policy.class.name', CLASS, null, 'Kept for tools. There are no plug-ins in Java.'],
  [
    'auto.create.topics.enable',
    BOOLEAN,
    'true',
    'Whether asking for a topic that does not exist creates it.',
  ],
  [
    'auto.leader.rebalance.enable',
    BOOLEAN,
    'true',
    'Whether a broker that joins is given its part of the partitions.',
  ],
  ['create.topic.policy.class.name', CLASS, null, 'Kept for tools. There are no plug-ins in Java.'],
  [
    'default.replication.factor',
    INT,
    '1',
    'Replicas of a topic that does not say how many; durability comes from the storage.',
    { min: 1 },
  ],
  ['delete.topic.enable', BOOLEAN, 'true', 'Whether topics may be deleted.'],
  ['num.partitions', INT, '1', 'Partitions of a topic that does not say how many.', { min: 1 }],
  ['replica.selector.class', CLASS, null, 'Kept for tools. Consumers fetch from the leader.'],

  // Requests and connections.
  [
    'connection.failed.authentication.delay.ms',
    INT,
    '100',
    'How long the answer to a failed authentication is held back.',
    { min: 0 },
  ],
  [
    'connections.max.idle.ms',
    LONG,
    '600000',
    'A connection without requests is closed after this time; -1: never.',
  ],
  ['connections.max.reauth.ms', LONG, '0', 'Clients must authenticate again after this time; 0: never.'],
  ['fetch.max.bytes', INT, '57671680', 'The most a fetch may return, whatever it asks for.', { min: 1024 }],
  // Kafka's defaults for connections are no limit at all, and anyone who can connect can exhaust the broker.
  [
    'max.connection.creation.rate',
    INT,
    '100',
    'New connections a second; more are closed at once. Kafka has no limit by default.',
    { min: 1 },
  ],
  [
    'max.connections',
    INT,
    '10000',
    'Connections at a time; more are closed at once. Kafka has no limit by default.',
    { min: 1 },
  ],
  [
    'max.connections.per.ip',
    INT,
    '1000',
    'Connections at a time from one address; more are closed at once. Kafka has no limit by default.',
    { min: 1 },
  ],
  ['max.connections.per.ip.overrides', STRING, '', 'Kept for tools. Every address has the same limit.'],
  [
    'max.incremental.fetch.session.cache.slots',
    INT,
    '1000',
    'Kept for tools. Every fetch names its partitions; sessions are not kept.',
    { min: 0 },
  ],
  [
    'max.request.partition.size.limit',
    INT,
    '2000',
    'Partitions one DescribeTopicPartitions answer may have.',
    { min: 1 },
  ],
  ['num.io.threads', INT, '8', 'Kept for tools. A broker has one thread.', { min: 1 }],
  ['num.network.threads', INT, '3', 'Kept for tools. A broker has one thread.', { min: 1 }],
  [
    'num.recovery.threads.per.data.dir',
    INT,
    '2',
    'Kept for tools. There are no data directories.',
    { min: 1 },
  ],
  ['num.replica.fetchers', INT, '1', 'Kept for tools. There is no replication between brokers.'],
  [
    'queued.max.request.bytes',
    LONG,
    '-1',
    'Bytes of requests held at a time; then connections are not read. -1: 12 % of the memory of the broker, and never more.',
    { min: -1 },
  ],
  [
    'queued.max.requests',
    INT,
    '500',
    'Kept for tools. Requests are limited by connection and by memory.',
    { min: 1 },
  ],
  ['request.timeout.ms', INT, '30000', 'How long a broker waits for another.'],
  [
    'socket.listen.backlog.size',
    INT,
    '50',
    'Kept for tools. The broker chooses how many connections may wait.',
    { min: 1 },
  ],
  ['socket.receive.buffer.bytes', INT, '102400', 'Kept for tools. The system sizes receive buffers.'],
  // Producers send 1 MiB by default. A frame is memory that a stranger can ask for: Kafka's 100 MiB is the most here.
  [
    'socket.request.max.bytes',
    INT,
    '10485760',
    'The largest request; a larger one closes the connection. Kafka takes 100 MiB by default.',
    { min: 1024, max: 104857600 },
  ],
  ['socket.send.buffer.bytes', INT, '102400', 'Kept for tools. The system sizes send buffers.'],

  // Logs.
  ['log.cleaner.enable', BOOLEAN, 'true', 'Whether compacted topics are compacted.'],
  ['log.cleaner.threads', INT, '1', 'Kept for tools. A broker has one thread.', { min: 0 }],
  ['log.dir', STRING, '/tmp/kafka-logs', 'Kept for tools. Data is in the object store.'],
  ['log.dirs', STRING, null, 'Kept for tools. Data is in the object store.'],
  [
    'log.flush.scheduler.interval.ms',
    LONG,
    LONG_MAX,
    'Kept for tools. Every acknowledged record is durable.',
  ],
  ['log.retention.check.interval.ms', LONG, '300000', 'Time between looks for data to drop.', { min: 1 }],
  ['log.retention.hours', INT, '168', 'Default of the topic setting retention.ms, in hours.'],
  [
    'log.retention.minutes',
    INT,
    null,
    'Default of the topic setting retention.ms, in minutes; before hours.',
  ],
  ['log.roll.hours', INT, '168', 'Default of the topic setting segment.ms, in hours.', { min: 1 }],
  [
    'log.roll.jitter.hours',
    INT,
    '0',
    'Default of the topic setting segment.jitter.ms, in hours.',
    { min: 0 },
  ],
  ['offset.metadata.max.bytes', INT, '4096', 'The longest metadata string of an offset commit.'],
  [
    'producer.id.expiration.check.interval.ms',
    INT,
    '600000',
    'Time between looks for producer ids to forget.',
    { min: 1 },
  ],
  ['replica.lag.time.max.ms', LONG, '30000', 'Kept for tools. There is no replication between brokers.'],

  // Consumer groups.
  ['group.consumer.assignors', LIST, 'uniform,range', 'Assignors of the consumer protocol.'],
  [
    'group.consumer.heartbeat.interval.ms',
    INT,
    '5000',
    'Heartbeat interval of the consumer protocol.',
    { min: 1 },
  ],
  [
    'group.consumer.max.heartbeat.interval.ms',
    INT,
    '15000',
    'Largest heartbeat interval of a group.',
    { min: 1 },
  ],
  ['group.consumer.max.session.timeout.ms', INT, '60000', 'Largest session timeout of a group.', { min: 1 }],
  ['group.consumer.max.size', INT, INT_MAX, 'Members of one group of the consumer protocol.', { min: 1 }],
  [
    'group.consumer.migration.policy',
    STRING,
    'bidirectional',
    'Whether groups may change between the protocols.',
  ],
  [
    'group.consumer.min.heartbeat.interval.ms',
    INT,
    '5000',
    'Smallest heartbeat interval of a group.',
    { min: 1 },
  ],
  ['group.consumer.min.session.timeout.ms', INT, '45000', 'Smallest session timeout of a group.', { min: 1 }],
  [
    'group.consumer.session.timeout.ms',
    INT,
    '45000',
    'Session timeout of the consumer protocol.',
    { min: 1 },
  ],
  ['group.coordinator.rebalance.protocols', LIST, 'classic', 'Group protocols that are served.'],
  [
    'group.initial.rebalance.delay.ms',
    INT,
    '3000',
    'How long the first rebalance of an empty group waits for members.',
  ],
  ['group.max.session.timeout.ms', INT, '1800000', 'Largest session timeout of a classic member.'],
  ['group.max.size', INT, INT_MAX, 'Members of one classic group.', { min: 1 }],
  ['group.min.session.timeout.ms', INT, '6000', 'Smallest session timeout of a classic member.'],
  ['offsets.commit.timeout.ms', INT, '5000', 'How long a commit of offsets may take.', { min: 1 }],
  ['offsets.load.buffer.size', INT, '5242880', 'Bytes read at a time when groups are loaded.', { min: 1 }],
  [
    'offsets.retention.check.interval.ms',
    LONG,
    '600000',
    'Time between looks for offsets to forget.',
    { min: 1 },
  ],
  ['offsets.retention.minutes', INT, '10080', 'How long offsets of an empty group are kept.', { min: 1 }],
  ['offsets.topic.compression.codec', INT, '0', 'Compression of the offsets topic.'],
  ['offsets.topic.num.partitions', INT, '50', 'Partitions of the offsets topic.', { min: 1 }],
  [
    'offsets.topic.replication.factor',
    INT,
    '3',
    'Kept for tools. Durability comes from the storage.',
    { min: 1 },
  ],
  ['offsets.topic.segment.bytes', INT, '104857600', 'segment.bytes of the offsets topic.', { min: 1 }],

  // Transactions.
  [
    'transaction.abort.timed.out.transaction.cleanup.interval.ms',
    INT,
    '10000',
    'Time between looks for transactions that took too long.',
    { min: 1 },
  ],
  ['transaction.max.timeout.ms', INT, '900000', 'The longest timeout a transaction may ask for.', { min: 1 }],
  [
    'transaction.partition.verification.enable',
    BOOLEAN,
    'true',
    'Whether a partition must belong to the transaction that writes to it.',
  ],
  [
    'transaction.remove.expired.transaction.cleanup.interval.ms',
    INT,
    '3600000',
    'Time between looks for transactional ids to forget.',
    { min: 1 },
  ],
  [
    'transaction.state.log.min.isr',
    INT,
    '2',
    'Kept for tools. Durability comes from the storage.',
    { min: 1 },
  ],
  ['transaction.state.log.num.partitions', INT, '50', 'Partitions of the transaction log.', { min: 1 }],
  [
    'transaction.state.log.replication.factor',
    INT,
    '3',
    'Kept for tools. Durability comes from the storage.',
    { min: 1 },
  ],
  [
    'transaction.state.log.segment.bytes',
    INT,
    '104857600',
    'segment.bytes of the transaction log.',
    { min: 1 },
  ],
  [
    'transactional.id.expiration.ms',
    INT,
    '604800000',
    'How long an unused transactional id is remembered.',
    { min: 1 },
  ],

  // Security and quotas.
  ['authorizer.class.name', STRING, '', 'Kept for tools. There are no plug-ins in Java.'],
  ['delegation.token.secret.key', PASSWORD, null, 'The secret of delegation tokens.'],
  ['principal.builder.class', CLASS, null, 'Kept for tools. There are no plug-ins in Java.'],
  ['quota.window.num', INT, '11', 'Windows a quota is measured over.', { min: 1 }],
  ['quota.window.size.seconds', INT, '1', 'Length of a window of a quota.', { min: 1 }],
  ['sasl.enabled.mechanisms', LIST, 'GSSAPI', 'Mechanisms a client may authenticate with.'],
  ['sasl.jaas.config', PASSWORD, null, 'Credentials in the form of JAAS.'],
  ['ssl.cipher.suites', LIST, '', 'Cipher suites that are offered; empty: those of the TLS library.'],
  [
    'ssl.client.auth',
    STRING,
    'none',
    'Whether clients must show a certificate.',
    { oneOf: ['required', 'requested', 'none'] },
  ],
  ['ssl.enabled.protocols', LIST, 'TLSv1.2,TLSv1.3', 'TLS versions that are spoken.'],
  ['ssl.key.password', PASSWORD, null, 'The password of the private key.'],
  ['ssl.keystore.key', PASSWORD, null, 'The private key.'],
  ['ssl.keystore.location', STRING, null, 'Where the key store is.'],
  ['ssl.keystore.password', PASSWORD, null, 'The password of the key store.'],
  ['ssl.protocol', STRING, 'TLSv1.3', 'The newest TLS version.'],
  ['ssl.truststore.location', STRING, null, 'Where the trust store is.'],
  ['ssl.truststore.password', PASSWORD, null, 'The password of the trust store.'],
];

const DYNAMIC_ROWS: readonly Row[] = [
  ...TIME_DEFAULTS,
  ['background.threads', INT, '10', 'Kept for tools. A broker has one thread.', { min: 1 }],
  [
    'log.cleaner.backoff.ms',
    LONG,
    '15000',
    'Time between looks for something to compact in topics that are in use; others wait for log.retention.check.interval.ms.',
    { min: 0 },
  ],
  ['sasl.kerberos.min.time.before.relogin', LONG, '60000', 'Kept for tools. Kerberos is not spoken.'],
  [
    'producer.id.expiration.ms',
    INT,
    '86400000',
    'How long the state of an idle producer id is kept.',
    { min: 1 },
  ],
];

/** Every broker setting, in the order of names. */
export const BROKER_CONFIGS: readonly BrokerConfigDefinition[] = [
  ...START_ROWS.map((row) => definitionOf(row, 'start')),
  ...DYNAMIC_ROWS.map((row) => definitionOf(row, 'dynamic')),
  ...topicDefaults(),
].sort((a, b) => (a.name < b.name ? -1 : 1));

function definitionOf(row: Row, update: 'dynamic' | 'start'): BrokerConfigDefinition {
  const [name, type, defaultValue, documentation, limits = {}] = row;
  return { name, type, defaultValue, documentation, limits, update };
}

/** The broker settings that are nothing but the default of a topic setting: same type, default and limits. */
function topicDefaults(): readonly BrokerConfigDefinition[] {
  const known = new Set([...START_ROWS, ...DYNAMIC_ROWS].map(([name]) => name));
  return TOPIC_CONFIGS.flatMap(({ name: topicSetting, type, defaultValue, limits, brokerDefaults }) =>
    brokerDefaults
      .filter(({ name }) => !known.has(name))
      .map(({ name }) => {
        const documentation = `Default of the topic setting ${topicSetting}.`;
        return { name, type, defaultValue, documentation, limits, update: 'dynamic' as const };
      }),
  );
}
