import { invariant } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { ManifestDecisions } from '../../store/manifest-decisions.ts';
import type { JournalRecord } from '../../wal/journal.ts';
import { Errors } from '../../wire/errors.ts';
import type { CreateTopic, Topic, TopicResult } from '../cluster-metadata.ts';
import type { EffectiveConfigs } from '../configs.ts';
import type { Refusal } from '../configs/alter.ts';
import { settingsOfNewTopic } from '../configs/decide.ts';
import { decided, refused } from '../decided.ts';
import type { Decided } from '../decided.ts';
import { partitionsOf, STREAMS_PER_PARTITION } from '../metadata-image.ts';
import type { MetadataImage } from '../metadata-image.ts';
import { collisionKey } from '../topic-name.ts';
import { servingNodeIds } from '../nodes/node-decisions.ts';
import { newTopicId, ZERO_TOPIC_ID } from './topic-id.ts';
import { isInternal, planGrowth, planTopic } from './topic-plan.ts';
import type { PlanContext, TopicLimits } from './topic-plan.ts';

export interface TopicDecisionsParts {
  readonly env: Env;
  readonly image: MetadataImage;
  /** Streams are created and deleted in the entries that create and delete their topics. */
  readonly manifest: ManifestDecisions;
  readonly limits: TopicLimits;
  readonly configs: () => EffectiveConfigs;
}

interface Planned {
  readonly request: CreateTopic;
  readonly topicId: string;
  readonly leaderIds: readonly number[];
  readonly settings: ReadonlyMap<string, string>;
}

/** Decides about topics: run inside a decision of the journal, on images that stand still. */
export class TopicDecisions {
  readonly #parts: TopicDecisionsParts;

  constructor(parts: TopicDecisionsParts) {
    this.#parts = parts;
  }

