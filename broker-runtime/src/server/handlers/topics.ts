import type { Topic, TopicResult } from '../../metadata/cluster-metadata.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { CreatePartitionsRequest, CreatePartitionsResponse } from '../../wire/messages/create-partitions.ts';
import { CreateTopicsRequest, CreateTopicsResponse } from '../../wire/messages/create-topics.ts';
import { DeleteTopicsRequest, DeleteTopicsResponse } from '../../wire/messages/delete-topics.ts';
import { ZERO_UUID, type Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { repeated } from './repeated.ts';
import { REPLICATION_FACTOR } from './topic-rows.ts';

type AskedTopic = CreateTopicsRequest['topics'][number];
type CreatedRow = Encodable<typeof CreateTopicsResponse>['topics'][number];
type DeletedRow = Encodable<typeof DeleteTopicsResponse>['responses'][number];

const DUPLICATE: TopicResult = {
  error: Errors.INVALID_REQUEST,
  message: 'the request names this topic more than once',
};

/** Creates topics; answers with what was made (KIP-525), or what would be made when it only validates. */
export const createTopicsApi = defineApi({
  key: ApiKey.CreateTopics,
  request: CreateTopicsRequest,
  response: CreateTopicsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const twice = repeated(request.topics.map(({ name }) => name));
    const distinct = request.topics.filter(({ name }) => !twice.has(name));
    const results = await services.metadata.createTopics(
      distinct.map(({ name, numPartitions, replicationFactor, assignments, configs }) => ({
        name,
        partitionCount: numPartitions,
        replicationFactor,
        assignments: assignments.map(({ partitionIndex, brokerIds }) => ({
          partition: partitionIndex,
          brokerIds,
        })),
        configs,
      })),
      request.validateOnly,
    );
    const byName = new Map(
      distinct.map((asked, at) => [asked.name, createdRow(services, asked, results[at] ?? DUPLICATE)]),
    );
    const names = new Set(request.topics.map(({ name }) => name));
    return { topics: Array.from(names, (name) => byName.get(name) ?? refusedRow(name, DUPLICATE)) };
  },
  failure: (errorCode, { topics }) => ({
    topics: topics.map(({ name }) => ({ name, errorCode, errorMessage: null })),
  }),
});

function refusedRow(name: string, { error, message }: TopicResult): CreatedRow {
  return { name, errorCode: error, errorMessage: message ?? null, configs: null };
}

/**
 * Its settings are told from the request: there are no others of a topic that is only validated, nor of one this
 * broker has yet to hear of.
 */
function createdRow(services: Services, { name, configs }: AskedTopic, result: TopicResult): CreatedRow {
  const { error, topic } = result;
  if (error !== Errors.NONE) return refusedRow(name, result);
  return {
    name,
    errorCode: error,
    errorMessage: null,
    topicId: topic?.id ?? ZERO_UUID,
    numPartitions: topic?.partitions.length ?? -1,
    replicationFactor: topic === undefined ? -1 : REPLICATION_FACTOR,
    configs: services.metadata
      .describeNewTopicConfig(configs)
      .map(({ name: config, value, readOnly, source, sensitive }) => ({
        name: config,
        value,
        readOnly,
        configSource: source,
        isSensitive: sensitive,
      })),
  };
}

/** Deletes topics by name, or by id from version 6. */
export const deleteTopicsApi = defineApi({
  key: ApiKey.DeleteTopics,
  request: DeleteTopicsRequest,
  response: DeleteTopicsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request, context) => {
    const byId = context.apiVersion >= FIRST_DELETE_BY_ID;
    const asked = byId ? request.topics : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }));
    const twice = repeated(asked.map(({ name, topicId }) => name ?? topicId));
    const judged = (): Deletable[] => asked.map((ref) => deletable(services, ref, twice, context.apiVersion));
    // Another broker may have told of a topic that this one has not heard of yet. "Unknown" means "gone" to whoever
    // deletes: deleting nothing brings this broker to where the controller is.
    if (judged().some(isUnknown)) await services.metadata.deleteTopics([]);
    const rows = judged();
    const found = rows.filter((row) => typeof row.topic === 'object');
    const results = await services.metadata.deleteTopics(found.map(({ topic }) => topic.id));
    const outcome = new Map(found.map((row, at) => [row.topic.id, results[at]]));
    return {
      responses: rows.map((row): DeletedRow => {
        if (row.topic === undefined) return row.refusal;
        const { id, name } = row.topic;
        const { error, message } = outcome.get(id) ?? DUPLICATE;
        return { name, topicId: id, errorCode: error, errorMessage: message ?? null };
      }),
    };
  },
  failure: (errorCode, { topics, topicNames }) => ({
    responses: [
      ...topics.map(({ name, topicId }) => ({ name, topicId, errorCode })),
      ...topicNames.map((name) => ({ name, errorCode })),
    ],
  }),
});

const FIRST_DELETE_BY_ID = 6;
const FIRST_DELETION_DISABLED = 3;

interface TopicRef {
  readonly name: string | null;
  readonly topicId: string;
}

type Deletable =
  | { readonly topic: Topic; readonly refusal?: undefined }
  | { readonly topic?: undefined; readonly refusal: DeletedRow };

function isUnknown({ refusal }: Deletable): boolean {
  const { errorCode } = refusal ?? {};
  return errorCode === Errors.UNKNOWN_TOPIC_OR_PARTITION || errorCode === Errors.UNKNOWN_TOPIC_ID;
}

function deletable(
  services: Services,
  { name, topicId }: TopicRef,
  twice: ReadonlySet<string>,
  apiVersion: number,
): Deletable {
  const refuse = (errorCode: ErrorCode, errorMessage: string): Deletable => ({
    refusal: { name, topicId, errorCode, errorMessage },
  });
  const byId = topicId !== ZERO_UUID;
  if (!services.settings.deleteTopics) {
    const tells = apiVersion >= FIRST_DELETION_DISABLED;
    return refuse(
      tells ? Errors.TOPIC_DELETION_DISABLED : Errors.INVALID_REQUEST,
      'delete.topic.enable is false on this broker',
    );
  }
  if (byId === (name !== null))
    return refuse(Errors.INVALID_REQUEST, 'name a topic by name or by id, not both');
  if (twice.has(name ?? topicId)) return refuse(Errors.INVALID_REQUEST, 'the request names this topic twice');
  const topic = name === null ? services.metadata.topicById(topicId) : services.metadata.topicByName(name);
  if (topic !== undefined) return { topic };
  return byId
    ? refuse(Errors.UNKNOWN_TOPIC_ID, 'there is no topic of this id')
    : refuse(Errors.UNKNOWN_TOPIC_OR_PARTITION, 'there is no topic of this name');
}

/** Grows topics. Every topic asked for gets its row; librdkafka's tests caught a peer that gave none. */
export const createPartitionsApi = defineApi({
  key: ApiKey.CreatePartitions,
  request: CreatePartitionsRequest,
  response: CreatePartitionsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const twice = repeated(request.topics.map(({ name }) => name));
    const results = await Promise.all(
      request.topics.map(async ({ name, count, assignments }) => {
        const { error, message } = twice.has(name)
          ? DUPLICATE
          : await services.metadata.createPartitions(
              name,
              count,
              request.validateOnly,
              assignments?.map(({ brokerIds }) => brokerIds),
            );
        return { name, errorCode: error, errorMessage: message ?? null };
      }),
    );
    return { throttleTimeMs: 0, results };
  },
  failure: (errorCode, { topics }) => ({
    throttleTimeMs: 0,
    results: topics.map(({ name }) => ({ name, errorCode })),
  }),
});
