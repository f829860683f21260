import { describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  CoordinatorWorld,
  GROUP,
  REBALANCE_MS,
  SESSION_MS,
  asText,
  heartbeat,
  join,
  joinRequest,
  stableGroup,
  stateOf,
  sync,
  text,
  watch,
} from './coordinator-world.ts';

const range = { name: 'range', metadata: text('r') };
const sticky = { name: 'sticky', metadata: text('s') };
const cooperative = { name: 'cooperative-sticky', metadata: text('c') };

describe('what JoinGroup refuses', () => {
  test('an empty group id: INVALID_GROUP_ID', async () => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, { groupId: '' })).error).toBe(Errors.INVALID_GROUP_ID);
  });

  test('a group id that no record can hold: INVALID_GROUP_ID', async () => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, { groupId: 'g'.repeat(10_001) })).error).toBe(Errors.INVALID_GROUP_ID);
  });

  test.each([5_999, 1_800_001, 0, -1])('a session timeout of %d ms: INVALID_SESSION_TIMEOUT', async (ms) => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, { sessionTimeoutMs: ms })).error).toBe(Errors.INVALID_SESSION_TIMEOUT);
    expect(stateOf(world)).toBe('none');
  });

  test('a member id in a group nobody knows: UNKNOWN_MEMBER_ID', async () => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, { memberId: 'ghost' })).error).toBe(Errors.UNKNOWN_MEMBER_ID);
    expect(stateOf(world)).toBe('none');
  });

  test('a member id the group does not know: UNKNOWN_MEMBER_ID', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world);
    expect((await join(world, { memberId: 'ghost' })).error).toBe(Errors.UNKNOWN_MEMBER_ID);
  });

  test.each([
    ['no protocols', { protocols: [] }],
    ['no protocol type', { protocolType: '' }],
  ])('%s: INCONSISTENT_GROUP_PROTOCOL, and no group is left behind', async (_what, options) => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, options)).error).toBe(Errors.INCONSISTENT_GROUP_PROTOCOL);
    expect(stateOf(world)).toBe('none');
  });

  test('another protocol type than the members have: INCONSISTENT_GROUP_PROTOCOL', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world);
    expect((await join(world, { protocolType: 'connect' })).error).toBe(Errors.INCONSISTENT_GROUP_PROTOCOL);
    expect(stateOf(world)).toBe('Stable');
  });

  test('no protocol that all members speak: INCONSISTENT_GROUP_PROTOCOL', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world, [{ protocols: [range] }]);
    expect((await join(world, { protocols: [sticky] })).error).toBe(Errors.INCONSISTENT_GROUP_PROTOCOL);
  });

  test('a protocol listed twice does not count for two members', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world, [{ protocols: [range, sticky, sticky] }, { protocols: [range] }]);
    expect((await join(world, { protocols: [sticky] })).error).toBe(Errors.INCONSISTENT_GROUP_PROTOCOL);
  });

  test('more members than the group may have: GROUP_MAX_SIZE_REACHED', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupSize: 2 } });
    await stableGroup(world, [{}, {}]);
    const refused = await join(world);
    expect(refused).toMatchObject({ error: Errors.GROUP_MAX_SIZE_REACHED, memberId: '' });
    expect(stateOf(world)).toBe('Stable');
  });

  test('the member that is one too many while a rebalance is prepared: GROUP_MAX_SIZE_REACHED', async () => {
    const world = await CoordinatorWorld.start({
      config: { maxGroupSize: 1, initialRebalanceDelayMs: 3000 },
    });
    const first = watch(join(world));
    await world.advance(10);
    expect((await join(world)).error).toBe(Errors.GROUP_MAX_SIZE_REACHED);
    await world.advance(3000);
    expect(first.value?.error).toBe(Errors.NONE);
  });

  test('more ids handed out than may be pending: GROUP_MAX_SIZE_REACHED', async () => {
    const world = await CoordinatorWorld.start({ config: { maxPendingMembers: 2 } });
    for (let count = 0; count < 2; count++) {
      expect((await join(world, { requiresMemberId: true })).error).toBe(Errors.MEMBER_ID_REQUIRED);
    }
    expect((await join(world, { requiresMemberId: true })).error).toBe(Errors.GROUP_MAX_SIZE_REACHED);
  });

  test('more groups than there may be: GROUP_MAX_SIZE_REACHED', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupsPerPartition: 1 } });
    await stableGroup(world);
    expect((await join(world, { groupId: 'another' })).error).toBe(Errors.GROUP_MAX_SIZE_REACHED);
  });

  test('metadata larger than a member may have: INVALID_REQUEST', async () => {
    const world = await CoordinatorWorld.start({ config: { maxMemberBytes: 1000 } });
    const protocols = [{ name: 'range', metadata: new Uint8Array(1001) }];
    expect((await join(world, { protocols })).error).toBe(Errors.INVALID_REQUEST);
  });

  test('metadata that is too much for the group together: GROUP_MAX_SIZE_REACHED', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupBytes: 1500 } });
    const protocols = [{ name: 'range', metadata: new Uint8Array(1000) }];
    await stableGroup(world, [{ protocols }]);
    expect((await join(world, { protocols })).error).toBe(Errors.GROUP_MAX_SIZE_REACHED);
  });

  test('a member that joins again with larger metadata is measured by what it replaces', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupBytes: 1500 } });
    const small = [{ name: 'range', metadata: new Uint8Array(1000) }];
    const [member] = await stableGroup(world, [{ protocols: small }]);
    const larger = [{ name: 'range', metadata: new Uint8Array(1200) }];
    const again = await join(world, { protocols: larger, memberId: member?.memberId ?? '' });
    expect(again.error).toBe(Errors.NONE);
  });

  test.each([
    [
      'protocols',
      { protocols: Array.from({ length: 65 }, (_, at) => ({ name: `p${at}`, metadata: text('') })) },
    ],
    ['characters in an instance id', { instanceId: 'i'.repeat(10_001) }],
    ['characters in a protocol name', { protocols: [{ name: 'p'.repeat(10_001), metadata: text('') }] }],
  ])('too many %s: INVALID_REQUEST', async (_what, options) => {
    const world = await CoordinatorWorld.start();
    expect((await join(world, options)).error).toBe(Errors.INVALID_REQUEST);
  });
});

