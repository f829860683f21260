import { joinError, syncError, type JoinAnswer, type SyncAnswer } from '../../coordinator/member.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { HeartbeatRequest, HeartbeatResponse } from '../../wire/messages/heartbeat.ts';
import { JoinGroupRequest, JoinGroupResponse } from '../../wire/messages/join-group.ts';
import { LeaveGroupRequest, LeaveGroupResponse } from '../../wire/messages/leave-group.ts';
import { SyncGroupRequest, SyncGroupResponse } from '../../wire/messages/sync-group.ts';
import { Errors } from '../../wire/errors.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';

/** First version of JoinGroup in which a member must come back with the id it is given (KIP-394). */
const FIRST_MEMBER_ID_VERSION = 4;
/** First version of JoinGroup that knows SkipAssignment (KIP-814). */
const FIRST_SKIP_ASSIGNMENT_VERSION = 9;
/** First version of LeaveGroup that names several members (KIP-345). */
const FIRST_BATCH_LEAVE_VERSION = 3;

/** JoinGroup: parked until the group's next generation begins. Like Kafka, the connection waits with it. */
export const joinGroupApi = defineApi({
  key: ApiKey.JoinGroup,
  request: JoinGroupRequest,
  response: JoinGroupResponse,
  requestMemory: 'borrowed',
  handler: (services) => async (request, context) => {
    const { groupInstanceId, sessionTimeoutMs, rebalanceTimeoutMs } = request;
    const answer = services.groups.join(request.groupId, {
      memberId: request.memberId,
      instanceId: groupInstanceId,
      clientId: context.clientId ?? '',
      clientHost: context.connection.remoteHost,
      // Version 0 has no rebalance timeout: the session timeout serves for both.
      rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
      sessionTimeoutMs,
      protocolType: request.protocolType,
      protocols: request.protocols,
      requiresMemberId: groupInstanceId === null && context.apiVersion >= FIRST_MEMBER_ID_VERSION,
      understandsSkipAssignment: context.apiVersion >= FIRST_SKIP_ASSIGNMENT_VERSION,
    });
    // The coordinator has copied what it keeps: the frame must not wait for the whole group.
    context.releaseRequest();
    return joinResponse(await answer);
  },
  failure: (error, request) => joinResponse(joinError(request.memberId, error)),
});

/** SyncGroup: parked until the leader's assignment is durable. */
export const syncGroupApi = defineApi({
  key: ApiKey.SyncGroup,
  request: SyncGroupRequest,
  response: SyncGroupResponse,
  requestMemory: 'borrowed',
  handler: (services) => async (request, context) => {
    const answer = services.groups.sync(request.groupId, {
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      generationId: request.generationId,
      protocolType: request.protocolType,
      protocolName: request.protocolName,
      assignments: new Map(request.assignments.map(({ memberId, assignment }) => [memberId, assignment])),
    });
    context.releaseRequest();
    return syncResponse(await answer);
  },
  failure: (error) => syncResponse(syncError(error)),
});

export const heartbeatApi = defineApi({
  key: ApiKey.Heartbeat,
  request: HeartbeatRequest,
  response: HeartbeatResponse,
  requestMemory: 'decoded',
  handler: (services) => (request) => ({
    errorCode: services.groups.heartbeat(
      request.groupId,
      { memberId: request.memberId, instanceId: request.groupInstanceId },
      request.generationId,
    ),
  }),
  failure: (errorCode) => ({ errorCode }),
});

export const leaveGroupApi = defineApi({
  key: ApiKey.LeaveGroup,
  request: LeaveGroupRequest,
  response: LeaveGroupResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    if (context.apiVersion < FIRST_BATCH_LEAVE_VERSION) {
      const left = services.groups.leave(request.groupId, [{ memberId: request.memberId, instanceId: null }]);
      const errorCode = left.error === Errors.NONE ? (left.memberErrors[0] ?? Errors.NONE) : left.error;
      return { errorCode, members: [] };
    }
    const members = request.members.map(({ memberId, groupInstanceId }) => ({
      memberId,
      instanceId: groupInstanceId,
    }));
    const { error, memberErrors } = services.groups.leave(request.groupId, members);
    return {
      errorCode: error,
      members: memberErrors.map((errorCode, at) => ({
        memberId: members[at]?.memberId ?? '',
        groupInstanceId: members[at]?.instanceId ?? null,
        errorCode,
      })),
    };
  },
  failure: (errorCode) => ({ errorCode, members: [] }),
});

function joinResponse(answer: JoinAnswer): Encodable<typeof JoinGroupResponse> {
  return {
    errorCode: answer.error,
    generationId: answer.generationId,
    protocolType: answer.protocolType,
    protocolName: answer.protocolName ?? '',
    leader: answer.leaderId,
    skipAssignment: answer.skipAssignment,
    memberId: answer.memberId,
    members: answer.members.map(({ memberId, instanceId, metadata }) => ({
      memberId,
      groupInstanceId: instanceId,
      metadata,
    })),
  };
}

function syncResponse(answer: SyncAnswer): Encodable<typeof SyncGroupResponse> {
  return {
    errorCode: answer.error,
    protocolType: answer.protocolType,
    protocolName: answer.protocolName,
    assignment: answer.assignment,
  };
}
