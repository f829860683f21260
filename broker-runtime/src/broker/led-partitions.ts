import { type MaintenancePace, type PartitionAssignment, PartitionSet } from '../log/partitions.ts';
import type { ClusterMetadata, Partition, Topic } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import type { StreamStore } from '../store/stream.ts';

export interface LedPartitionsParts {
  readonly env: Env;
  readonly store: StreamStore;
  readonly metadata: ClusterMetadata;
  readonly nodeId: number;
  readonly pace: () => MaintenancePace;
}

/** The partitions that this broker leads, as metadata shows them; one that is to move away is not opened any more. */
export function ledPartitions({ env, store, metadata, nodeId, pace }: LedPartitionsParts): PartitionSet {
  const assign = (topic: Topic, partition: Partition): PartitionAssignment | undefined =>
    partition.leaderId !== nodeId || partition.movingTo !== undefined
      ? undefined
      : {
          topicId: topic.id,
          topic: topic.name,
          partition: partition.index,
          leaderEpoch: partition.leaderEpoch,
          dataStreamId: partition.dataStreamId,
          stateStreamId: partition.stateStreamId,
          config: metadata.logConfig(topic.name),
        };
  const set = new PartitionSet({
    env,
    store,
    pace,
    assignment: (topicId, index) => {
      const topic = metadata.topicById(topicId);
      const partition = topic?.partitions[index];
      return topic === undefined || partition === undefined ? undefined : assign(topic, partition);
    },
    assignments: function* () {
      for (const topic of metadata.topics()) {
        for (const partition of topic.partitions) {
          const assignment = assign(topic, partition);
          if (assignment !== undefined) yield assignment;
        }
      }
    },
  });
  metadata.onChange((change) => {
    for (const topic of change.deleted) set.drop(topic.id);
    for (const topic of change.changed) set.reconfigure(topic.id, metadata.logConfig(topic.name));
  });
  return set;
}
