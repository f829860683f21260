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

  /**
   * Where partitions shall go: one answer per move, in order. A move has begun when the promise resolves; it is over
   * when the partition shows its new leader.
   */
  movePartitions(moves: readonly MovePartition[]): Promise<readonly TopicResult[]>;

  /** Settings that were set on purpose; defaults live in the table of `configs.ts`. */
  topicConfig(name: string): ReadonlyMap<string, string>;
  brokerConfig(brokerId: number | 'cluster-default'): ReadonlyMap<string, string>;
  /** Every setting of a topic with its effective value and where that comes from; undefined: no such topic. */
  describeTopicConfig(name: string): readonly ConfigRow[] | undefined;
  /** The same of a topic that is created with these settings; none when they would be refused. */
  describeNewTopicConfig(configs: CreateTopic['configs']): readonly ConfigRow[];
  /** As seen by one broker, or only what was set for all of them. Undefined: no such broker. */
  describeBrokerConfig(brokerId: number | 'cluster-default'): readonly ConfigRow[] | undefined;
  /** What a partition of the topic acts on; defaults for a topic that does not exist. */
  logConfig(topicName: string): LogConfig;
  /** Effective value of a broker setting on this broker. @throws {UnknownSettingError} */
  brokerSetting(name: string): string | null;
  /** Replaces, sets or removes settings after validation; all or nothing per resource. */
  alterConfigs(changes: readonly ConfigChange[], validateOnly: boolean): Promise<readonly TopicResult[]>;

  /** Every node that ever registered, the gone ones too, in ascending order of ids. */
  brokers(): Iterable<RegisteredBroker>;
  broker(nodeId: number): RegisteredBroker | undefined;

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
  /** Where it is about to go: the leader lets go of it and does not open it again. */
  readonly movingTo?: number | undefined;
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

export interface MovePartition {
  readonly topicId: string;
  readonly index: number;
  /** Null: it stays where it is. */
  readonly toNodeId: number | null;
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
  /** Topics that grew, or whose settings, leaders or moves changed. */
  readonly changed: readonly Topic[];
  /** Nodes came, went or changed their state. */
  readonly brokers: boolean;
}

/** One life of a node. */
export interface NodeRef {
  readonly nodeId: number;
  readonly nodeEpoch: number;
}

export interface BrokerRegistration {
  readonly nodeId: number;
  /** UUID of this process's life, as {@link Random.uuid} gives it. */
  readonly incarnationId: string;
  readonly walKind: string;
  /** The availability zone; empty when none was given. */
  readonly zone: string;
}

/** Where clients reach a broker. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * active: alive as far as anybody knows, or down and not missed yet
 * fenced: nothing it sends is accepted any more; its WAL must be recovered
 * clean:  gone, and its WAL holds nothing that is needed: its slot is free
 */
export type NodeState = 'active' | 'fenced' | 'clean';

export interface RegisteredBroker extends BrokerRegistration {
  /** Sequence of the entry that registered it: strictly increasing (I31). */
  readonly nodeEpoch: number;
  readonly state: NodeState;
  /** The life before, as it ended: tells what the WAL may hold. */
  readonly previous: PreviousLife | undefined;
  /** Something may have been acknowledged, by this life or one before, that is nowhere but in the node's WAL. */
  readonly logNeeded: boolean;
  /** Since it serves: before that it opens what its last life left, and leads nothing new. */
  readonly endpoint?: Endpoint | undefined;
  /** Who recovers the WAL of a fenced node. */
  readonly recovery?: Recovery | undefined;
}

export interface PreviousLife {
  readonly nodeEpoch: number;
  readonly state: NodeState;
  /** Something may have been acknowledged that is nowhere but in the node's WAL. */
  readonly logNeeded: boolean;
}

export interface Recovery {
  readonly recovererId: number;
  /** From 1; what an earlier recoverer sends is refused. */
  readonly attempt: number;
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
