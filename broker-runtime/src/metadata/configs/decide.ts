import type { JournalRecord } from '../../wal/journal.ts';
import { Errors } from '../../wire/errors.ts';
import type { ConfigChange, CreateTopic, TopicResult } from '../cluster-metadata.ts';
import { brokerDefinition, topicDefinition } from '../configs.ts';
import type { EffectiveConfigs } from '../configs.ts';
import { decided } from '../decided.ts';
import type { Decided } from '../decided.ts';
import type { MetadataImage } from '../metadata-image.ts';
import { alter } from './alter.ts';
import type { Altered, Refusal } from './alter.ts';
import type { ConfigDefinition } from './definition.ts';

export interface ConfigContext {
  readonly image: MetadataImage;
  /** The node that decides: its settings given at start count for all. */
  readonly brokerId: number;
  readonly configs: (brokerId: number) => EffectiveConfigs;
}

interface Accepted {
  readonly record: JournalRecord;
}

/** Decides about settings: run inside a decision of the journal. Each resource is changed as a whole or not at all. */
export function decideConfigs(
  changes: readonly ConfigChange[],
  validateOnly: boolean,
  context: ConfigContext,
): Decided {
  const records: JournalRecord[] = [];
  const keys = changes.map(({ resource }) => `${resource.type} ${resource.name}`);
  const results = changes.map((change, n): TopicResult => {
    if (keys.indexOf(keys[n] ?? '') !== keys.lastIndexOf(keys[n] ?? '')) {
      return { error: Errors.INVALID_REQUEST, message: 'Each resource must appear at most once.' };
    }
    const { resource } = change;
    const outcome = resource.type === 'topic' ? decideTopic(change, context) : decideBroker(change, context);
    if ('error' in outcome) return outcome;
    records.push(outcome.record);
    return { error: Errors.NONE };
  });
  return validateOnly ? decided(results) : decided(results, records);
}

/** The settings of a topic to be created, or why they are refused. */
export function settingsOfNewTopic(configs: CreateTopic['configs'], effective: EffectiveConfigs): Altered {
  const missing = configs.find(({ value }) => value === null);
  if (missing !== undefined) {
    return {
      error: Errors.INVALID_CONFIG,
      message: `Null value not supported for topic configs: ${missing.name}`,
    };
  }
  const operations = configs.map(({ name, value }) => ({ name, value, op: 'set' as const }));
  return alterTopic({ mode: 'replace', operations }, new Map(), effective);
}

function decideTopic(change: ConfigChange, { image, brokerId, configs }: ConfigContext): Accepted | Refusal {
  const topic = image.topicByName(change.resource.name);
  if (topic === undefined) {
    return {
      error: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      message: `The topic '${change.resource.name}' does not exist.`,
    };
  }
  const altered = alterTopic(change, image.topicSettings(topic.id), configs(brokerId));
  if ('error' in altered) return altered;
  const { settings } = altered;
  const record = image.record({ type: 'topic-configured', topicId: topic.id, settings });
  return { record };
}

function alterTopic(
  change: Pick<ConfigChange, 'mode' | 'operations'>,
  current: ReadonlyMap<string, string>,
  effective: EffectiveConfigs,
): Altered {
  const altered = alter(change, {
    current,
    definition: (name) => topicDefinition(name) ?? `Unknown topic config name: ${name}`,
    effective: (name) => effective.topicSetting(name, current),
  });
  if ('error' in altered) return altered;
  const minLag = Number(effective.topicSetting('min.compaction.lag.ms', altered.settings));
  const maxLag = Number(effective.topicSetting('max.compaction.lag.ms', altered.settings));
  if (minLag <= maxLag) return altered;
  return {
    error: Errors.INVALID_CONFIG,
    message: `conflict topic config setting min.compaction.lag.ms (${minLag}) > max.compaction.lag.ms (${maxLag})`,
  };
}

function decideBroker(change: ConfigChange, context: ConfigContext): Accepted | Refusal {
  const { image } = context;
  const { name: resourceName } = change.resource;
  const nodeId = resourceName === '' ? undefined : Number(resourceName);
  if (nodeId !== undefined && !/^\d+$/.test(resourceName)) {
    return {
      error: Errors.INVALID_REQUEST,
      message: `Node id must be an integer, but it is: ${resourceName}`,
    };
  }
  if (nodeId !== undefined && !image.brokers.has(nodeId)) {
    return { error: Errors.INVALID_REQUEST, message: `No broker with id ${nodeId} is registered.` };
  }
  const effective = context.configs(nodeId ?? context.brokerId);
  const altered = alter(change, {
    current: image.brokerSettings(nodeId),
    definition: alterableBrokerSetting,
    effective: (name) => effective.brokerSetting(name),
  });
  if ('error' in altered) return altered;
  const { settings } = altered;
  return { record: image.record({ type: 'broker-configured', nodeId, settings }) };
}

function alterableBrokerSetting(name: string): ConfigDefinition | string {
  const definition = brokerDefinition(name);
  if (definition === undefined) return `Unknown broker config name: ${name}`;
  return definition.update === 'dynamic'
    ? definition
    : `Cannot update these configs dynamically: ${name} is given when a broker starts`;
}