describe('the member id (KIP-394)', () => {
  test('is handed out first, and the group waits for its owner until the session timeout', async () => {
    const world = await CoordinatorWorld.start();
    const first = await join(world, { requiresMemberId: true });
    expect(first).toMatchObject({ error: Errors.MEMBER_ID_REQUIRED, generationId: -1 });
    expect(first.memberId).toMatch(/^client-[0-9a-f-]{36}$/);

    const joined = join(world, { requiresMemberId: true, memberId: first.memberId });
    await world.advance(1);
    expect(await joined).toMatchObject({ error: Errors.NONE, memberId: first.memberId, generationId: 1 });
  });

  test('that is not used in time is taken back', async () => {
    const world = await CoordinatorWorld.start();
    const { memberId } = await join(world, { requiresMemberId: true });
    await world.advance(SESSION_MS + 1);
    expect((await join(world, { memberId, requiresMemberId: true })).error).toBe(Errors.UNKNOWN_MEMBER_ID);
  });

  test('that is taken back takes a group with it that was only made for it', async () => {
    const world = await CoordinatorWorld.start();
    await join(world, { requiresMemberId: true });
    expect(stateOf(world)).toBe('Empty');
    await world.advance(SESSION_MS + 1);
    expect(stateOf(world)).toBe('none');
    expect(await world.records()).toEqual([]);
  });

  test('that is expected holds up a rebalance until it joins or is taken back', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world);
    await join(world, { requiresMemberId: true });
    const rejoined = watch(join(world, { memberId: leader?.memberId ?? '' }));
    await world.advance(SESSION_MS - 100);
    expect(rejoined.value).toBeUndefined();
    await world.advance(200);
    expect(rejoined.value).toMatchObject({ error: Errors.NONE, generationId: 2 });
  });

  test('can be given back by leaving', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world);
    const pending = await join(world, { requiresMemberId: true });
    const rejoined = watch(join(world, { memberId: leader?.memberId ?? '' }));
    const left = world.coordinator.leave(GROUP, [{ memberId: pending.memberId, instanceId: null }]);
    expect(left).toEqual({ error: Errors.NONE, memberErrors: [Errors.NONE] });
    await world.settle();
    expect(rejoined.value?.error).toBe(Errors.NONE);
  });

  test('is not asked for below version 4: the member joins at once', async () => {
    const world = await CoordinatorWorld.start();
    const joined = join(world);
    await world.advance(1);
    expect((await joined).error).toBe(Errors.NONE);
  });
});

