import { Errors } from '../../wire/errors.ts';
import type { ErrorCode } from '../../wire/errors.ts';
import type { CreateTopic, Topic } from '../cluster-metadata.ts';
import { isInternalTopic, topicNameProblem } from '../topic-name.ts';
import type { Refusal } from '../configs/alter.ts';

/** What topics may be like here. */
export interface TopicLimits {
  readonly maxPartitionsPerTopic: number;
  /** Of all topics together: bounds the metadata and what a broker opens. */
  readonly maxPartitions: number;
  /** True: replication factors above the number of brokers are fine, because the storage replicates. */
  readonly acceptAnyReplicationFactor: boolean;
}

export interface PlanContext {
  readonly limits: TopicLimits;
  /** Brokers that may lead, in ascending order. */
  readonly liveBrokerIds: readonly number[];
  readonly defaultPartitions: number;
  readonly defaultReplicationFactor: number;
  /** Partitions of all topics so far. */
  readonly partitionCount: number;
  /** An existing topic of this name, or of one it would be confused with. */
  topicLike(name: string): string | undefined;
}

const NOBODY_SERVES = refuse(Errors.INVALID_REPLICATION_FACTOR, 'No broker serves at the moment.');

/** Kafka keeps its own metadata in a topic of this name; nobody may create one. */
const CLUSTER_METADATA_TOPIC = '__cluster_metadata';

/**
 * The first leader of each partition of a topic to be created, or why it cannot be (KIP-4, `ReplicationControlManager`).
 */
export function planTopic(request: CreateTopic, context: PlanContext): readonly number[] | Refusal {
  const { name, partitionCount, replicationFactor, assignments } = request;
  const nameProblem = topicNameProblem(name);
  if (nameProblem !== undefined) return refuse(Errors.INVALID_TOPIC_EXCEPTION, nameProblem);
  if (name === CLUSTER_METADATA_TOPIC) {
    return refuse(Errors.INVALID_REQUEST, `Creation of internal topic ${name} is prohibited.`);
  }
  const like = context.topicLike(name);
  if (like === name) return refuse(Errors.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);
  if (like !== undefined) {
    return refuse(Errors.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${like}`);
  }
  if (assignments.length > 0) return planByHand(request, context);
  if (partitionCount !== -1 && partitionCount < 1) {
    return refuse(
      Errors.INVALID_PARTITIONS,
      'Number of partitions was set to an invalid non-positive value.',
    );
  }
  const replicas = replicationFactor === -1 ? context.defaultReplicationFactor : replicationFactor;
  if (replicas < 1) {
    return refuse(
      Errors.INVALID_REPLICATION_FACTOR,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    );
  }
  const brokers = context.liveBrokerIds.length;
  if (brokers === 0) return NOBODY_SERVES;
  if (replicas > brokers && !context.limits.acceptAnyReplicationFactor) {
    return refuse(
      Errors.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicas} time(s): The target replication factor of ${replicas} cannot be ` +
        `reached because only ${brokers} broker(s) are registered.`,
    );
  }
  const count = partitionCount === -1 ? context.defaultPartitions : partitionCount;
  return limitProblem(0, count, context) ?? spread(0, count, context);
}

/** The first leader of each partition that is added to make `total`, or why it cannot be. */
export function planGrowth(
  topic: Topic,
  total: number,
  assignments: readonly (readonly number[])[] | undefined,
  context: PlanContext,
): readonly number[] | Refusal {
  const now = topic.partitions.length;
  if (total === now) return refuse(Errors.INVALID_PARTITIONS, `Topic already has ${now} partition(s).`);
  if (total < now) {
    return refuse(
      Errors.INVALID_PARTITIONS,
      `The topic ${topic.name} currently has ${now} partition(s); ${total} would not be an increase.`,
    );
  }
  const added = total - now;
  const tooMany = limitProblem(now, added, context);
  if (tooMany !== undefined) return tooMany;
  if (context.liveBrokerIds.length === 0) return NOBODY_SERVES;
  if (assignments === undefined) return spread(now, added, context);
  if (assignments.length !== added) {
    return refuse(
      Errors.INVALID_REPLICA_ASSIGNMENT,
      `Attempted to add ${added} additional partition(s), but only ${assignments.length} assignment(s) were specified.`,
    );
  }
  return leadersOf(assignments, context);
}

