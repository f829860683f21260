import { MillraceError } from '../base/errors.ts';
import type { ErrorCode } from '../wire/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';

/**
 * Topics, their partitions and settings, brokers and producer ids: the cluster as clients see it. Reads are
 * answered from the image; changes are journal entries and take effect when their promise resolves.
 */
export interface ClusterMetadata {
  readonly clusterId: string;
  topics(): Iterable<Topic>;
  topicByName(name: string): Topic | undefined;
  topicById(topicId: string): Topic | undefined;

  /** One answer per request, in order. `validateOnly` checks everything and changes nothing. */
  createTopics(requests: readonly CreateTopic[], validateOnly: boolean): Promise<readonly TopicResult[]>;
  deleteTopics(topicIds: readonly string[]): Promise<readonly TopicResult[]>;
  /** Grows a topic to `partitionCount` partitions; `assignments` names the replicas of the new ones, if given. */
  createPartitions(
    topicName: string,
    partitionCount: number,
    validateOnly: boolean,
    assignments?: readonly (readonly number[])[],
  ): Promise<TopicResult>;

  /** Settings that were set on purpose; defaults live in the table of `configs.ts`. */
  topicConfig(name: string): ReadonlyMap<string, string>;
  brokerConfig(brokerId: number | 'cluster-default'): ReadonlyMap<string, string>;
  /** Every setting of a topic with its effective value and where that comes from; undefined: no such topic. */
  describeTopicConfig(name: string): readonly ConfigRow[] | undefined;
  /** As seen by one broker, or only what was set for all of them. Undefined: no such broker. */
  describeBrokerConfig(brokerId: number | 'cluster-default'): readonly ConfigRow[] | undefined;
  /** What a partition of the topic acts on; defaults for a topic that does not exist. */
  logConfig(topicName: string): LogConfig;
  /** Effective value of a broker setting on this broker. @throws {UnknownSettingError} */
  brokerSetting(name: string): string | null;
  /** Replaces, sets or removes settings after validation; all or nothing per resource. */
  alterConfigs(changes: readonly ConfigChange[], validateOnly: boolean): Promise<readonly TopicResult[]>;

  /**
   * Enters this process as the broker `nodeId` and returns its node epoch: the sequence of the journal entry
   * (protocol 3.4). The same incarnation gets the same answer again.
   */
  registerBroker(registration: BrokerRegistration): Promise<number>;
  brokers(): Iterable<RegisteredBroker>;

  /** A block of never-used producer ids [first, first + count). */
  allocateProducerIds(count: number): Promise<number>;

  /** Calls back after committed changes to topics or configs, with what changed. Returns the way to stop. */
  onChange(listener: (change: MetadataChange) => void): () => void;
}

export interface Topic {
  /** UUID as Kafka prints it (base64url, 22 characters); stable for the topic's life, never reused. */
  readonly id: string;
  readonly name: string;
  readonly internal: boolean;
  readonly partitions: readonly Partition[];
}

export interface Partition {
  readonly index: number;
  readonly leaderEpoch: number;
  readonly leaderId: number;
  /** The stream of record batches, and the small one for producer-state snapshots and leader epochs. */
  readonly dataStreamId: number;
  readonly stateStreamId: number;
}

export interface CreateTopic {
  readonly name: string;
  /** -1: the broker's default. */
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Manual assignment of replicas by partition, or empty. */
  readonly assignments: readonly { readonly partition: number; readonly brokerIds: readonly number[] }[];
  readonly configs: readonly { readonly name: string; readonly value: string | null }[];
  readonly internal?: boolean;
}

export interface TopicResult {
  readonly error: ErrorCode;
  readonly message?: string;
  readonly topic?: Topic;
}

export interface ConfigChange {
  readonly resource: { readonly type: 'topic' | 'broker'; readonly name: string };
  /** `replace`: legacy AlterConfigs, the whole set. `incremental`: KIP-339 operations. */
  readonly mode: 'replace' | 'incremental';
  readonly operations: readonly {
    readonly name: string;
    readonly op: 'set' | 'delete' | 'append' | 'subtract';
    readonly value: string | null;
  }[];
}

export interface MetadataChange {
  readonly created: readonly Topic[];
  readonly deleted: readonly Topic[];
  /** Topics that grew or whose settings changed. */
  readonly changed: readonly Topic[];
}

export interface BrokerRegistration {
  readonly nodeId: number;
  /** UUID of this process's life, as {@link Random.uuid} gives it. */
  readonly incarnationId: string;
  readonly walKind: string;
}

export interface RegisteredBroker extends BrokerRegistration {
  readonly nodeEpoch: number;
}

/** One row of DescribeConfigs. */
export interface ConfigRow {
  readonly name: string;
  /** Null when there is none, or when it is sensitive. */
  readonly value: string | null;
  readonly source: ConfigSource;
  readonly readOnly: boolean;
  readonly sensitive: boolean;
  /** Every place that gives a value, the winner first. */
  readonly synonyms: readonly {
    readonly name: string;
    readonly value: string | null;
    readonly source: ConfigSource;
  }[];
  readonly type: ConfigType;
  readonly documentation: string;
}

/** Numbers of DescribeConfigs: 1 topic, 2 one broker, 3 all brokers, 4 given at start, 5 default. */
export const ConfigSource = {
  TOPIC: 1,
  DYNAMIC_BROKER: 2,
  DYNAMIC_CLUSTER_DEFAULT: 3,
  STATIC_BROKER: 4,
  DEFAULT: 5,
} as const;
export type ConfigSource = (typeof ConfigSource)[keyof typeof ConfigSource];

/** Numbers of DescribeConfigs v3. */
export const ConfigType = {
  BOOLEAN: 1,
  STRING: 2,
  INT: 3,
  SHORT: 4,
  LONG: 5,
  DOUBLE: 6,
  LIST: 7,
  CLASS: 8,
  PASSWORD: 9,
} as const;
export type ConfigType = (typeof ConfigType)[keyof typeof ConfigType];

/** A broker setting that is not in the table of settings. */
export class UnknownSettingError extends MillraceError {
  readonly code = 'UNKNOWN_SETTING';
}