describe('the first rebalance', () => {
  test('waits for more members, and every one that comes extends it', async () => {
    const world = await CoordinatorWorld.start({ config: { initialRebalanceDelayMs: 3000 } });
    const first = watch(join(world));
    await world.advance(2000);
    const second = watch(join(world));
    await world.advance(2000);
    expect(first.value).toBeUndefined();
    await world.advance(2001);
    expect(first.value?.generationId).toBe(1);
    expect(second.value?.generationId).toBe(1);
    expect(first.value?.members).toHaveLength(2);
    expect(second.value?.members).toEqual([]);
  });

  test('is not extended beyond the rebalance timeout', async () => {
    const world = await CoordinatorWorld.start({ config: { initialRebalanceDelayMs: 3000 } });
    const first = watch(join(world, { rebalanceTimeoutMs: 6000 }));
    for (let count = 0; count < 6; count++) {
      await world.advance(1000);
      void join(world, { rebalanceTimeoutMs: 6000 });
    }
    await world.advance(1);
    expect(first.value?.error).toBe(Errors.NONE);
  });
});

describe('a rebalance', () => {
  test('chooses the protocol by vote among those that all speak', async () => {
    const world = await CoordinatorWorld.start();
    const joined = await stableGroup(world, [
      { protocols: [cooperative, range, sticky] },
      { protocols: [sticky, range] },
      { protocols: [sticky, range] },
    ]);
    expect(joined.map(({ protocolName }) => protocolName)).toEqual(['sticky', 'sticky', 'sticky']);
    expect(joined[0]?.members.map(({ metadata }) => asText(metadata))).toEqual(['s', 's', 's']);
  });

  test('gives the members to the leader alone, with the metadata of the chosen protocol', async () => {
    const world = await CoordinatorWorld.start();
    const joined = await stableGroup(world, [{ clientId: 'a' }, { clientId: 'b' }]);
    const [leader, follower] = joined;
    expect(leader?.leaderId).toBe(leader?.memberId);
    expect(follower?.leaderId).toBe(leader?.memberId);
    expect(leader?.members.map(({ memberId }) => memberId)).toEqual([leader?.memberId, follower?.memberId]);
    expect(follower?.members).toEqual([]);
    expect(leader?.protocolType).toBe('consumer');
  });

  test('waits for members to rejoin, at most the largest of their rebalance timeouts', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, other] = await stableGroup(world, [
      { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 },
      { rebalanceTimeoutMs: 40_000, sessionTimeoutMs: 60_000 },
    ]);
    const rejoined = watch(
      join(world, {
        memberId: leader?.memberId ?? '',
        rebalanceTimeoutMs: 20_000,
        sessionTimeoutMs: 60_000,
      }),
    );
    await world.advance(39_999);
    expect(rejoined.value).toBeUndefined();
    expect(heartbeat(world, { memberId: other?.memberId ?? '', generationId: 1 })).toBe(
      Errors.REBALANCE_IN_PROGRESS,
    );
    await world.advance(2);
    expect(rejoined.value).toMatchObject({ error: Errors.NONE, generationId: 2 });
    expect(rejoined.value?.members).toHaveLength(1);
    expect(heartbeat(world, { memberId: other?.memberId ?? '', generationId: 1 })).toBe(
      Errors.UNKNOWN_MEMBER_ID,
    );
  });

  test('passes the lead to a member that rejoined when the leader did not', async () => {
    const world = await CoordinatorWorld.start();
    const [, follower] = await stableGroup(world, [{}, {}]);
    const changed = [{ name: 'range', metadata: text('changed') }];
    const rejoined = watch(join(world, { memberId: follower?.memberId ?? '', protocols: changed }));
    await world.advance(REBALANCE_MS);
    expect(rejoined.value).toMatchObject({ error: Errors.NONE, leaderId: follower?.memberId });
    expect(rejoined.value?.members).toHaveLength(1);
  });

  test('is started by a new member, a leader that rejoins, or changed metadata', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await stableGroup(world, [{}, {}]);
    const byLeader = join(world, { memberId: leader?.memberId ?? '' });
    expect(stateOf(world)).toBe('PreparingRebalance');
    const byFollower = join(world, { memberId: follower?.memberId ?? '' });
    expect((await Promise.all([byLeader, byFollower])).map(({ generationId }) => generationId)).toEqual([
      2, 2,
    ]);
  });

  test('is not started by a follower that rejoins a stable group unchanged', async () => {
    const world = await CoordinatorWorld.start();
    const [, follower] = await stableGroup(world, [{}, {}]);
    const again = await join(world, { memberId: follower?.memberId ?? '' });
    expect(again).toMatchObject({ error: Errors.NONE, generationId: 1, members: [], protocolName: 'range' });
    expect(stateOf(world)).toBe('Stable');
  });

  test('in its second half answers an unchanged member with what it missed', async () => {
    const world = await CoordinatorWorld.start();
    const joining = [join(world), join(world)];
    await world.advance(1);
    const [leader, follower] = await Promise.all(joining);
    expect(stateOf(world)).toBe('CompletingRebalance');
    const leaderAgain = await join(world, { memberId: leader?.memberId ?? '' });
    expect(leaderAgain).toMatchObject({ generationId: 1 });
    expect(leaderAgain.members).toHaveLength(2);
    expect((await join(world, { memberId: follower?.memberId ?? '' })).members).toEqual([]);
  });

  test('in its second half begins again when a member comes with changed metadata', async () => {
    const world = await CoordinatorWorld.start();
    const joining = [join(world), join(world)];
    await world.advance(1);
    const [leader, follower] = await Promise.all(joining);
    const parked = sync(world, { memberId: follower?.memberId ?? '', generationId: 1 });
    void join(world, {
      memberId: leader?.memberId ?? '',
      protocols: [{ name: 'range', metadata: text('new') }],
    });
    expect((await parked).error).toBe(Errors.REBALANCE_IN_PROGRESS);
    expect(stateOf(world)).toBe('PreparingRebalance');
  });

  test('ends in an empty group when its last member leaves', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    world.coordinator.leave(GROUP, [{ memberId: member?.memberId ?? '', instanceId: null }]);
    expect(stateOf(world)).toBe('Empty');
    const next = join(world);
    await world.advance(1);
    expect((await next).generationId).toBe(3);
  });
});

