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
  stableGroup,
  stateOf,
  sync,
  text,
  watch,
  type JoinOptions,
} from './coordinator-world.ts';

/** Members that have joined the first generation and not asked for their share yet. */
async function completingGroup(
  world: CoordinatorWorld,
  members: readonly JoinOptions[] = [{}, {}],
): Promise<readonly { readonly memberId: string; readonly generationId: number }[]> {
  const joining = members.map((member) => join(world, member));
  await world.advance(1);
  return Promise.all(joining);
}

const leave = (
  world: CoordinatorWorld,
  memberId: string,
  instanceId: string | null = null,
): number | undefined => world.coordinator.leave(GROUP, [{ memberId, instanceId }]).memberErrors[0];

describe('SyncGroup', () => {
  test('waits for the leader, then gives everyone a share; who was not named gets no bytes', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, second, third] = await completingGroup(world, [{}, {}, {}]);
    const shares = [second, third].map((member) =>
      watch(sync(world, { memberId: member?.memberId ?? '', generationId: 1 })),
    );
    await world.settle();
    expect(shares.map(({ value }) => value)).toEqual([undefined, undefined]);
    const own = await sync(world, {
      memberId: leader?.memberId ?? '',
      generationId: 1,
      assignments: { [leader?.memberId ?? '']: 'one', [second?.memberId ?? '']: 'two', ghost: 'three' },
    });
    await world.settle();
    expect(asText(own.assignment)).toBe('one');
    expect(shares.map(({ value }) => asText(value?.assignment))).toEqual(['two', '']);
    expect(own).toMatchObject({ error: Errors.NONE, protocolType: 'consumer', protocolName: 'range' });
    expect(stateOf(world)).toBe('Stable');
  });

  test('is answered after the assignment is durable, not before', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await completingGroup(world, [{}]);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const own = watch(sync(world, { memberId: leader?.memberId ?? '', generationId: 1 }));
    await world.settle();
    expect(own.value).toBeUndefined();
    expect(stateOf(world)).toBe('CompletingRebalance');
    await world.makeDurable();
    expect(own.value?.error).toBe(Errors.NONE);
    expect(stateOf(world)).toBe('Stable');
  });

  test('of a stable group answers the share again', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    const again = await sync(world, { memberId: member?.memberId ?? '', generationId: 1 });
    expect(asText(again.assignment)).toBe('share 0');
  });

  test('sent again while it waits: the first one is told to rejoin, the second one gets the share', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await completingGroup(world);
    const first = watch(sync(world, { memberId: follower?.memberId ?? '', generationId: 1 }));
    const second = watch(sync(world, { memberId: follower?.memberId ?? '', generationId: 1 }));
    await sync(world, { memberId: leader?.memberId ?? '', generationId: 1 });
    await world.settle();
    expect(first.value?.error).toBe(Errors.REBALANCE_IN_PROGRESS);
    expect(second.value?.error).toBe(Errors.NONE);
  });

  test('of a leader that repeats itself writes one record', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await completingGroup(world, [{}]);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const options = { memberId: leader?.memberId ?? '', generationId: 1 };
    const syncing = [sync(world, options), sync(world, options)];
    await world.settle();
    await world.makeDurable();
    expect((await Promise.all(syncing)).map(({ error }) => error)).toEqual([
      Errors.REBALANCE_IN_PROGRESS,
      Errors.NONE,
    ]);
    expect(await world.records()).toHaveLength(1);
  });

  test('that is never sent costs the member its place after the rebalance timeout', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, silent] = await completingGroup(world, [
      { sessionTimeoutMs: 120_000 },
      { sessionTimeoutMs: 120_000 },
    ]);
    await sync(world, { memberId: leader?.memberId ?? '', generationId: 1 });
    await world.advance(REBALANCE_MS - 10);
    expect(stateOf(world)).toBe('Stable');
    await world.advance(20);
    expect(stateOf(world)).toBe('PreparingRebalance');
    expect(heartbeat(world, { memberId: silent?.memberId ?? '', generationId: 1 })).toBe(
      Errors.UNKNOWN_MEMBER_ID,
    );
  });

  test('with an assignment the log does not take: everyone is told, and joins again', async () => {
    const world = await CoordinatorWorld.start({ config: { maxBatchBytes: 600 } });
    const [leader, follower] = await completingGroup(world);
    const waiting = sync(world, { memberId: follower?.memberId ?? '', generationId: 1 });
    const own = await sync(world, {
      memberId: leader?.memberId ?? '',
      generationId: 1,
      assignments: { [leader?.memberId ?? '']: 'x'.repeat(600) },
    });
    expect(own.error).toBe(Errors.UNKNOWN_SERVER_ERROR);
    expect((await waiting).error).toBe(Errors.UNKNOWN_SERVER_ERROR);
    expect(stateOf(world)).toBe('PreparingRebalance');
  });

  test.each([
    ['an unknown group: UNKNOWN_MEMBER_ID', { groupId: 'nowhere' }, Errors.UNKNOWN_MEMBER_ID],
    ['the empty group id: INVALID_GROUP_ID', { groupId: '' }, Errors.INVALID_GROUP_ID],
    ['an unknown member: UNKNOWN_MEMBER_ID', { memberId: 'ghost' }, Errors.UNKNOWN_MEMBER_ID],
    ['an unknown instance id: UNKNOWN_MEMBER_ID', { instanceId: 'ghost' }, Errors.UNKNOWN_MEMBER_ID],
    ['an old generation: ILLEGAL_GENERATION', { generationId: 0 }, Errors.ILLEGAL_GENERATION],
    ['a future generation: ILLEGAL_GENERATION', { generationId: 2 }, Errors.ILLEGAL_GENERATION],
    ['another protocol type (v5)', { protocolType: 'connect' }, Errors.INCONSISTENT_GROUP_PROTOCOL],
    ['another protocol name (v5)', { protocolName: 'sticky' }, Errors.INCONSISTENT_GROUP_PROTOCOL],
  ])('with %s', async (_what, options, error) => {
    const world = await CoordinatorWorld.start();
    const [leader] = await completingGroup(world);
    const refused = await sync(world, { memberId: leader?.memberId ?? '', generationId: 1, ...options });
    expect(refused.error).toBe(error);
  });

  test('while a rebalance is prepared: REBALANCE_IN_PROGRESS', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world);
    void join(world);
    const refused = await sync(world, { memberId: leader?.memberId ?? '', generationId: 1 });
    expect(refused.error).toBe(Errors.REBALANCE_IN_PROGRESS);
  });
});

