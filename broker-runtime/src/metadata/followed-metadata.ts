import { invariant } from '../base/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';
import type {
  ClusterMetadata,
  ConfigChange,
  ConfigRow,
  CreateTopic,
  MetadataChange,
  MovePartition,
  RegisteredBroker,
  Topic,
  TopicResult,
} from './cluster-metadata.ts';
import type { Commands } from './commands.ts';
import { EffectiveConfigs } from './configs.ts';
import { settingsOfNewTopic } from './configs/decide.ts';
import type { MetadataImage } from './metadata-image.ts';
import { ProducerIdBlocks } from './producer-ids.ts';

export interface FollowedMetadataParts {
  /** Follows the log; nothing else takes its changes. */
  readonly image: MetadataImage;
  readonly commands: Commands;
  readonly clusterId: string;
  readonly brokerId: number;
  /** Broker settings given at start, by their Kafka names. */
  readonly staticSettings: ReadonlyMap<string, string>;
}

/** The cluster's metadata as one broker sees it: it follows the log, and sends changes to the controller. */
export class FollowedMetadata implements ClusterMetadata {
  readonly clusterId: string;
  readonly #image: MetadataImage;
  readonly #commands: Commands;
  readonly #brokerId: number;
  readonly #staticSettings: ReadonlyMap<string, string>;
  readonly #producerIds: ProducerIdBlocks;
  readonly #listeners = new Set<(change: MetadataChange) => void>();

  /** A setting that is needed before the log can be followed: as given at start, or its default. */
  static startSetting(name: string, settings: ReadonlyMap<string, string>): string | null {
    return new EffectiveConfigs(new Map(), new Map(), settings).brokerSetting(name);
  }

  constructor(parts: FollowedMetadataParts) {
    this.clusterId = parts.clusterId;
    this.#image = parts.image;
    this.#commands = parts.commands;
    this.#brokerId = parts.brokerId;
    this.#staticSettings = parts.staticSettings;
    this.#producerIds = new ProducerIdBlocks(parts.commands);
  }

  topics(): Iterable<Topic> {
    return this.#image.topics();
  }

  topicByName(name: string): Topic | undefined {
    return this.#image.topicByName(name);
  }

  topicById(topicId: string): Topic | undefined {
    return this.#image.topicById(topicId);
  }

  createTopics(requests: readonly CreateTopic[], validateOnly: boolean): Promise<readonly TopicResult[]> {
    return this.#commands.send('topics.create', { requests, validateOnly });
  }

  deleteTopics(topicIds: readonly string[]): Promise<readonly TopicResult[]> {
    return this.#commands.send('topics.delete', { topicIds });
  }

  async createPartitions(
    topicName: string,
    partitionCount: number,
    validateOnly: boolean,
    assignments?: readonly (readonly number[])[],
  ): Promise<TopicResult> {
    const [result] = await this.#commands.send('partitions.create', {
      topicName,
      partitionCount,
      validateOnly,
      ...(assignments === undefined ? {} : { assignments }),
    });
    invariant(result !== undefined, 'metadata', 'one request has one answer');
    return result;
  }

  movePartitions(moves: readonly MovePartition[]): Promise<readonly TopicResult[]> {
    return this.#commands.send('partitions.move', { moves });
  }

  topicConfig(name: string): ReadonlyMap<string, string> {
    return this.#image.topicSettings(this.topicByName(name)?.id ?? '');
  }

  brokerConfig(brokerId: number | 'cluster-default'): ReadonlyMap<string, string> {
    return this.#image.brokerSettings(brokerId === 'cluster-default' ? undefined : brokerId);
  }

  describeTopicConfig(name: string): readonly ConfigRow[] | undefined {
    if (this.topicByName(name) === undefined) return undefined;
    return this.#configs(this.#brokerId).describeTopic(this.topicConfig(name));
  }

  describeNewTopicConfig(configs: CreateTopic['configs']): readonly ConfigRow[] {
    const effective = this.#configs(this.#brokerId);
    const altered = settingsOfNewTopic(configs, effective);
    return 'error' in altered ? [] : effective.describeTopic(altered.settings);
  }

  describeBrokerConfig(brokerId: number | 'cluster-default'): readonly ConfigRow[] | undefined {
    if (brokerId === 'cluster-default') {
      const configs = new EffectiveConfigs(new Map(), this.brokerConfig(brokerId), new Map());
      // What was set for all brokers, and nothing else: so tools tell it from the defaults.
      return configs.describeBroker().filter((row) => this.brokerConfig(brokerId).has(row.name));
    }
    if (brokerId !== this.#brokerId && !this.#image.brokers.has(brokerId)) return undefined;
    return this.#configs(brokerId).describeBroker();
  }

  logConfig(topicName: string): LogConfig {
    return this.#configs(this.#brokerId).logConfig(this.topicConfig(topicName));
  }

  brokerSetting(name: string): string | null {
    return this.#configs(this.#brokerId).brokerSetting(name);
  }

  alterConfigs(changes: readonly ConfigChange[], validateOnly: boolean): Promise<readonly TopicResult[]> {
    return this.#commands.send('configs.alter', { changes, validateOnly });
  }

  *brokers(): Iterable<RegisteredBroker> {
    const { brokers } = this.#image;
    for (const nodeId of [...brokers.keys()].sort((a, b) => a - b)) {
      const broker = brokers.get(nodeId);
      if (broker !== undefined) yield broker;
    }
  }

  broker(nodeId: number): RegisteredBroker | undefined {
    return this.#image.brokers.get(nodeId);
  }

  allocateProducerIds(count: number): Promise<number> {
    return this.#producerIds.allocate(count);
  }

  onChange(listener: (change: MetadataChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The image has taken in entries of the log: tells listeners what is new. */
  imageMoved(): void {
    const change = this.#image.takeChanges();
    const { created, deleted, changed, brokers } = change;
    if (created.length + deleted.length + changed.length === 0 && !brokers) return;
    for (const listener of this.#listeners) listener(change);
  }

  #configs(brokerId: number): EffectiveConfigs {
    return new EffectiveConfigs(
      this.#image.brokerSettings(brokerId),
      this.#image.brokerSettings(undefined),
      brokerId === this.#brokerId ? this.#staticSettings : new Map(),
    );
  }
}
