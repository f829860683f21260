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
import {
  DescribeGroupsRequest,
  DescribeGroupsResponse,
} from '../../broker-runtime/src/wire/messages/describe-groups.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import { HeartbeatRequest, HeartbeatResponse } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { JoinGroupRequest, JoinGroupResponse } from '../../broker-runtime/src/wire/messages/join-group.ts';
import { LeaveGroupRequest, LeaveGroupResponse } from '../../broker-runtime/src/wire/messages/leave-group.ts';
import { ListGroupsRequest, ListGroupsResponse } from '../../broker-runtime/src/wire/messages/list-groups.ts';
import {
  OffsetCommitRequest,
  OffsetCommitResponse,
} from '../../broker-runtime/src/wire/messages/offset-commit.ts';
import {
  OffsetDeleteRequest,
  OffsetDeleteResponse,
} from '../../broker-runtime/src/wire/messages/offset-delete.ts';
import {
  OffsetFetchRequest,
  OffsetFetchResponse,
} from '../../broker-runtime/src/wire/messages/offset-fetch.ts';
import { SyncGroupRequest, SyncGroupResponse } from '../../broker-runtime/src/wire/messages/sync-group.ts';
import type { Decoded } from '../../broker-runtime/src/wire/schema.ts';
import { startBroker, type BrokerRig } from '../server/broker-rig.ts';
import { asText, text } from './coordinator-world.ts';
import { subscriptionBytes } from './subscription-bytes.ts';

const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;
const JoinGroup = [JoinGroupRequest, JoinGroupResponse] as const;
const SyncGroup = [SyncGroupRequest, SyncGroupResponse] as const;
const Heartbeat = [HeartbeatRequest, HeartbeatResponse] as const;
const LeaveGroup = [LeaveGroupRequest, LeaveGroupResponse] as const;
const OffsetCommit = [OffsetCommitRequest, OffsetCommitResponse] as const;
const OffsetFetch = [OffsetFetchRequest, OffsetFetchResponse] as const;
const OffsetDelete = [OffsetDeleteRequest, OffsetDeleteResponse] as const;
const DescribeGroups = [DescribeGroupsRequest, DescribeGroupsResponse] as const;
const ListGroups = [ListGroupsRequest, ListGroupsResponse] as const;
const DeleteGroups = [DeleteGroupsRequest, DeleteGroupsResponse] as const;

const TOPIC = 'events';
const versions = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at);

let rig: BrokerRig;

beforeAll(async () => {
  rig = await startBroker({ 'group.initial.rebalance.delay.ms': '0', 'offsets.topic.num.partitions': '3' });
  await rig.topic(TOPIC, { partitions: 2 });
  // Creates __consumer_offsets; its partitions are loaded by the time anyone can have read the answer.
  await rig.run(rig.client.call(FindCoordinator, 4, { keyType: 0, coordinatorKeys: ['any'] }));
  await rig.env.clock.advance(10);
});

afterAll(() => rig.close());

