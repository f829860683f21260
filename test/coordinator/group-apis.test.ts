import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ALL_GROUP_OPERATIONS,
  OPERATIONS_OMITTED,
} from '../../broker-runtime/src/server/handlers/authorized-operations.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  DeleteGroupsRequest,
  DeleteGroupsResponse,
} from '../../broker-runtime/src/wire/messages/delete-groups.ts';
import { HeartbeatRequest, HeartbeatResponse } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import type { JoinGroupResponse } from '../../broker-runtime/src/wire/messages/join-group.ts';
import { LeaveGroupRequest, LeaveGroupResponse } from '../../broker-runtime/src/wire/messages/leave-group.ts';
import { ListGroupsRequest, ListGroupsResponse } from '../../broker-runtime/src/wire/messages/list-groups.ts';
import type { Decoded } from '../../broker-runtime/src/wire/schema.ts';
import type { BrokerRig } from '../server/broker-rig.ts';
import { asText, text } from './coordinator-world.ts';
import {
  DescribeGroups,
  FindCoordinator,
  JoinGroup,
  SyncGroup,
  join,
  simpleCommit,
  stable,
  startCoordinator,
  versions,
} from './group-rig.ts';

const DeleteGroups = [DeleteGroupsRequest, DeleteGroupsResponse] as const;
const Heartbeat = [HeartbeatRequest, HeartbeatResponse] as const;
const LeaveGroup = [LeaveGroupRequest, LeaveGroupResponse] as const;
const ListGroups = [ListGroupsRequest, ListGroupsResponse] as const;

let rig: BrokerRig;

beforeAll(async () => {
  rig = await startCoordinator();
});

afterAll(() => rig.close());

describe('FindCoordinator', () => {
  test.each(versions(0, 3))('version %d names this broker for one group', async (version) => {
    const found = await rig.run(rig.client.call(FindCoordinator, version, { key: 'g' }));
    expect(found).toMatchObject({ errorCode: 0, nodeId: 1, host: '127.0.0.1', port: 9092 });
  });

  test.each(versions(4, 6))('version %d answers every key of a batch', async (version) => {
    const { coordinators } = await rig.run(
      rig.client.call(FindCoordinator, version, { keyType: 0, coordinatorKeys: ['a', 'b'] }),
    );
    expect(coordinators.map(({ key, nodeId, errorCode }) => [key, nodeId, errorCode])).toEqual([
      ['a', 1, 0],
      ['b', 1, 0],
    ]);
  });

  test.each([
    ['transactions', 1],
    ['share groups', 2],
    ['what nobody knows', 7],
  ])('says at once that there are no coordinators of %s', async (_what, keyType) => {
    const { coordinators } = await rig.run(
      rig.client.call(FindCoordinator, 6, { keyType, coordinatorKeys: ['x'] }),
    );
    expect(coordinators[0]).toMatchObject({ errorCode: Errors.INVALID_REQUEST, nodeId: -1, port: -1 });
    const single = await rig.run(rig.client.call(FindCoordinator, 2, { key: 'x', keyType }));
    expect(single.errorCode).toBe(Errors.INVALID_REQUEST);
    expect(single.errorMessage).not.toBeNull();
  });
});

