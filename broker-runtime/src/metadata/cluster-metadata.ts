import type { ErrorCode } from '../wire/errors.ts';

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
  /** Grows a topic to `partitionCount` partitions. */
  createPartitions(topicName: string, partitionCount: number, validateOnly: boolean): Promise<TopicResult>;

  /** Settings that were set on purpose; defaults live in the table of `configs.ts`. */
  topicConfig(name: string): ReadonlyMap<string, string>;
  brokerConfig(brokerId: number | 'cluster-default'): ReadonlyMap<string, string>;
  /** Replaces, sets or removes settings after validation; all or nothing per resource. */
  alterConfigs(changes: readonly ConfigChange[], validateOnly: boolean): Promise<readonly TopicResult[]>;

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