/** JoinGroup as often as the version needs it. */
async function join(groupId: string, version: number): Promise<Decoded<typeof JoinGroupResponse>> {
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

async function stable(groupId: string): Promise<string> {
  const { memberId, generationId } = await join(groupId, 9);
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
function simpleCommit(
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
    const answer = await join(`join-${version}`, version);
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
    const { memberId, generationId } = await join(groupId, 9);
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
    const memberId = await stable(groupId);
    const beat = (generationId: number): Promise<Decoded<typeof HeartbeatResponse>> =>
      rig.run(rig.client.call(Heartbeat, version, { groupId, memberId, generationId }));
    expect((await beat(1)).errorCode).toBe(Errors.NONE);
    expect((await beat(2)).errorCode).toBe(Errors.ILLEGAL_GENERATION);
  });

  test.each(versions(0, 2))('LeaveGroup %d: one member, and its error on top', async (version) => {
    const groupId = `leave-${version}`;
    const memberId = await stable(groupId);
    const leave = (): Promise<Decoded<typeof LeaveGroupResponse>> =>
      rig.run(rig.client.call(LeaveGroup, version, { groupId, memberId }));
    expect((await leave()).errorCode).toBe(Errors.NONE);
    expect((await leave()).errorCode).toBe(Errors.UNKNOWN_MEMBER_ID);
  });

  test.each(versions(3, 5))('LeaveGroup %d: a batch, an error for each', async (version) => {
    const groupId = `leave-${version}`;
    const memberId = await stable(groupId);
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

describe('offsets, version by version', () => {
  test.each(versions(2, 9))('OffsetCommit %d: an error for each partition', async (version) => {
    const answer = await simpleCommit(`commit-${version}`, version, 40 + version);
    expect(answer.topics).toEqual([
      expect.objectContaining({
        name: TOPIC,
        partitions: [
          { partitionIndex: 0, errorCode: Errors.NONE },
          { partitionIndex: 9, errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION },
        ],
      }),
    ]);
  });

  test('OffsetCommit of a topic nobody knows: UNKNOWN_TOPIC_OR_PARTITION, and no group comes of it', async () => {
    const answer = await simpleCommit('commit-nowhere', 9, 1, 'nowhere');
    expect(answer.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([3, 3]);
    const { groups } = await rig.run(rig.client.call(DescribeGroups, 6, { groups: ['commit-nowhere'] }));
    expect(groups[0]?.errorCode).toBe(Errors.GROUP_ID_NOT_FOUND);
  });

  test.each([
    [8, Errors.ILLEGAL_GENERATION],
    [9, Errors.GROUP_ID_NOT_FOUND],
  ])('OffsetCommit %d of a member of an unknown group', async (version, errorCode) => {
    const answer = await rig.run(
      rig.client.call(OffsetCommit, version, {
        groupId: 'commit-unknown',
        generationIdOrMemberEpoch: 3,
        memberId: 'm',
        topics: [
          { name: TOPIC, partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] },
        ],
      }),
    );
    expect(answer.topics[0]?.partitions[0]?.errorCode).toBe(errorCode);
  });

  test.each(versions(1, 7))('OffsetFetch %d: what was committed, -1 where nothing was', async (version) => {
    const groupId = `fetch-${version}`;
    await simpleCommit(groupId, 9, 77);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, {
        groupId,
        topics: [{ name: TOPIC, partitionIndexes: [0, 1] }],
        ...(version >= 7 ? { requireStable: true } : {}),
      }),
    );
    expect(answer).toMatchObject({
      errorCode: 0,
      topics: [
        {
          name: TOPIC,
          partitions: [
            { partitionIndex: 0, committedOffset: 77, metadata: 'm', errorCode: 0 },
            { partitionIndex: 1, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 },
          ],
        },
      ],
    });
  });

  test.each(versions(2, 9))(
    'OffsetCommit %d: metadata of 4,096 characters and, from version 6 on, the leader epoch come back',
    async (version) => {
      const groupId = `commit-all-${version}`;
      const metadata = 'é'.repeat(4096);
      const answer = await rig.run(
        rig.client.call(OffsetCommit, version, {
          groupId,
          generationIdOrMemberEpoch: -1,
          memberId: '',
          topics: [
            {
              name: TOPIC,
              partitions: [
                {
                  partitionIndex: 0,
                  committedOffset: 7,
                  committedMetadata: metadata,
                  ...(version >= 6 ? { committedLeaderEpoch: 3 } : {}),
                },
                { partitionIndex: 1, committedOffset: 8, committedMetadata: null },
              ],
            },
          ],
        }),
      );
      expect(answer.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([0, 0]);
      const { groups } = await rig.run(
        rig.client.call(OffsetFetch, 9, { groups: [{ groupId, topics: null }] }),
      );
      expect(groups[0]?.topics[0]?.partitions).toMatchObject([
        { committedOffset: 7, committedLeaderEpoch: version >= 6 ? 3 : -1, metadata },
        { committedOffset: 8, committedLeaderEpoch: -1, metadata: '' },
      ]);
    },
  );

  test.each(versions(2, 7))('OffsetFetch %d: null topics are all topics', async (version) => {
    await simpleCommit('fetch-all', 9, 5);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, { groupId: 'fetch-all', topics: null }),
    );
    expect(answer.topics).toMatchObject([
      { name: TOPIC, partitions: [{ partitionIndex: 0, committedOffset: 5 }] },
    ]);
  });

  test.each(versions(8, 9))('OffsetFetch %d: several groups at once', async (version) => {
    await simpleCommit('fetch-many', 9, 6);
    const answer = await rig.run(
      rig.client.call(OffsetFetch, version, {
        groups: [
          { groupId: 'fetch-many', topics: null },
          { groupId: 'fetch-none', topics: [{ name: TOPIC, partitionIndexes: [1] }] },
        ],
      }),
    );
    expect(answer.groups).toMatchObject([
      { groupId: 'fetch-many', errorCode: 0, topics: [{ partitions: [{ committedOffset: 6 }] }] },
      { groupId: 'fetch-none', errorCode: 0, topics: [{ partitions: [{ committedOffset: -1 }] }] },
    ]);
  });

  test('OffsetDelete: an error for each partition', async () => {
    await simpleCommit('delete-offsets', 9, 6);
    const remove = (groupId: string): Promise<Decoded<typeof OffsetDeleteResponse>> =>
      rig.run(
        rig.client.call(OffsetDelete, 0, {
          groupId,
          topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] }],
        }),
      );
    const deleted = await remove('delete-offsets');
    expect(deleted.errorCode).toBe(Errors.NONE);
    expect(deleted.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([
      Errors.NONE,
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
    ]);
    expect((await remove('delete-nowhere')).errorCode).toBe(Errors.GROUP_ID_NOT_FOUND);
    await stable('delete-subscribed');
    expect((await remove('delete-subscribed')).topics[0]?.partitions[0]?.errorCode).toBe(
      Errors.GROUP_SUBSCRIBED_TO_TOPIC,
    );
  });
});

describe('administration, version by version', () => {
  test.each(versions(0, 6))('DescribeGroups %d: a stable group in full', async (version) => {
    const groupId = `describe-${version}`;
    const memberId = await stable(groupId);
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
    await stable('rows');
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
    await stable('list-stable');
    await simpleCommit('list-empty', 9, 1);
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
    await simpleCommit('delete-empty', 9, 1);
    await stable('delete-stable');
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
  const first = await stable('parked');
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
  for (let count = 0; count < 20; count++) await simpleCommit('traffic', 9, count);
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