export function isInternal(request: CreateTopic): boolean {
  return request.internal === true || isInternalTopic(request.name);
}

function planByHand(request: CreateTopic, context: PlanContext): readonly number[] | Refusal {
  const { partitionCount, replicationFactor, assignments } = request;
  if (partitionCount !== -1) {
    return refuse(
      Errors.INVALID_REQUEST,
      'A manual partition assignment was specified, but numPartitions was not set to -1.',
    );
  }
  if (replicationFactor !== -1) {
    return refuse(
      Errors.INVALID_REQUEST,
      'A manual partition assignment was specified, but replication factor was not set to -1.',
    );
  }
  const tooMany = limitProblem(0, assignments.length, context);
  if (tooMany !== undefined) return tooMany;
  const byIndex = new Map(assignments.map(({ partition, brokerIds }) => [partition, brokerIds]));
  if (byIndex.size < assignments.length) {
    return refuse(
      Errors.INVALID_REPLICA_ASSIGNMENT,
      'Found multiple manual partition assignments for one partition.',
    );
  }
  const inOrder: (readonly number[])[] = [];
  for (let partition = 0; partition < byIndex.size; partition++) {
    const brokerIds = byIndex.get(partition);
    if (brokerIds === undefined) {
      return refuse(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        'partitions should be a consecutive 0-based integer sequence.',
      );
    }
    inOrder.push(brokerIds);
  }
  return leadersOf(inOrder, context);
}

/** The first broker of each list leads; every one named must be there, and all lists must be equally long. */
function leadersOf(
  assignments: readonly (readonly number[])[],
  context: PlanContext,
): readonly number[] | Refusal {
  const live = new Set(context.liveBrokerIds);
  const leaders: number[] = [];
  const replicas = assignments[0]?.length;
  for (const brokerIds of assignments) {
    const leader = brokerIds[0];
    if (leader === undefined) {
      return refuse(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        'The manual partition assignment includes an empty replica list.',
      );
    }
    if (new Set(brokerIds).size < brokerIds.length) {
      return refuse(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        `The manual partition assignment includes a broker more than once: ${brokerIds.join(', ')}.`,
      );
    }
    const unknown = brokerIds.find((brokerId) => !live.has(brokerId));
    if (unknown !== undefined) {
      return refuse(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        `The manual partition assignment includes broker ${unknown}, but no such broker is registered.`,
      );
    }
    if (brokerIds.length !== replicas) {
      return refuse(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        'The manual partition assignment includes partitions with different numbers of replicas.',
      );
    }
    leaders.push(leader);
  }
  return leaders;
}

function limitProblem(
  now: number,
  added: number,
  { limits, partitionCount }: PlanContext,
): Refusal | undefined {
  if (now + added > limits.maxPartitionsPerTopic) {
    return refuse(
      Errors.INVALID_PARTITIONS,
      `A topic may have at most ${limits.maxPartitionsPerTopic} partitions, ${now + added} were asked for.`,
    );
  }
  if (partitionCount + added > limits.maxPartitions) {
    return refuse(
      Errors.POLICY_VIOLATION,
      `The cluster has ${partitionCount} of at most ${limits.maxPartitions} partitions, ${added} more do not fit.`,
    );
  }
  return undefined;
}

/** In turn over all brokers; each topic goes on where the one before ended, so that small topics spread as well. */
function spread(
  first: number,
  count: number,
  { liveBrokerIds, partitionCount }: PlanContext,
): readonly number[] {
  const turn = first + partitionCount;
  return Array.from({ length: count }, (_, n) => liveBrokerIds[(turn + n) % liveBrokerIds.length] ?? 0);
}

function refuse(error: ErrorCode, message: string): Refusal {
  return { error, message };
}
