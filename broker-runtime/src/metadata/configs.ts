import type { LogConfig } from '../wire/log-config.ts';
import { ConfigSource, ConfigType, UnknownSettingError } from './cluster-metadata.ts';
import type { ConfigRow } from './cluster-metadata.ts';
import { BROKER_CONFIGS } from './configs/broker-configs.ts';
import type { BrokerConfigDefinition } from './configs/broker-configs.ts';
import { listOf } from './configs/definition.ts';
import { TOPIC_CONFIGS } from './configs/topic-configs.ts';
import type { TopicConfigDefinition } from './configs/topic-configs.ts';

type Settings = ReadonlyMap<string, string>;

/** A value with the place that gives it. */
interface Given {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSource;
}

const TOPIC_BY_NAME: ReadonlyMap<string, TopicConfigDefinition> = new Map(
  TOPIC_CONFIGS.map((definition) => [definition.name, definition]),
);
const BROKER_BY_NAME: ReadonlyMap<string, BrokerConfigDefinition> = new Map(
  BROKER_CONFIGS.map((definition) => [definition.name, definition]),
);

export function topicDefinition(name: string): TopicConfigDefinition | undefined {
  return TOPIC_BY_NAME.get(name);
}

export function brokerDefinition(name: string): BrokerConfigDefinition | undefined {
  return BROKER_BY_NAME.get(name);
}

/**
 * What was set for one broker, strongest first: for it alone (2), for all brokers (3), when it started (4). A default
 * (5) stands behind everything. For topics their own settings (1) come before.
 */
export class EffectiveConfigs {
  readonly #layers: readonly { readonly source: ConfigSource; readonly settings: Settings }[];

  constructor(ofBroker: Settings, ofAllBrokers: Settings, givenAtStart: Settings) {
    this.#layers = [
      { source: ConfigSource.DYNAMIC_BROKER, settings: ofBroker },
      { source: ConfigSource.DYNAMIC_CLUSTER_DEFAULT, settings: ofAllBrokers },
      { source: ConfigSource.STATIC_BROKER, settings: givenAtStart },
    ];
  }

  /** @throws {UnknownSettingError} */
  brokerSetting(name: string): string | null {
    const definition = brokerDefinition(name);
    if (definition === undefined) {
      throw new UnknownSettingError(
        `there is no broker setting '${name}'; see the table in configs/broker-configs.ts`,
      );
    }
    return this.#given(name)[0]?.value ?? definition.defaultValue;
  }

  describeBroker(): readonly ConfigRow[] {
    return BROKER_CONFIGS.map((definition) => {
      const { name, defaultValue } = definition;
      const given = [...this.#given(name), ...defaultOf(name, defaultValue)];
      return rowOf(definition, given[0]?.value ?? null, given, definition.update === 'start');
    });
  }

  describeTopic(ofTopic: Settings): readonly ConfigRow[] {
    const rows: ConfigRow[] = [];
    for (const definition of TOPIC_CONFIGS) {
      const own = ofTopic.get(definition.name);
      if (definition.internal && own === undefined) continue;
      const given: Given[] = [];
      if (own !== undefined) given.push({ name: definition.name, value: own, source: ConfigSource.TOPIC });
      for (const { name } of definition.brokerDefaults) {
        given.push(...this.#given(name), ...defaultOf(name, brokerDefinition(name)?.defaultValue ?? null));
      }
      // Every default of a broker setting comes after everything that was set on purpose.
      given.sort(
        (a, b) => Number(a.source === ConfigSource.DEFAULT) - Number(b.source === ConfigSource.DEFAULT),
      );
      rows.push(rowOf(definition, this.#topicValue(definition, ofTopic), given, false));
    }
    return rows;
  }

  /** Effective value of a topic setting; null: none. */
  topicSetting(name: string, ofTopic: Settings): string | null {
    const definition = topicDefinition(name);
    if (definition === undefined) throw new UnknownSettingError(`there is no topic setting '${name}'`);
    return this.#topicValue(definition, ofTopic);
  }

  logConfig(ofTopic: Settings): LogConfig {
    const text = (name: string): string => this.topicSetting(name, ofTopic) ?? '';
    const number = (name: string): number => Number(text(name));
    const policies = listOf(text('cleanup.policy'));
    const internalSegmentBytes = this.topicSetting('internal.segment.bytes', ofTopic);
    return {
      cleanupPolicy: { delete: policies.includes('delete'), compact: policies.includes('compact') },
      retentionMs: number('retention.ms'),
      retentionBytes: number('retention.bytes'),
      segmentBytes: internalSegmentBytes === null ? number('segment.bytes') : Number(internalSegmentBytes),
      segmentMs: number('segment.ms'),
      deleteRetentionMs: number('delete.retention.ms'),
      minCleanableDirtyRatio: number('min.cleanable.dirty.ratio'),
      minCompactionLagMs: number('min.compaction.lag.ms'),
      maxCompactionLagMs: number('max.compaction.lag.ms'),
      maxMessageBytes: number('max.message.bytes'),
      messageTimestampType:
        text('message.timestamp.type') === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
      messageTimestampBeforeMaxMs: number('message.timestamp.before.max.ms'),
      messageTimestampAfterMaxMs: number('message.timestamp.after.max.ms'),
      producerIdExpirationMs: Number(this.brokerSetting('producer.id.expiration.ms')),
    };
  }

  #topicValue(definition: TopicConfigDefinition, ofTopic: Settings): string | null {
    const own = ofTopic.get(definition.name);
    if (own !== undefined) return own;
    for (const { name, scale } of definition.brokerDefaults) {
      const given = this.#given(name)[0];
      if (given !== undefined) return scale === 1 ? given.value : scaled(given.value, scale);
    }
    return definition.defaultValue;
  }

  #given(name: string): Given[] {
    const given: Given[] = [];
    for (const { source, settings } of this.#layers) {
      const value = settings.get(name);
      if (value !== undefined) given.push({ name, value, source });
    }
    return given;
  }
}

/** -1 means no limit in every unit. */
function scaled(value: string, scale: number): string {
  return Number(value) < 0 ? value : String(BigInt(value) * BigInt(scale));
}

function defaultOf(name: string, value: string | null): readonly Given[] {
  return value === null ? [] : [{ name, value, source: ConfigSource.DEFAULT }];
}

function rowOf(
  definition: TopicConfigDefinition | BrokerConfigDefinition,
  value: string | null,
  given: readonly Given[],
  readOnly: boolean,
): ConfigRow {
  const sensitive = definition.type === ConfigType.PASSWORD;
  return {
    name: definition.name,
    value: sensitive ? null : value,
    source: given[0]?.source ?? ConfigSource.DEFAULT,
    readOnly,
    sensitive,
    synonyms: given.map((one) => ({ ...one, value: sensitive ? null : one.value })),
    type: definition.type,
    documentation: definition.documentation,
  };
}