interface Beat {
  readonly group?: string;
  readonly memberId?: string;
  readonly generationId?: number;
  readonly instanceId?: string;
}

describe('Heartbeat', () => {
  test.each([
    ['an unknown group', { group: 'nowhere' }, Errors.UNKNOWN_MEMBER_ID],
    ['the empty group id', { group: '' }, Errors.INVALID_GROUP_ID],
    ['an unknown member', { memberId: 'ghost' }, Errors.UNKNOWN_MEMBER_ID],
    ['an old generation', { generationId: 0 }, Errors.ILLEGAL_GENERATION],
    ['an unknown instance id', { instanceId: 'ghost' }, Errors.UNKNOWN_MEMBER_ID],
  ])('of %s is refused', async (_what, options: Beat, error) => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    const beat = { memberId: member?.memberId ?? '', generationId: 1, ...options };
    expect(heartbeat(world, beat, options.group)).toBe(error);
  });

  test('answers by the state of the group', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await completingGroup(world);
    const beat = { memberId: leader?.memberId ?? '', generationId: 1 };
    expect(heartbeat(world, beat)).toBe(Errors.NONE);
    await sync(world, beat);
    expect(heartbeat(world, beat)).toBe(Errors.NONE);
    void join(world, {
      memberId: follower?.memberId ?? '',
      protocols: [{ name: 'range', metadata: text('new') }],
    });
    expect(heartbeat(world, beat)).toBe(Errors.REBALANCE_IN_PROGRESS);
  });

  test('keeps a session alive in every state; without it the member is removed', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, silent] = await stableGroup(world, [{}, {}]);
    for (let count = 0; count < 5; count++) {
      await world.advance(SESSION_MS / 3);
      heartbeat(world, { memberId: leader?.memberId ?? '', generationId: 1 });
    }
    expect(heartbeat(world, { memberId: silent?.memberId ?? '', generationId: 1 })).toBe(
      Errors.UNKNOWN_MEMBER_ID,
    );
    expect(stateOf(world)).toBe('PreparingRebalance');
  });

  test('is not expected of a member whose JoinGroup waits for the others', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world, [{}, { sessionTimeoutMs: 60_000 }]);
    const rejoined = watch(join(world, { memberId: leader?.memberId ?? '' }));
    await world.advance(5 * SESSION_MS);
    expect(rejoined.value).toBeUndefined();
    await world.advance(REBALANCE_MS);
    expect(rejoined.value?.error).toBe(Errors.NONE);
  });

  test('a leader that dies before it assigns makes the others rejoin', async () => {
    const world = await CoordinatorWorld.start();
    const [, follower] = await completingGroup(world);
    const waiting = watch(sync(world, { memberId: follower?.memberId ?? '', generationId: 1 }));
    await world.advance(SESSION_MS + 1);
    expect(waiting.value?.error).toBe(Errors.REBALANCE_IN_PROGRESS);
    const rejoined = join(world, { memberId: follower?.memberId ?? '' });
    expect(await rejoined).toMatchObject({ leaderId: follower?.memberId, generationId: 2 });
  });

  test('a member that dies while its assignment is being written changes nothing for the next generation', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await completingGroup(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const own = watch(sync(world, { memberId: leader?.memberId ?? '', generationId: 1 }));
    expect(leave(world, follower?.memberId ?? '')).toBe(Errors.NONE);
    await world.settle();
    expect(own.value?.error).toBe(Errors.REBALANCE_IN_PROGRESS);
    await world.makeDurable();
    expect(stateOf(world)).toBe('PreparingRebalance');
    expect((await join(world, { memberId: leader?.memberId ?? '' })).generationId).toBe(2);
  });
});

