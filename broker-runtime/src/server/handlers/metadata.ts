import type { Topic } from '../../metadata/cluster-metadata.ts';
import { topicNameProblem } from '../../metadata/topic-name.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { MetadataRequest, MetadataResponse } from '../../wire/messages/metadata.ts';
import { ZERO_UUID, type Encodable } from '../../wire/schema.ts';
import { defineApi, type RequestContext } from '../api.ts';
import type { Services } from '../services.ts';
import { ALL_CLUSTER_OPERATIONS, ALL_TOPIC_OPERATIONS, OPERATIONS_OMITTED } from './authorized-operations.ts';
import { describePartition } from './topic-rows.ts';

type TopicRow = Encodable<typeof MetadataResponse>['topics'][number];
type AskedTopic = MetadataRequest['topics'] extends readonly (infer T)[] | null ? T : never;

/** First version in which a request may name topics by id (KIP-516). */
const FIRST_VERSION_BY_ID = 12;

/**
 * Metadata: who is there and who leads what. A topic that does not exist may be created in passing, but the answer
 * says UNKNOWN_TOPIC_OR_PARTITION this time, as Kafka's does: clients ask again, and nobody waits for the journal here.
 */
export const metadataApi = defineApi({
  key: ApiKey.Metadata,
  request: MetadataRequest,
  response: MetadataResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    const brokers = services.brokers.reachableFrom(context.connection.local);
    const live = new Set(brokers.map((broker) => broker.id));
    const operations = request.includeTopicAuthorizedOperations ? ALL_TOPIC_OPERATIONS : OPERATIONS_OMITTED;
    const rowOf = (topic: Topic): TopicRow => ({
      errorCode: Errors.NONE,
      name: topic.name,
      topicId: topic.id,
      isInternal: topic.internal,
      partitions: topic.partitions.map((partition) => describePartition(partition, live)),
      topicAuthorizedOperations: operations,
    });

    const asked = request.topics;
    const missing = new Set<string>();
    const all = asked === null || (context.apiVersion === 0 && asked.length === 0);
    const topics = all
      ? Array.from(services.metadata.topics(), rowOf)
      : asked.map((topic) => answerFor(services, context, topic, rowOf, missing));
    if (services.settings.autoCreateTopics && request.allowAutoTopicCreation) create(services, [...missing]);
    return {
      brokers: brokers.map(({ id, ...address }) => ({ nodeId: id, ...address })),
      clusterId: services.metadata.clusterId,
      controllerId: services.brokers.controllerId,
      topics,
      ...(request.includeClusterAuthorizedOperations
        ? { clusterAuthorizedOperations: ALL_CLUSTER_OPERATIONS }
        : {}),
    };
  },
});

function answerFor(
  services: Services,
  context: RequestContext,
  asked: AskedTopic,
  rowOf: (topic: Topic) => TopicRow,
  missing: Set<string>,
): TopicRow {
  const { name, topicId } = asked;
  if (context.apiVersion < FIRST_VERSION_BY_ID && (name === null || topicId !== ZERO_UUID)) {
    return unknown(Errors.INVALID_REQUEST, name ?? '', topicId);
  }
  if (topicId !== ZERO_UUID) {
    const topic = services.metadata.topicById(topicId);
    return topic === undefined ? unknown(Errors.UNKNOWN_TOPIC_ID, null, topicId) : rowOf(topic);
  }
  if (name === null) return unknown(Errors.UNKNOWN_TOPIC_ID, null, topicId);
  const topic = services.metadata.topicByName(name);
  if (topic !== undefined) return rowOf(topic);
  if (topicNameProblem(name) !== undefined) return unknown(Errors.INVALID_TOPIC_EXCEPTION, name, ZERO_UUID);
  missing.add(name);
  return unknown(Errors.UNKNOWN_TOPIC_OR_PARTITION, name, ZERO_UUID);
}

function create(services: Services, names: readonly string[]): void {
  if (names.length === 0) return;
  const defaults = { partitionCount: -1, replicationFactor: -1, assignments: [], configs: [] };
  const requests = names.map((name) => ({ name, ...defaults }));
  const failed = (name: string, error: string): void =>
    services.env.events.warn('server.topic-auto-create-failed', { name, error });
  services.metadata.createTopics(requests, false).then(
    (results) =>
      results.forEach(({ error, message }, at) => {
        const name = names[at] ?? '';
        if (error === Errors.NONE) services.env.events.info('server.topic-auto-created', { name });
        else if (error !== Errors.TOPIC_ALREADY_EXISTS) failed(name, message ?? `error ${error}`);
      }),
    (error: unknown) => failed(names.join(), String(error)),
  );
}

function unknown(errorCode: ErrorCode, name: string | null, topicId: string): TopicRow {
  return { errorCode, name, topicId, partitions: [] };
}
