import type { PartitionLog } from '../../log/partition-log.ts';
import type { Topic } from '../../metadata/cluster-metadata.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { ZERO_UUID } from '../../wire/schema.ts';
import type { Services } from '../services.ts';

/** Names a topic in a request that knows names only, or ids only from some version on. */
export interface TopicRef {
  readonly name: string;
  /** {@link ZERO_UUID} when the request goes by name. */
  readonly topicId: string;
}

/** The topic, or the error that requests going by name or by id expect when there is none. */
export function findTopic(services: Services, ref: TopicRef, byId: boolean): Topic | ErrorCode {
  if (byId) {
    const topic = ref.topicId === ZERO_UUID ? undefined : services.metadata.topicById(ref.topicId);
    return topic ?? Errors.UNKNOWN_TOPIC_ID;
  }
  return services.metadata.topicByName(ref.name) ?? Errors.UNKNOWN_TOPIC_OR_PARTITION;
}

/**
 * A partition to work on, or the error to answer: synchronous when it is open, which it is but for its first use.
 * @throws what opening throws; the request fails as a whole then
 */
export function openPartition(
  services: Services,
  topic: Topic,
  index: number,
): PartitionLog | ErrorCode | Promise<PartitionLog | ErrorCode> {
  if (topic.partitions[index] === undefined) return Errors.UNKNOWN_TOPIC_OR_PARTITION;
  const log = services.partitions.open(topic.id, index);
  if (log === undefined) return Errors.NOT_LEADER_OR_FOLLOWER;
  if (!(log instanceof Promise)) return log;
  return log.catch((error: unknown) => {
    services.env.events.warn('server.partition-unavailable', {
      topicId: topic.id,
      partition: index,
      error: String(error),
    });
    // Retriable, and makes clients look for the leader again.
    return Errors.NOT_LEADER_OR_FOLLOWER;
  });
}

/** KIP-320: who talks to an older leader must refresh, who knows a newer one must wait for us. -1 does not ask. */
export function checkLeaderEpoch(log: PartitionLog, currentLeaderEpoch: number): ErrorCode {
  if (currentLeaderEpoch < 0 || currentLeaderEpoch === log.leaderEpoch) return Errors.NONE;
  return currentLeaderEpoch < log.leaderEpoch ? Errors.FENCED_LEADER_EPOCH : Errors.UNKNOWN_LEADER_EPOCH;
}
