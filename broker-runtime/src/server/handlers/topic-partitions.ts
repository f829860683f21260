import type { Topic } from '../../metadata/cluster-metadata.ts';
import { topicNameProblem } from '../../metadata/topic-name.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import {
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse,
} from '../../wire/messages/describe-topic-partitions.ts';
import { ZERO_UUID, type Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { ALL_TOPIC_OPERATIONS } from './authorized-operations.ts';
import { describePartition } from './topic-rows.ts';

type Response = Encodable<typeof DescribeTopicPartitionsResponse>;
type TopicRow = Response['topics'][number];

/** `max.request.partition.size.limit`: partitions in one page, whatever is asked. */
const PARTITIONS_PER_PAGE_MAX = 2000;

/**
 * DescribeTopicPartitions (KIP-966): Metadata in pages. Topics come in the order of their names; a page ends after so
 * many partitions and its cursor says where the next one begins, which may be inside a topic.
 */
export const describeTopicPartitionsApi = defineApi({
  key: ApiKey.DescribeTopicPartitions,
  request: DescribeTopicPartitionsRequest,
  response: DescribeTopicPartitionsResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    const { cursor } = request;
    const names = namesAsked(services, request);
    const live = new Set(services.brokers.reachableFrom(context.connection.local).map(({ id }) => id));
    let left = Math.min(Math.max(request.responsePartitionLimit, 1), PARTITIONS_PER_PAGE_MAX);
    const topics: TopicRow[] = [];
    for (const name of names) {
      const from = cursor?.topicName === name ? Math.max(0, cursor.partitionIndex) : 0;
      if (left === 0)
        return { throttleTimeMs: 0, topics, nextCursor: { topicName: name, partitionIndex: from } };
      const topic = services.metadata.topicByName(name);
      if (topic === undefined) {
        topics.push(missing(name));
        continue;
      }
      const to = Math.min(from + left, topic.partitions.length);
      topics.push(page(topic, from, to, live));
      left -= Math.max(0, to - from);
      if (to < topic.partitions.length) {
        return { throttleTimeMs: 0, topics, nextCursor: { topicName: name, partitionIndex: to } };
      }
    }
    return { throttleTimeMs: 0, topics };
  },
});

/** None asked for means all. Topics before the cursor were in earlier pages. */
function namesAsked(
  services: Services,
  { topics, cursor }: DescribeTopicPartitionsRequest,
): readonly string[] {
  const names =
    topics.length === 0
      ? Array.from(services.metadata.topics(), ({ name }) => name)
      : [...new Set(topics.map(({ name }) => name))];
  names.sort();
  return cursor === null ? names : names.filter((name) => name >= cursor.topicName);
}

function page(topic: Topic, from: number, to: number, live: ReadonlySet<number>): TopicRow {
  return {
    errorCode: Errors.NONE,
    name: topic.name,
    topicId: topic.id,
    isInternal: topic.internal,
    partitions: topic.partitions.slice(from, to).map((partition) => ({
      ...describePartition(partition, live),
      // Empty, not null: the Java client streams over them.
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
    })),
    topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
  };
}

function missing(name: string): TopicRow {
  const errorCode: ErrorCode =
    topicNameProblem(name) === undefined ? Errors.UNKNOWN_TOPIC_OR_PARTITION : Errors.INVALID_TOPIC_EXCEPTION;
  return { errorCode, name, topicId: ZERO_UUID, partitions: [] };
}
