import type { GroupDescription } from '../../coordinator/group-coordinator.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { DeleteGroupsRequest, DeleteGroupsResponse } from '../../wire/messages/delete-groups.ts';
import { DescribeGroupsRequest, DescribeGroupsResponse } from '../../wire/messages/describe-groups.ts';
import { ListGroupsRequest, ListGroupsResponse } from '../../wire/messages/list-groups.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import { ALL_GROUP_OPERATIONS, OPERATIONS_OMITTED } from './authorized-operations.ts';

type DescribedGroup = Encodable<typeof DescribeGroupsResponse>['groups'][number];

/** First version of DescribeGroups that can say that a group does not exist (KIP-1043). */
const FIRST_NOT_FOUND_VERSION = 6;
/** The only kind of group there is (KIP-848 names the other `consumer`). */
const CLASSIC = 'classic';

export const describeGroupsApi = defineApi({
  key: ApiKey.DescribeGroups,
  request: DescribeGroupsRequest,
  response: DescribeGroupsResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    const tooMany = request.groups.length > services.groups.config.maxGroupsPerRequest;
    const operations = request.includeAuthorizedOperations ? ALL_GROUP_OPERATIONS : OPERATIONS_OMITTED;
    const groups = request.groups.map((groupId) => {
      const found = tooMany ? Errors.INVALID_REQUEST : services.groups.describe(groupId);
      return typeof found === 'number'
        ? undescribed(groupId, found, context.apiVersion)
        : { ...described(found), authorizedOperations: operations };
    });
    return { groups };
  },
  failure: (error, request) => ({ groups: request.groups.map((groupId) => emptyRow(groupId, error, '')) }),
});

export const listGroupsApi = defineApi({
  key: ApiKey.ListGroups,
  request: ListGroupsRequest,
  response: ListGroupsResponse,
  requestMemory: 'decoded',
  handler: (services) => (request) => {
    // Kafka compares without regard to case; what it does not know matches nothing.
    const states = new Set(request.statesFilter.map((state) => state.toLowerCase()));
    const types = new Set(request.typesFilter.map((type) => type.toLowerCase()));
    const { error, groups } = services.groups.list();
    const wanted = groups.filter(({ state }) => states.size === 0 || states.has(state.toLowerCase()));
    return {
      errorCode: error,
      groups: (types.size === 0 || types.has(CLASSIC) ? wanted : []).map((group) => ({
        groupId: group.groupId,
        protocolType: group.protocolType,
        groupState: group.state,
        groupType: CLASSIC,
      })),
    };
  },
  failure: (errorCode) => ({ errorCode, groups: [] }),
});

export const deleteGroupsApi = defineApi({
  key: ApiKey.DeleteGroups,
  request: DeleteGroupsRequest,
  response: DeleteGroupsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const groupIds = [...new Set(request.groupsNames)];
    const tooMany = groupIds.length > services.groups.config.maxGroupsPerRequest;
    const results = groupIds.map(async (groupId) => ({
      groupId,
      errorCode: tooMany ? Errors.INVALID_REQUEST : await services.groups.deleteGroup(groupId),
    }));
    return { throttleTimeMs: 0, results: await Promise.all(results) };
  },
  failure: (errorCode, request) => ({
    throttleTimeMs: 0,
    results: request.groupsNames.map((groupId) => ({ groupId, errorCode })),
  }),
});

function described(group: GroupDescription): DescribedGroup {
  return {
    errorCode: Errors.NONE,
    groupId: group.groupId,
    groupState: group.state,
    protocolType: group.protocolType,
    protocolData: group.protocolName,
    members: group.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: member.metadata,
      memberAssignment: member.assignment,
    })),
  };
}

/** Before version 6 a group that does not exist is one in state Dead, without an error. */
function undescribed(groupId: string, error: ErrorCode, apiVersion: number): DescribedGroup {
  if (error !== Errors.GROUP_ID_NOT_FOUND) return emptyRow(groupId, error, '');
  if (apiVersion < FIRST_NOT_FOUND_VERSION) return emptyRow(groupId, Errors.NONE, 'Dead');
  return { ...emptyRow(groupId, error, 'Dead'), errorMessage: `Group ${groupId} not found.` };
}

function emptyRow(groupId: string, errorCode: ErrorCode, groupState: string): DescribedGroup {
  return { errorCode, groupId, groupState, protocolType: '', protocolData: '', members: [] };
}