describe('the classic protocol, version by version', () => {
  test.each(versions(0, 9))('JoinGroup %d: a member joins and leads', async (version) => {
    const answer = await join(rig, `join-${version}`, version);
    expect(answer).toMatchObject({
      errorCode: 0,
      generationId: 1,
      protocolName: 'range',
      leader: answer.memberId,
    });
    expect(answer.members).toHaveLength(1);
    if (version >= 7) expect(answer.protocolType).toBe('consumer');
  });

  test.each(versions(0, 9))('JoinGroup %d: an error leaves every field valid', async (version) => {
    const answer = await rig.run(
      rig.client.call(JoinGroup, version, {
        groupId: 'join-error',
        sessionTimeoutMs: 1,
        memberId: 'm',
        protocolType: 'consumer',
        protocols: [],
      }),
    );
    expect(answer).toMatchObject({
      errorCode: Errors.INVALID_SESSION_TIMEOUT,
      generationId: -1,
      protocolName: '',
      leader: '',
      memberId: 'm',
      members: [],
    });
  });

  test.each(versions(0, 5))('SyncGroup %d: the leader gets its own share back', async (version) => {
    const groupId = `sync-${version}`;
    const { memberId, generationId } = await join(rig, groupId, 9);
    const answer = await rig.run(
      rig.client.call(SyncGroup, version, {
        groupId,
        generationId,
        memberId,
        assignments: [{ memberId, assignment: text('mine') }],
      }),
    );
    expect([answer.errorCode, asText(answer.assignment)]).toEqual([0, 'mine']);
    if (version >= 5) expect([answer.protocolType, answer.protocolName]).toEqual(['consumer', 'range']);
  });

  test.each(versions(0, 4))('Heartbeat %d', async (version) => {
    const groupId = `beat-${version}`;
    const memberId = await stable(rig, groupId);
    const beat = (generationId: number): Promise<Decoded<typeof HeartbeatResponse>> =>
      rig.run(rig.client.call(Heartbeat, version, { groupId, memberId, generationId }));
    expect((await beat(1)).errorCode).toBe(Errors.NONE);
    expect((await beat(2)).errorCode).toBe(Errors.ILLEGAL_GENERATION);
  });

  test.each(versions(0, 2))('LeaveGroup %d: one member, and its error on top', async (version) => {
    const groupId = `leave-${version}`;
    const memberId = await stable(rig, groupId);
    const leave = (): Promise<Decoded<typeof LeaveGroupResponse>> =>
      rig.run(rig.client.call(LeaveGroup, version, { groupId, memberId }));
    expect((await leave()).errorCode).toBe(Errors.NONE);
    expect((await leave()).errorCode).toBe(Errors.UNKNOWN_MEMBER_ID);
  });

  test.each(versions(3, 5))('LeaveGroup %d: a batch, an error for each', async (version) => {
    const groupId = `leave-${version}`;
    const memberId = await stable(rig, groupId);
    const left = await rig.run(
      rig.client.call(LeaveGroup, version, {
        groupId,
        members: [{ memberId }, { memberId: 'ghost', groupInstanceId: 'i' }],
      }),
    );
    expect(left).toMatchObject({
      errorCode: 0,
      members: [
        { memberId, groupInstanceId: null, errorCode: 0 },
        { memberId: 'ghost', groupInstanceId: 'i', errorCode: Errors.UNKNOWN_MEMBER_ID },
      ],
    });
  });
});

