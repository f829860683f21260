import { DEFAULT_GROUP_CONFIG, type GroupConfig } from '../coordinator/group-config.ts';
import type { MaintenancePace } from '../log/partitions.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { BrokerSettings } from '../server/services.ts';
import type { ConfiguredLimits } from './memory.ts';

const MINUTE_MS = 60_000;

/** Kafka's broker settings, as the rooms that act on them want them. The table of settings validated the values. */
export class KafkaSettings {
  readonly #metadata: ClusterMetadata;

  constructor(metadata: ClusterMetadata) {
    this.#metadata = metadata;
  }

  get server(): BrokerSettings {
    return {
      autoCreateTopics: this.#flag('auto.create.topics.enable'),
      deleteTopics: this.#flag('delete.topic.enable'),
    };
  }

  get groups(): GroupConfig {
    return {
      ...DEFAULT_GROUP_CONFIG,
      offsetsTopicPartitions: this.#number('offsets.topic.num.partitions'),
      offsetsTopicSegmentBytes: this.#number('offsets.topic.segment.bytes'),
      minSessionTimeoutMs: this.#number('group.min.session.timeout.ms'),
      maxSessionTimeoutMs: this.#number('group.max.session.timeout.ms'),
      initialRebalanceDelayMs: this.#number('group.initial.rebalance.delay.ms'),
      maxOffsetMetadataLength: this.#number('offset.metadata.max.bytes'),
      offsetsRetentionMs: this.#number('offsets.retention.minutes') * MINUTE_MS,
      offsetsRetentionCheckMs: this.#number('offsets.retention.check.interval.ms'),
      maxGroupSize: Math.min(DEFAULT_GROUP_CONFIG.maxGroupSize, this.#number('group.max.size')),
    };
  }

  get limits(): ConfiguredLimits {
    const idleMs = this.#number('connections.max.idle.ms');
    const queuedBytes = this.#number('queued.max.request.bytes');
    return {
      requestMaxBytes: this.#number('socket.request.max.bytes'),
      requestMemoryBytes: queuedBytes < 0 ? undefined : queuedBytes,
      fetchMaxBytes: this.#number('fetch.max.bytes'),
      idleDeadlineMs: idleMs < 0 ? Infinity : idleMs,
      connectionsMax: this.#number('max.connections'),
      connectionsPerAddressMax: this.#number('max.connections.per.ip'),
      connectionsPerSecondMax: this.#number('max.connection.creation.rate'),
    };
  }

  /** How often retention and compaction look at each partition; may be changed while the broker runs. */
  get maintenance(): MaintenancePace {
    return {
      intervalMs: this.#number('log.retention.check.interval.ms'),
      cleanerIntervalMs: this.#number('log.cleaner.backoff.ms'),
    };
  }

  #number(name: string): number {
    return Number(this.#metadata.brokerSetting(name));
  }

  #flag(name: string): boolean {
    return this.#metadata.brokerSetting(name) === 'true';
  }
}
