import { expect } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  DescribeGroupsRequest,
  DescribeGroupsResponse,
} from '../../broker-runtime/src/wire/messages/describe-groups.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import { JoinGroupRequest, JoinGroupResponse } from '../../broker-runtime/src/wire/messages/join-group.ts';
import {
  OffsetCommitRequest,
  OffsetCommitResponse,
} from '../../broker-runtime/src/wire/messages/offset-commit.ts';
import { SyncGroupRequest, SyncGroupResponse } from '../../broker-runtime/src/wire/messages/sync-group.ts';
import type { Decoded } from '../../broker-runtime/src/wire/schema.ts';
import { startBroker, type BrokerRig } from '../server/broker-rig.ts';
import { text } from './coordinator-world.ts';
import { subscriptionBytes } from './subscription-bytes.ts';

export const DescribeGroups = [DescribeGroupsRequest, DescribeGroupsResponse] as const;
export const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;
export const JoinGroup = [JoinGroupRequest, JoinGroupResponse] as const;
export const OffsetCommit = [OffsetCommitRequest, OffsetCommitResponse] as const;
export const SyncGroup = [SyncGroupRequest, SyncGroupResponse] as const;

export const TOPIC = 'events';

export const versions = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at);

/** A broker that coordinates groups, and a topic of two partitions for them. */
export async function startCoordinator(): Promise<BrokerRig> {
  const rig = await startBroker({
    'group.initial.rebalance.delay.ms': '0',
    'offsets.topic.num.partitions': '3',
  });
  await rig.topic(TOPIC, { partitions: 2 });
  // Creates __consumer_offsets; its partitions are loaded by the time anyone can have read the answer.
  await rig.run(rig.client.call(FindCoordinator, 4, { keyType: 0, coordinatorKeys: ['any'] }));
  await rig.env.clock.advance(10);
  return rig;
}

/** JoinGroup as often as the version needs it. */
export async function join(
  rig: BrokerRig,
  groupId: string,
  version: number,
): Promise<Decoded<typeof JoinGroupResponse>> {
  const ask = (memberId: string): Promise<Decoded<typeof JoinGroupResponse>> =>
    rig.run(
      rig.client.call(JoinGroup, version, {
        groupId,
        sessionTimeoutMs: 1_800_000,
        ...(version >= 1 ? { rebalanceTimeoutMs: 60_000 } : {}),
        memberId,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: subscriptionBytes({ topics: [TOPIC] }) }],
        ...(version >= 8 ? { reason: 'a test' } : {}),
      }),
    );
  const answer = await ask('');
  if (version < 4) return answer;
  expect(answer.errorCode).toBe(Errors.MEMBER_ID_REQUIRED);
  return ask(answer.memberId);
}

/** A group with one member, who has its share. @returns who that is */
export async function stable(rig: BrokerRig, groupId: string): Promise<string> {
  const { memberId, generationId } = await join(rig, groupId, 9);
  await rig.run(
    rig.client.call(SyncGroup, 5, {
      groupId,
      generationId,
      memberId,
      assignments: [{ memberId, assignment: text('share') }],
    }),
  );
  return memberId;
}

/** Commits as nobody. */
export function simpleCommit(
  rig: BrokerRig,
  groupId: string,
  version: number,
  offset: number,
  topic = TOPIC,
): Promise<Decoded<typeof OffsetCommitResponse>> {
  return rig.run(
    rig.client.call(OffsetCommit, version, {
      groupId,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [
        {
          name: topic,
          partitions: [
            { partitionIndex: 0, committedOffset: offset, committedMetadata: 'm' },
            { partitionIndex: 9, committedOffset: offset, committedMetadata: null },
          ],
        },
      ],
    }),
  );
}
