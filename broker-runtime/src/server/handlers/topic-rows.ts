import type { Partition } from '../../metadata/cluster-metadata.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';

/** What is reported: copies are kept by the storage below, not by other brokers. */
export const REPLICATION_FACTOR = 1;

export interface PartitionRow {
  readonly errorCode: ErrorCode;
  readonly partitionIndex: number;
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicaNodes: readonly number[];
  readonly isrNodes: readonly number[];
  readonly offlineReplicas: readonly number[];
}

/**
 * One partition as Metadata and DescribeTopicPartitions show it: a replication factor of 1 with its leader in sync,
 * because the storage below holds the copies. A leader that is not among the live brokers cannot be gone to.
 */
export function describePartition(partition: Partition, liveBrokers: ReadonlySet<number>): PartitionRow {
  const { index, leaderId, leaderEpoch } = partition;
  const live = liveBrokers.has(leaderId);
  return {
    errorCode: live ? Errors.NONE : Errors.LEADER_NOT_AVAILABLE,
    partitionIndex: index,
    leaderId: live ? leaderId : -1,
    leaderEpoch,
    replicaNodes: [leaderId],
    isrNodes: live ? [leaderId] : [],
    offlineReplicas: live ? [] : [leaderId],
  };
}