describe('who waits is always answered', () => {
  test('a JoinGroup sent again takes the place of the one before', async () => {
    const world = await CoordinatorWorld.start({ config: { initialRebalanceDelayMs: 3000 } });
    const { memberId } = await join(world, { requiresMemberId: true });
    const first = watch(join(world, { memberId }));
    const second = watch(join(world, { memberId }));
    await world.advance(0);
    expect(first.value?.error).toBe(Errors.REBALANCE_IN_PROGRESS);
    await world.advance(3001);
    expect(second.value?.error).toBe(Errors.NONE);
  });

  test('a new member that waits longer than five minutes is let go, because it cannot send heartbeats', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world, [{ rebalanceTimeoutMs: 600_000, sessionTimeoutMs: 1_800_000 }]);
    expect(leader?.error).toBe(Errors.NONE);
    const waiting = watch(join(world));
    await world.advance(299_000);
    expect(waiting.value).toBeUndefined();
    await world.advance(2_000);
    expect(waiting.value).toMatchObject({ error: Errors.UNKNOWN_MEMBER_ID, memberId: '' });
  });

  test('a coordinator that closes sends everyone to look for another', async () => {
    const world = await CoordinatorWorld.start({ config: { initialRebalanceDelayMs: 3000 } });
    const waiting = join(world);
    world.coordinator.close();
    expect((await waiting).error).toBe(Errors.NOT_COORDINATOR);
    expect((await join(world)).error).toBe(Errors.NOT_COORDINATOR);
  });
});

test('a coordinator that closes leaves no timer behind', async () => {
  const world = await CoordinatorWorld.start();
  await stableGroup(world, [{}, { instanceId: 'rack-1' }]);
  void join(world, { groupId: 'another' });
  await join(world, { groupId: 'third', requiresMemberId: true });
  expect(world.env.clock.pendingTimers).toBeGreaterThan(0);
  world.coordinator.close();
  expect(world.env.clock.pendingTimers).toBe(0);
});

test('metadata is copied: the memory of the request may be used again', async () => {
  const world = await CoordinatorWorld.start();
  const request = joinRequest({ protocols: [{ name: 'range', metadata: text('mine') }] });
  const joining = world.coordinator.join(GROUP, request);
  request.protocols[0]?.metadata.fill(0);
  await world.advance(1);
  expect(asText((await joining).members[0]?.metadata)).toBe('mine');
});

test.each(['consumer', 'connect', 'sr'])(
  'a group of protocol type %s is a group like any other',
  async (type) => {
    const world = await CoordinatorWorld.start();
    const joined = await stableGroup(world, [{ protocolType: type }, { protocolType: type }]);
    expect(joined.map(({ protocolType }) => protocolType)).toEqual([type, type]);
    expect(stateOf(world)).toBe('Stable');
  },
);
