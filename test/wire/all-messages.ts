import { RequestHeaderMessage, ResponseHeaderMessage } from '../../broker-runtime/src/wire/headers.ts';
import * as alterConfigs from '../../broker-runtime/src/wire/messages/alter-configs.ts';
import * as alterPartitionReassignments from '../../broker-runtime/src/wire/messages/alter-partition-reassignments.ts';
import * as apiVersions from '../../broker-runtime/src/wire/messages/api-versions.ts';
import * as consumerProtocol from '../../broker-runtime/src/wire/messages/consumer-protocol.ts';
import * as createPartitions from '../../broker-runtime/src/wire/messages/create-partitions.ts';
import * as createTopics from '../../broker-runtime/src/wire/messages/create-topics.ts';
import * as deleteGroups from '../../broker-runtime/src/wire/messages/delete-groups.ts';
import * as deleteRecords from '../../broker-runtime/src/wire/messages/delete-records.ts';
import * as deleteTopics from '../../broker-runtime/src/wire/messages/delete-topics.ts';
import * as describeCluster from '../../broker-runtime/src/wire/messages/describe-cluster.ts';
import * as describeConfigs from '../../broker-runtime/src/wire/messages/describe-configs.ts';
import * as describeGroups from '../../broker-runtime/src/wire/messages/describe-groups.ts';
import * as describeLogDirs from '../../broker-runtime/src/wire/messages/describe-log-dirs.ts';
import * as describeTopicPartitions from '../../broker-runtime/src/wire/messages/describe-topic-partitions.ts';
import * as electLeaders from '../../broker-runtime/src/wire/messages/elect-leaders.ts';
import * as fetch from '../../broker-runtime/src/wire/messages/fetch.ts';
import * as findCoordinator from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import * as groupRecords from '../../broker-runtime/src/wire/messages/group-records.ts';
import * as heartbeat from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import * as incrementalAlterConfigs from '../../broker-runtime/src/wire/messages/incremental-alter-configs.ts';
import * as initProducerId from '../../broker-runtime/src/wire/messages/init-producer-id.ts';
import * as joinGroup from '../../broker-runtime/src/wire/messages/join-group.ts';
import * as leaveGroup from '../../broker-runtime/src/wire/messages/leave-group.ts';
import * as listGroups from '../../broker-runtime/src/wire/messages/list-groups.ts';
import * as listOffsets from '../../broker-runtime/src/wire/messages/list-offsets.ts';
import * as listPartitionReassignments from '../../broker-runtime/src/wire/messages/list-partition-reassignments.ts';
import * as metadata from '../../broker-runtime/src/wire/messages/metadata.ts';
import * as offsetCommit from '../../broker-runtime/src/wire/messages/offset-commit.ts';
import * as offsetDelete from '../../broker-runtime/src/wire/messages/offset-delete.ts';
import * as offsetFetch from '../../broker-runtime/src/wire/messages/offset-fetch.ts';
import * as offsetForLeaderEpoch from '../../broker-runtime/src/wire/messages/offset-for-leader-epoch.ts';
import * as produce from '../../broker-runtime/src/wire/messages/produce.ts';
import * as syncGroup from '../../broker-runtime/src/wire/messages/sync-group.ts';
import type { Message } from '../../broker-runtime/src/wire/schema.ts';

/** By file name, so that a test can see that no file is forgotten. */
export const MESSAGE_FILES: Readonly<Record<string, Readonly<Record<string, Message>>>> = {
  'alter-configs': alterConfigs,
  'alter-partition-reassignments': alterPartitionReassignments,
  'api-versions': apiVersions,
  'consumer-protocol': consumerProtocol,
  'create-partitions': createPartitions,
  'create-topics': createTopics,
  'delete-groups': deleteGroups,
  'delete-records': deleteRecords,
  'delete-topics': deleteTopics,
  'describe-cluster': describeCluster,
  'describe-configs': describeConfigs,
  'describe-groups': describeGroups,
  'describe-log-dirs': describeLogDirs,
  'describe-topic-partitions': describeTopicPartitions,
  'elect-leaders': electLeaders,
  fetch: fetch,
  'find-coordinator': findCoordinator,
  'group-records': groupRecords,
  heartbeat: heartbeat,
  'incremental-alter-configs': incrementalAlterConfigs,
  'init-producer-id': initProducerId,
  'join-group': joinGroup,
  'leave-group': leaveGroup,
  'list-groups': listGroups,
  'list-offsets': listOffsets,
  'list-partition-reassignments': listPartitionReassignments,
  metadata: metadata,
  'offset-commit': offsetCommit,
  'offset-delete': offsetDelete,
  'offset-fetch': offsetFetch,
  'offset-for-leader-epoch': offsetForLeaderEpoch,
  produce: produce,
  'sync-group': syncGroup,
};

/** Every message table there is. */
export const ALL_MESSAGES: readonly Message[] = [
  RequestHeaderMessage,
  ResponseHeaderMessage,
  ...Object.values(MESSAGE_FILES).flatMap((file) => Object.values(file)),
];

/** One row per message and version: what `test.each` wants. */
export const ALL_VERSIONS: readonly (readonly [name: string, version: number, message: Message])[] =
  ALL_MESSAGES.flatMap((message) =>
    Array.from({ length: message.versions.to - message.versions.from + 1 }, (_, index) => {
      return [message.name, message.versions.from + index, message] as const;
    }),
  );
