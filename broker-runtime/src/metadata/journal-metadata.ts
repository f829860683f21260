import { invariant, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Manifest } from '../store/manifest.ts';
import type { Decision, Journal } from '../wal/journal.ts';
import type { LogConfig } from '../wire/log-config.ts';
import type {
  BrokerRegistration,
  ClusterMetadata,
  ConfigChange,
  ConfigRow,
  CreateTopic,
  MetadataChange,
  RegisteredBroker,
  Topic,
  TopicResult,
} from './cluster-metadata.ts';
import { brokerDefinition, EffectiveConfigs } from './configs.ts';
import { decideConfigs } from './configs/decide.ts';
import { problemWith } from './configs/definition.ts';
import type { MetadataImage } from './metadata-image.ts';
import type { Decided, Outcome } from './decided.ts';
import { ProducerIdBlocks } from './producer-ids.ts';
import { TopicDecisions } from './topics/topic-decisions.ts';
import type { TopicLimits } from './topics/topic-plan.ts';

export interface JournalMetadataParts {
  readonly env: Env;
  readonly journal: Journal;
  /** One of the images of `journal`. */
  readonly image: MetadataImage;
  /** Streams are created and deleted in the entries that create and delete their topics. */
  readonly manifest: Manifest;
  readonly clusterId: string;
  readonly brokerId: number;
  /** Broker settings given at start, by their Kafka names. */
  readonly staticSettings: Readonly<Record<string, string>>;
  readonly limits?: Partial<TopicLimits>;
}

const DEFAULT_LIMITS: TopicLimits = {
  maxPartitionsPerTopic: 10_000,
  maxPartitions: 100_000,
  acceptAnyReplicationFactor: true,
};

/** The cluster's metadata, changed by entries of the journal. */
export class JournalMetadata implements ClusterMetadata {
  readonly clusterId: string;
  readonly #journal: Journal;
  readonly #image: MetadataImage;
  readonly #brokerId: number;
  readonly #staticSettings: ReadonlyMap<string, string>;
  readonly #topicDecisions: TopicDecisions;
  readonly #producerIds: ProducerIdBlocks;
  readonly #listeners = new Set<(change: MetadataChange) => void>();

  /** @throws {InvalidSettingError} when a setting given at start is unknown or not allowed */
  constructor(parts: JournalMetadataParts) {
    this.clusterId = parts.clusterId;
    this.#journal = parts.journal;
    this.#image = parts.image;
    this.#brokerId = parts.brokerId;
    const brokerId = String(parts.brokerId);
    const given = { 'broker.id': brokerId, 'node.id': brokerId, ...parts.staticSettings };
    this.#staticSettings = new Map(Object.entries(given));
    checkSettings(this.#staticSettings);
    this.#topicDecisions = new TopicDecisions({
      ...parts,
      limits: { ...DEFAULT_LIMITS, ...parts.limits },
      configs: () => this.#configs(this.#brokerId),
    });
    this.#producerIds = new ProducerIdBlocks(parts.journal, parts.image);
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
    return this.#change(() => this.#topicDecisions.create(requests, validateOnly));
  }

  deleteTopics(topicIds: readonly string[]): Promise<readonly TopicResult[]> {
    return this.#change(() => this.#topicDecisions.delete(topicIds));
  }

  async createPartitions(
    topicName: string,
    partitionCount: number,
    validateOnly: boolean,
    assignments?: readonly (readonly number[])[],
  ): Promise<TopicResult> {
    const [result] = await this.#change(() =>
      this.#topicDecisions.grow(topicName, partitionCount, assignments, validateOnly),
    );
    invariant(result !== undefined, 'metadata', 'one request has one answer');
    return result;
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
    return this.#change(() =>
      decideConfigs(changes, validateOnly, {
        image: this.#image,
        brokerId: this.#brokerId,
        configs: (brokerId) => this.#configs(brokerId),
      }),
    );
  }

  registerBroker({ nodeId, incarnationId, walKind }: BrokerRegistration): Promise<number> {
    return this.#journal.commit((sequence) => {
      const known = this.#image.brokers.get(nodeId);
      if (known?.incarnationId === incarnationId) return { records: [], result: known.nodeEpoch };
      const record = this.#image.record({ type: 'broker-registered', nodeId, incarnationId, walKind });
      return { records: [record], result: sequence };
    });
  }

  brokers(): Iterable<RegisteredBroker> {
    return this.#image.brokers.values();
  }

  allocateProducerIds(count: number): Promise<number> {
    return this.#producerIds.allocate(count);
  }

  onChange(listener: (change: MetadataChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #change(decide: () => Decided): Promise<readonly TopicResult[]> {
    const { results, change } = await this.#journal.commit<Outcome>((): Decision<Outcome> => {
      const { records, outcome } = decide();
      return { records, result: outcome };
    });
    this.#tell(change);
    return results;
  }

  /** Only now, when the entry is committed. What a later decision of the same entry deleted is not "changed" any more. */
  #tell(change: MetadataChange): void {
    const changed = change.changed.flatMap((topic) => this.topicById(topic.id) ?? []);
    if (change.created.length + change.deleted.length + changed.length === 0) return;
    for (const listener of this.#listeners) listener({ ...change, changed });
  }

  #configs(brokerId: number): EffectiveConfigs {
    return new EffectiveConfigs(
      this.#image.brokerSettings(brokerId),
      this.#image.brokerSettings(undefined),
      brokerId === this.#brokerId ? this.#staticSettings : new Map(),
    );
  }
}

/** A broker setting given at start that is unknown or not allowed. */
export class InvalidSettingError extends MillraceError {
  readonly code = 'INVALID_SETTING';
}

function checkSettings(settings: ReadonlyMap<string, string>): void {
  for (const [name, value] of settings) {
    const definition = brokerDefinition(name);
    if (definition === undefined) {
      throw new InvalidSettingError(
        `'${name}' is not a broker setting: check its spelling, or leave it out if it tunes Kafka's own code`,
      );
    }
    const problem = problemWith(definition, value);
    if (problem !== undefined) throw new InvalidSettingError(problem);
  }
}
