import type { Api } from './api.ts';
import { apiVersionsApi } from './handlers/api-versions.ts';
import { describeClusterApi, describeLogDirsApi } from './handlers/cluster.ts';
import { alterConfigsApi, describeConfigsApi, incrementalAlterConfigsApi } from './handlers/configs.ts';
import { electLeadersApi } from './handlers/elect-leaders.ts';
import { fetchApi } from './handlers/fetch.ts';
import { findCoordinatorApi } from './handlers/find-coordinator.ts';
import { deleteGroupsApi, describeGroupsApi, listGroupsApi } from './handlers/group-admin.ts';
import { heartbeatApi, joinGroupApi, leaveGroupApi, syncGroupApi } from './handlers/groups.ts';
import { initProducerIdApi } from './handlers/init-producer-id.ts';
import { metadataApi } from './handlers/metadata.ts';
import { offsetCommitApi, offsetDeleteApi, offsetFetchApi } from './handlers/offsets.ts';
import { produceApi } from './handlers/produce.ts';
import { alterPartitionReassignmentsApi, listPartitionReassignmentsApi } from './handlers/reassignments.ts';
import { deleteRecordsApi, listOffsetsApi, offsetForLeaderEpochApi } from './handlers/records.ts';
import { describeTopicPartitionsApi } from './handlers/topic-partitions.ts';
import { createPartitionsApi, createTopicsApi, deleteTopicsApi } from './handlers/topics.ts';

/** Every API this broker serves but ApiVersions, which lists them. */
const APIS: readonly Api[] = [
  produceApi,
  fetchApi,
  listOffsetsApi,
  offsetForLeaderEpochApi,
  deleteRecordsApi,
  initProducerIdApi,
  metadataApi,
  createTopicsApi,
  deleteTopicsApi,
  createPartitionsApi,
  describeConfigsApi,
  alterConfigsApi,
  incrementalAlterConfigsApi,
  describeClusterApi,
  describeLogDirsApi,
  describeTopicPartitionsApi,
  alterPartitionReassignmentsApi,
  listPartitionReassignmentsApi,
  electLeadersApi,
  findCoordinatorApi,
  joinGroupApi,
  syncGroupApi,
  heartbeatApi,
  leaveGroupApi,
  describeGroupsApi,
  listGroupsApi,
  deleteGroupsApi,
  offsetCommitApi,
  offsetFetchApi,
  offsetDeleteApi,
];

/** What a broker's dispatcher is built from. */
export function allApis(): readonly Api[] {
  return [...APIS, apiVersionsApi(APIS)];
}