describe('administration, version by version', () => {
  test.each(versions(0, 6))('DescribeGroups %d: a stable group in full', async (version) => {
    const groupId = `describe-${version}`;
    const memberId = await stable(rig, groupId);
    const { groups } = await rig.run(
      rig.client.call(DescribeGroups, version, {
        groups: [groupId],
        ...(version >= 3 ? { includeAuthorizedOperations: true } : {}),
      }),
    );
    expect(groups).toMatchObject([
      {
        errorCode: 0,
        groupId,
        groupState: 'Stable',
        protocolType: 'consumer',
        protocolData: 'range',
        members: [{ memberId, clientId: 'test', clientHost: '127.0.0.1' }],
        authorizedOperations: version >= 3 ? ALL_GROUP_OPERATIONS : OPERATIONS_OMITTED,
      },
    ]);
    expect(asText(groups[0]?.members[0]?.memberAssignment)).toBe('share');
  });

  test.each(versions(0, 5))(
    'DescribeGroups %d: an unknown group is Dead, without an error',
    async (version) => {
      const { groups } = await rig.run(rig.client.call(DescribeGroups, version, { groups: ['unknown'] }));
      expect(groups).toMatchObject([{ errorCode: 0, groupState: 'Dead', members: [] }]);
    },
  );

  test('DescribeGroups: one row for each group asked for, in order', async () => {
    await stable(rig, 'rows');
    const { groups } = await rig.run(
      rig.client.call(DescribeGroups, 5, { groups: ['rows-unknown', 'rows', '', 'rows'] }),
    );
    expect(groups.map(({ groupId, groupState }) => [groupId, groupState])).toEqual([
      ['rows-unknown', 'Dead'],
      ['rows', 'Stable'],
      ['', 'Dead'],
      ['rows', 'Stable'],
    ]);
  });

  test('DescribeGroups 6: an unknown group is GROUP_ID_NOT_FOUND', async () => {
    const { groups } = await rig.run(rig.client.call(DescribeGroups, 6, { groups: ['unknown'] }));
    expect(groups).toMatchObject([
      { errorCode: Errors.GROUP_ID_NOT_FOUND, errorMessage: 'Group unknown not found.' },
    ]);
  });

  test.each(versions(0, 5))('ListGroups %d, filtered by state and type', async (version) => {
    await stable(rig, 'list-stable');
    await simpleCommit(rig, 'list-empty', 9, 1);
    const list = async (filters: Partial<Decoded<typeof ListGroupsRequest>>): Promise<string[]> => {
      const { errorCode, groups } = await rig.run(rig.client.call(ListGroups, version, filters));
      expect(errorCode).toBe(Errors.NONE);
      return groups.map(({ groupId }) => groupId).filter((groupId) => groupId.startsWith('list-'));
    };
    expect((await list({})).toSorted()).toEqual(['list-empty', 'list-stable']);
    if (version >= 4) expect(await list({ statesFilter: ['STABLE'] })).toEqual(['list-stable']);
    if (version >= 4) expect(await list({ statesFilter: ['Dead', 'no-state'] })).toEqual([]);
    if (version >= 5)
      expect(await list({ typesFilter: ['Classic'], statesFilter: ['empty'] })).toEqual(['list-empty']);
    if (version >= 5) expect(await list({ typesFilter: ['consumer'] })).toEqual([]);
  });

  test.each(versions(0, 2))('DeleteGroups %d: an error for each group', async (version) => {
    await simpleCommit(rig, 'delete-empty', 9, 1);
    await stable(rig, 'delete-stable');
    const { results } = await rig.run(
      rig.client.call(DeleteGroups, version, {
        groupsNames: ['delete-empty', 'delete-stable', 'delete-unknown', 'delete-empty'],
      }),
    );
    expect(results.map(({ groupId, errorCode }) => [groupId, errorCode])).toEqual([
      ['delete-empty', Errors.NONE],
      ['delete-stable', Errors.NON_EMPTY_GROUP],
      ['delete-unknown', Errors.GROUP_ID_NOT_FOUND],
    ]);
  });
});

test('a frame is given back before a parked JoinGroup is answered, and its metadata lives on', async () => {
  const other = await rig.connect('other');
  const first = await stable(rig, 'parked');
  const ask = (memberId: string): Promise<Decoded<typeof JoinGroupResponse>> =>
    other.call(JoinGroup, 9, {
      groupId: 'parked',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      memberId,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: text('the newcomer') }],
    });
  const newcomer = await rig.run(ask(''));
  const parked = ask(newcomer.memberId);
  // Traffic in between takes the frame's memory into use again.
  for (let count = 0; count < 20; count++) await simpleCommit(rig, 'traffic', 9, count);
  const leader = await rig.run(
    rig.client.call(JoinGroup, 9, {
      groupId: 'parked',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      memberId: first,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: text('the leader') }],
    }),
  );
  expect(leader.members.map(({ metadata }) => asText(metadata))).toEqual(['the leader', 'the newcomer']);
  expect((await rig.run(parked)).generationId).toBe(2);
  other.destroy();
});