describe('LeaveGroup', () => {
  test('removes the member and starts a rebalance', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await stableGroup(world, [{}, {}]);
    expect(leave(world, leader?.memberId ?? '')).toBe(Errors.NONE);
    expect(stateOf(world)).toBe('PreparingRebalance');
    expect(await join(world, { memberId: follower?.memberId ?? '' })).toMatchObject({
      leaderId: follower?.memberId,
    });
  });

  test('names several members at once, static ones by instance id alone (v3)', async () => {
    const world = await CoordinatorWorld.start();
    const [dynamic] = await stableGroup(world, [{}, { instanceId: 'rack-1' }, { instanceId: 'rack-2' }]);
    const left = world.coordinator.leave(GROUP, [
      { memberId: dynamic?.memberId ?? '', instanceId: null },
      { memberId: '', instanceId: 'rack-1' },
      { memberId: 'old', instanceId: 'rack-2' },
      { memberId: '', instanceId: 'rack-9' },
      { memberId: 'ghost', instanceId: null },
    ]);
    expect(left).toEqual({
      error: Errors.NONE,
      memberErrors: [
        Errors.NONE,
        Errors.NONE,
        Errors.FENCED_INSTANCE_ID,
        Errors.UNKNOWN_MEMBER_ID,
        Errors.UNKNOWN_MEMBER_ID,
      ],
    });
  });

  test('of a group nobody knows: UNKNOWN_MEMBER_ID for each member', async () => {
    const world = await CoordinatorWorld.start();
    const left = world.coordinator.leave('nowhere', [{ memberId: 'm', instanceId: null }]);
    expect(left).toEqual({ error: Errors.NONE, memberErrors: [Errors.UNKNOWN_MEMBER_ID] });
  });

  test('of the empty group id: INVALID_GROUP_ID', async () => {
    const world = await CoordinatorWorld.start();
    const left = world.coordinator.leave('', [{ memberId: 'm', instanceId: null }]);
    expect(left).toEqual({ error: Errors.INVALID_GROUP_ID, memberErrors: [] });
  });

  test('of more members than a group can have: INVALID_REQUEST', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupSize: 2 } });
    const members = Array.from({ length: 3 }, () => ({ memberId: 'm', instanceId: null }));
    expect(world.coordinator.leave(GROUP, members).error).toBe(Errors.INVALID_REQUEST);
  });

  test('while its JoinGroup or SyncGroup waits: that one is answered UNKNOWN_MEMBER_ID', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await completingGroup(world);
    const syncing = sync(world, { memberId: follower?.memberId ?? '', generationId: 1 });
    leave(world, follower?.memberId ?? '');
    expect((await syncing).error).toBe(Errors.UNKNOWN_MEMBER_ID);
    const third = await join(world, { requiresMemberId: true });
    const joining = join(world, { memberId: leader?.memberId ?? '' });
    leave(world, leader?.memberId ?? '');
    expect((await joining).error).toBe(Errors.UNKNOWN_MEMBER_ID);
    expect(third.error).toBe(Errors.MEMBER_ID_REQUIRED);
  });
});