  create(requests: readonly CreateTopic[], validateOnly: boolean): Decided {
    const plans = this.#plan(requests, validateOnly);
    const planned = plans.filter((plan): plan is Planned => 'topicId' in plan);
    const partitions = planned.reduce((sum, { leaderIds }) => sum + leaderIds.length, 0);
    // Once for all topics: ids are given out anew with every call until the records are applied.
    const streams = validateOnly ? { result: [], records: [] } : this.#createStreams(partitions);
    const records: JournalRecord[] = [...streams.records];
    let firstStreamId = streams.result[0] ?? 0;
    const results = plans.map((plan): TopicResult => {
      if (!('topicId' in plan)) return plan;
      const topic = topicOf(plan, firstStreamId);
      firstStreamId += plan.leaderIds.length * STREAMS_PER_PARTITION;
      records.push(...this.#recordsOf(plan, topic));
      return { error: Errors.NONE, topic };
    });
    return validateOnly ? decided(results) : decided(results, records);
  }

  delete(topicIds: readonly string[]): Decided {
    const { image, manifest } = this.#parts;
    const isDisabled = this.#parts.configs().brokerSetting('delete.topic.enable') !== 'true';
    const deleted: Topic[] = [];
    const results = topicIds.map((topicId): TopicResult => {
      const topic = image.topicById(topicId);
      if (topic === undefined)
        return { error: Errors.UNKNOWN_TOPIC_ID, message: 'This server does not host this topic ID.' };
      if (isDisabled)
        return { error: Errors.TOPIC_DELETION_DISABLED, message: 'Topic deletion is disabled.' };
      if (topicIds.indexOf(topicId) !== topicIds.lastIndexOf(topicId)) {
        return { error: Errors.INVALID_REQUEST, message: 'Duplicate topic id.' };
      }
      deleted.push(topic);
      return { error: Errors.NONE, topic };
    });
    const streamIds = deleted.flatMap(({ partitions }) =>
      partitions.flatMap(({ dataStreamId, stateStreamId }) => [dataStreamId, stateStreamId]),
    );
    const records = [
      ...deleted.map(({ id: topicId }) => image.record({ type: 'topic-deleted', topicId })),
      ...manifest.deleteStreams(streamIds).records,
    ];
    return decided(results, records);
  }

  grow(
    name: string,
    total: number,
    assignments: readonly (readonly number[])[] | undefined,
    validateOnly: boolean,
  ): Decided {
    const { image } = this.#parts;
    const topic = image.topicByName(name);
    if (topic === undefined) {
      return refused({
        error: Errors.UNKNOWN_TOPIC_OR_PARTITION,
        message: 'This server does not host this topic-partition.',
      });
    }
    const leaderIds = planGrowth(topic, total, assignments, this.#planContext());
    if (isRefusal(leaderIds)) return refused(leaderIds);
    const results: TopicResult[] = [{ error: Errors.NONE, topic }];
    if (validateOnly) return decided(results);
    const { result: streamIds, records } = this.#createStreams(leaderIds.length);
    const partitions = { firstStreamId: streamIds[0] ?? 0, leaderIds };
    const added = image.record({ type: 'partitions-added', topicId: topic.id, partitions });
    return decided(results, [...records, added]);
  }

  /** One plan or refusal per request. Later topics of a request see the names and partitions of earlier ones. */
  #plan(requests: readonly CreateTopic[], validateOnly: boolean): readonly (Planned | Refusal)[] {
    const { env, image } = this.#parts;
    const base = this.#planContext();
    const taken = new Map<string, string>();
    let { partitionCount } = base;
    const counts = new Map<string, number>();
    for (const { name } of requests) counts.set(name, (counts.get(name) ?? 0) + 1);
    return requests.map((request): Planned | Refusal => {
      if ((counts.get(request.name) ?? 0) > 1) {
        return { error: Errors.INVALID_REQUEST, message: 'Duplicate topic name.' };
      }
      const context: PlanContext = {
        ...base,
        partitionCount,
        topicLike: (name) => image.topicLike(name) ?? taken.get(collisionKey(name)),
      };
      const leaderIds = planTopic(request, context);
      if (isRefusal(leaderIds)) return leaderIds;
      const altered = settingsOfNewTopic(request.configs, this.#parts.configs());
      if ('error' in altered) return altered;
      partitionCount += leaderIds.length;
      taken.set(collisionKey(request.name), request.name);
      const topicId = validateOnly
        ? ZERO_TOPIC_ID
        : newTopicId(env.random, (id) => image.topicById(id) !== undefined);
      return { request, topicId, leaderIds, settings: altered.settings };
    });
  }

  #planContext(): PlanContext {
    const { image, limits } = this.#parts;
    const configs = this.#parts.configs();
    return {
      limits,
      liveBrokerIds: servingNodeIds(image),
      defaultPartitions: Number(configs.brokerSetting('num.partitions')),
      defaultReplicationFactor: Number(configs.brokerSetting('default.replication.factor')),
      partitionCount: image.partitionCount,
      topicLike: (name) => image.topicLike(name),
    };
  }

  #createStreams(partitions: number): ReturnType<ManifestDecisions['createStreams']> {
    const created = this.#parts.manifest.createStreams(partitions * STREAMS_PER_PARTITION);
    const first = created.result[0] ?? 0;
    const last = created.result.at(-1) ?? -1;
    invariant(last - first + 1 === created.result.length, 'metadata', 'new streams have consecutive ids', {
      first,
      last,
    });
    return created;
  }

  #recordsOf({ leaderIds, settings }: Planned, topic: Topic): readonly JournalRecord[] {
    const { image } = this.#parts;
    const { id: topicId, name, internal } = topic;
    const partitions = { firstStreamId: topic.partitions[0]?.dataStreamId ?? 0, leaderIds };
    const created = image.record({ type: 'topic-created', topicId, name, internal, partitions });
    return settings.size === 0
      ? [created]
      : [created, image.record({ type: 'topic-configured', topicId, settings })];
  }
}

function topicOf({ request, topicId, leaderIds }: Planned, firstStreamId: number): Topic {
  const partitions = partitionsOf(0, { firstStreamId, leaderIds });
  return { id: topicId, name: request.name, internal: isInternal(request), partitions };
}

function isRefusal(plan: readonly number[] | Refusal): plan is Refusal {
  return 'error' in plan;
}
