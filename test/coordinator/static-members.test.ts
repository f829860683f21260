import { describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  CoordinatorWorld,
  GROUP,
  REBALANCE_MS,
  asText,
  commit,
  committed,
  heartbeat,
  join,
  stableGroup,
  stateOf,
  sync,
  text,
  watch,
} from './coordinator-world.ts';

const leaderInstance = { instanceId: 'rack-1', sessionTimeoutMs: 120_000 };
const followerInstance = { instanceId: 'rack-2', sessionTimeoutMs: 120_000 };

async function staticPair(world: CoordinatorWorld): Promise<readonly { readonly memberId: string }[]> {
  return stableGroup(world, [leaderInstance, followerInstance]);
}

describe('a static member that comes back (KIP-345)', () => {
  test('joins at once, without being asked for a member id first', async () => {
    const world = await CoordinatorWorld.start();
    const joining = join(world, { ...leaderInstance, requiresMemberId: false });
    await world.advance(1);
    expect((await joining).memberId).toMatch(/^rack-1-[0-9a-f-]{36}$/);
  });

  test('finds its place and its share in a stable group; nobody rebalances', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await staticPair(world);
    const back = await join(world, followerInstance);
    expect(back).toMatchObject({
      error: Errors.NONE,
      generationId: 1,
      leaderId: leader?.memberId,
      skipAssignment: false,
      members: [],
    });
    expect(back.memberId).not.toBe(follower?.memberId);
    expect(stateOf(world)).toBe('Stable');
    const share = await sync(world, { memberId: back.memberId, instanceId: 'rack-2', generationId: 1 });
    expect(asText(share.assignment)).toBe('share 1');
  });

  test('fences whoever still uses its old member id', async () => {
    const world = await CoordinatorWorld.start();
    const [, old] = await staticPair(world);
    await join(world, followerInstance);
    const zombie = { memberId: old?.memberId ?? '', instanceId: 'rack-2', generationId: 1 };
    expect(heartbeat(world, zombie)).toBe(Errors.FENCED_INSTANCE_ID);
    expect((await sync(world, zombie)).error).toBe(Errors.FENCED_INSTANCE_ID);
    expect((await join(world, { ...followerInstance, memberId: zombie.memberId })).error).toBe(
      Errors.FENCED_INSTANCE_ID,
    );
    expect(await commit(world, { ...zombie, offset: 99 })).toBe(Errors.FENCED_INSTANCE_ID);
    expect(committed(world)).toBeUndefined();
    // Below the versions that carry the instance id, the old id is simply unknown.
    expect(heartbeat(world, { ...zombie, instanceId: null })).toBe(Errors.UNKNOWN_MEMBER_ID);
  });

  test('as the leader is told to skip assigning, and to watch for changes (v9)', async () => {
    const world = await CoordinatorWorld.start();
    await staticPair(world);
    const back = await join(world, leaderInstance);
    expect(back).toMatchObject({ error: Errors.NONE, generationId: 1, skipAssignment: true });
    expect(back.leaderId).toBe(back.memberId);
    expect(back.members).toHaveLength(2);
  });

  test('as the leader is given the old leader id below v9, so that it does not assign', async () => {
    const world = await CoordinatorWorld.start();
    const [old] = await staticPair(world);
    const back = await join(world, { ...leaderInstance, understandsSkipAssignment: false });
    expect(back).toMatchObject({ leaderId: old?.memberId, skipAssignment: false, members: [] });
  });

  test('is answered when its new id is durable, not before', async () => {
    const world = await CoordinatorWorld.start();
    await staticPair(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const back = watch(join(world, followerInstance));
    await world.settle();
    expect(back.value).toBeUndefined();
    await world.makeDurable();
    expect(back.value?.error).toBe(Errors.NONE);
  });

  test('keeps its new id across a crash of the coordinator', async () => {
    const world = await CoordinatorWorld.start();
    await staticPair(world);
    const back = await join(world, followerInstance);
    const next = await world.crash();
    const beat = { memberId: back.memberId, instanceId: 'rack-2', generationId: 1 };
    expect(heartbeat(next, beat)).toBe(Errors.NONE);
    expect(asText((await sync(next, beat)).assignment)).toBe('share 1');
  });

  test('starts a rebalance when the group would now choose another protocol', async () => {
    const world = await CoordinatorWorld.start();
    const both = [
      { name: 'range', metadata: text('r') },
      { name: 'sticky', metadata: text('s') },
    ];
    await stableGroup(world, [{ ...leaderInstance, protocols: both }]);
    const back = await join(world, { ...leaderInstance, protocols: both.toReversed() });
    expect(back).toMatchObject({ generationId: 2, protocolName: 'sticky' });
  });

  test('starts a new rebalance while the leader may be assigning to its old id', async () => {
    const world = await CoordinatorWorld.start();
    const joining = [join(world, leaderInstance), join(world, followerInstance)];
    await world.advance(1);
    const [leader, old] = await Promise.all(joining);
    const waiting = sync(world, { memberId: old?.memberId ?? '', instanceId: 'rack-2', generationId: 1 });
    const back = watch(join(world, followerInstance));
    expect((await waiting).error).toBe(Errors.FENCED_INSTANCE_ID);
    expect(stateOf(world)).toBe('PreparingRebalance');
    const own = await join(world, { ...leaderInstance, memberId: leader?.memberId ?? '' });
    await world.settle();
    expect(own.generationId).toBe(2);
    expect(back.value?.generationId).toBe(2);
  });

  test('during the first half of a rebalance takes its own place in it', async () => {
    const world = await CoordinatorWorld.start();
    const [, old] = await staticPair(world);
    const asOld = watch(
      join(world, {
        ...followerInstance,
        memberId: old?.memberId ?? '',
        protocols: [{ name: 'range', metadata: text('changed') }],
      }),
    );
    const asNew = watch(join(world, followerInstance));
    await world.settle();
    expect(asOld.value).toMatchObject({ error: Errors.FENCED_INSTANCE_ID, memberId: old?.memberId });
    await world.advance(REBALANCE_MS + 1);
    expect(asNew.value?.error).toBe(Errors.NONE);
  });

  test('when replaced twice before its id is durable: the one in the middle is fenced', async () => {
    const world = await CoordinatorWorld.start();
    await staticPair(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const first = watch(join(world, followerInstance));
    const second = watch(join(world, followerInstance));
    await world.makeDurable();
    expect(first.value?.error).toBe(Errors.FENCED_INSTANCE_ID);
    expect(second.value?.error).toBe(Errors.NONE);
  });

  test('caught in a rebalance of others before its id is durable is answered by that rebalance', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await staticPair(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const back = watch(join(world, followerInstance));
    const newcomer = watch(join(world));
    await world.makeDurable();
    expect(back.value).toBeUndefined();
    const own = join(world, { ...leaderInstance, memberId: leader?.memberId ?? '' });
    expect((await own).generationId).toBe(2);
    await world.settle();
    expect(back.value?.generationId).toBe(2);
    expect(newcomer.value?.generationId).toBe(2);
  });
});

describe('a static member that is away', () => {
  test('keeps its place through a rebalance until its session ends', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, away] = await staticPair(world);
    const own = watch(join(world, { ...leaderInstance, memberId: leader?.memberId ?? '' }));
    await world.advance(REBALANCE_MS + 1);
    expect(own.value?.members.map(({ memberId }) => memberId)).toContain(away?.memberId);
    expect(own.value?.members.map(({ instanceId }) => instanceId)).toEqual(['rack-1', 'rack-2']);
  });

  test('with nobody else in the rebalance: the group empties when its session ends', async () => {
    const world = await CoordinatorWorld.start();
    const [only, dynamic] = await stableGroup(world, [
      { instanceId: 'rack-1', sessionTimeoutMs: 200_000 },
      { sessionTimeoutMs: 6_000 },
    ]);
    expect(only?.error).toBe(Errors.NONE);
    expect(dynamic?.error).toBe(Errors.NONE);
    await world.advance(7_000);
    expect(stateOf(world)).toBe('PreparingRebalance');
    await world.advance(REBALANCE_MS + 1);
    expect(stateOf(world)).toBe('PreparingRebalance');
    await world.advance(200_000);
    expect(stateOf(world)).toBe('Empty');
  });

  // Regression, class "busy loop by request": the group retried at once, for as long as the session lasted.
  test('with a rebalance timeout of 0 does not keep the coordinator busy', async () => {
    const world = await CoordinatorWorld.start();
    const [, dynamic] = await stableGroup(world, [
      { instanceId: 'rack-1', rebalanceTimeoutMs: 0, sessionTimeoutMs: 60_000 },
      { rebalanceTimeoutMs: 100, sessionTimeoutMs: 6_000 },
    ]);
    world.coordinator.leave(GROUP, [{ memberId: dynamic?.memberId ?? '', instanceId: null }]);
    await world.advance(30_000);
    expect(stateOf(world)).toBe('PreparingRebalance');
    await world.advance(31_000);
    expect(stateOf(world)).toBe('Empty');
  });

  test('can be removed by an administrator through its instance id', async () => {
    const world = await CoordinatorWorld.start();
    await staticPair(world);
    const left = world.coordinator.leave(GROUP, [{ memberId: '', instanceId: 'rack-2' }]);
    expect(left.memberErrors).toEqual([Errors.NONE]);
    expect(stateOf(world)).toBe('PreparingRebalance');
  });
});

test('an instance id nobody has, with a member id: UNKNOWN_MEMBER_ID', async () => {
  const world = await CoordinatorWorld.start();
  const [leader] = await staticPair(world);
  const refused = await join(world, { instanceId: 'rack-9', memberId: leader?.memberId ?? '' });
  expect(refused.error).toBe(Errors.UNKNOWN_MEMBER_ID);
});
