import { describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  CoordinatorWorld,
  GROUP,
  SESSION_MS,
  commit,
  committed,
  heartbeat,
  join,
  stableGroup,
  stateOf,
  text,
  watch,
} from './coordinator-world.ts';
import { subscriptionBytes } from './subscription-bytes.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const leave = (world: CoordinatorWorld, memberId: string): void => {
  world.coordinator.leave(GROUP, [{ memberId, instanceId: null }]);
};

describe('a commit', () => {
  test('of a member is what OffsetFetch returns: offset, leader epoch and metadata', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    const options = {
      memberId: member?.memberId ?? '',
      generationId: 1,
      offset: 42,
      leaderEpoch: 3,
      metadata: 'm',
    };
    expect(await commit(world, options)).toBe(Errors.NONE);
    const offsets = world.coordinator.offsetsOf(GROUP);
    expect(typeof offsets === 'object' ? offsets.get('events', 0) : undefined).toMatchObject({
      offset: 42,
      leaderEpoch: 3,
      metadata: 'm',
    });
  });

  test('is answered when it is durable, and seen by nobody before (I16)', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { offset: 1 });
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const second = watch(commit(world, { offset: 2 }));
    await world.settle();
    expect(second.value).toBeUndefined();
    expect(committed(world)).toBe(1);
    await world.makeDurable();
    expect(second.value).toBe(Errors.NONE);
    expect(committed(world)).toBe(2);
  });

  test('stale-coordinator: is not told by a node whose lease ran out; members still hear of their group', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    await commit(world, { memberId: member?.memberId ?? '', generationId: 1, offset: 42 });
    world.mayAnswerReaders = false;
    expect(world.coordinator.offsetsOf(GROUP)).toBe(Errors.NOT_COORDINATOR);
    expect(heartbeat(world, { memberId: member?.memberId ?? '', generationId: 1 })).toBe(Errors.NONE);
    world.mayAnswerReaders = true;
    expect(committed(world)).toBe(42);
  });

  test('counts as a heartbeat', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    for (let offset = 0; offset < 6; offset++) {
      await world.advance(SESSION_MS / 2);
      expect(await commit(world, { memberId: member?.memberId ?? '', generationId: 1, offset })).toBe(
        Errors.NONE,
      );
    }
    expect(stateOf(world)).toBe('Stable');
  });

  test('without membership is taken by a group that is unknown or empty', async () => {
    const world = await CoordinatorWorld.start();
    expect(await commit(world, { offset: 5 })).toBe(Errors.NONE);
    expect(committed(world)).toBe(5);
    expect(stateOf(world)).toBe('Empty');
  });

  test('of the empty group id is taken, for old clients', async () => {
    const world = await CoordinatorWorld.start();
    expect(await commit(world, { groupId: '', offset: 5 })).toBe(Errors.NONE);
    expect(committed(world, 'events', 0, '')).toBe(5);
  });

  test('while a rebalance is prepared is still taken from members of the old generation', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    void join(world);
    expect(await commit(world, { memberId: member?.memberId ?? '', generationId: 1 })).toBe(Errors.NONE);
  });
});

describe('a commit that changes nothing (I17)', () => {
  test.each([
    ['without membership in a group with members', {}, Errors.UNKNOWN_MEMBER_ID],
    ['by an unknown member', { memberId: 'ghost', generationId: 1 }, Errors.UNKNOWN_MEMBER_ID],
    [
      'by an unknown instance',
      { memberId: 'ghost', instanceId: 'i', generationId: 1 },
      Errors.UNKNOWN_MEMBER_ID,
    ],
    [
      'by a member of a group nobody knows',
      { groupId: 'new', memberId: 'm', generationId: 1 },
      Errors.ILLEGAL_GENERATION,
    ],
    [
      'with too long metadata',
      { groupId: 'new', metadata: 'm'.repeat(4097) },
      Errors.OFFSET_METADATA_TOO_LARGE,
    ],
    ['with an offset below -1', { groupId: 'new', offset: -2 }, Errors.INVALID_REQUEST],
    ['to a group id no record can hold', { groupId: 'g'.repeat(10_001) }, Errors.INVALID_GROUP_ID],
  ])('%s', async (_what, options, error) => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world);
    const before = await world.records();
    expect(await commit(world, options)).toBe(error);
    expect(await world.records()).toEqual(before);
    expect(stateOf(world, 'new')).toBe('none');
  });

  test('by a member of an older or a future generation: ILLEGAL_GENERATION', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    for (const generationId of [0, 2, -1]) {
      expect(await commit(world, { memberId: member?.memberId ?? '', generationId })).toBe(
        Errors.ILLEGAL_GENERATION,
      );
    }
    expect(committed(world)).toBeUndefined();
  });

  test('while the group waits for its assignment: REBALANCE_IN_PROGRESS', async () => {
    const world = await CoordinatorWorld.start();
    const joining = join(world);
    await world.advance(1);
    const { memberId } = await joining;
    expect(await commit(world, { memberId, generationId: 1 })).toBe(Errors.REBALANCE_IN_PROGRESS);
  });

  test('by a member that lost its place while the commit waited for admission', async () => {
    const world = await CoordinatorWorld.start();
    const [member, other] = await stableGroup(world, [{}, {}]);
    world.hold();
    const late = watch(commit(world, { memberId: member?.memberId ?? '', generationId: 1, offset: 99 }));
    leave(world, member?.memberId ?? '');
    void join(world, { memberId: other?.memberId ?? '' });
    await world.admit();
    expect(late.value).toBe(Errors.UNKNOWN_MEMBER_ID);
    expect(committed(world)).toBeUndefined();
  });

  test('by the old generation, when the new one began while the commit waited for admission', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    const memberId = member?.memberId ?? '';
    world.hold();
    const late = watch(commit(world, { memberId, generationId: 1, offset: 99 }));
    await join(world, { memberId });
    await world.admit();
    expect(late.value).toBe(Errors.ILLEGAL_GENERATION);
    expect(committed(world)).toBeUndefined();
  });

  test('that the log never makes durable: NOT_COORDINATOR, and memory is read again from the log', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { offset: 1 });
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const lost = watch(commit(world, { offset: 2 }));
    for (const stream of world.streams.values()) stream.fail(new Error('the device is gone'));
    await world.settle();
    expect(lost.value).toBe(Errors.NOT_COORDINATOR);
    expect(world.coordinator.offsetsOf(GROUP)).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    expect(committed(await world.crash())).toBe(1);
  });

  test('of more offsets than a request may name: INVALID_REQUEST', async () => {
    const world = await CoordinatorWorld.start({ config: { maxOffsetsPerRequest: 2 } });
    const offset = { offset: 1, leaderEpoch: -1, metadata: '', commitWallMs: 0 };
    const offsets = [0, 1, 2].map((partition) => ({ topic: 'events', partition, committed: offset }));
    const committer = { memberId: '', instanceId: null, generationId: -1 };
    const errors = await world.coordinator.commit(GROUP, committer, offsets, Errors.ILLEGAL_GENERATION);
    expect(errors).toEqual([Errors.INVALID_REQUEST, Errors.INVALID_REQUEST, Errors.INVALID_REQUEST]);
  });

  test('larger than a batch may be: INVALID_COMMIT_OFFSET_SIZE', async () => {
    const world = await CoordinatorWorld.start({ config: { maxBatchBytes: 1000 } });
    expect(await commit(world, { metadata: 'm'.repeat(1000) })).toBe(Errors.INVALID_COMMIT_OFFSET_SIZE);
    expect(stateOf(world)).toBe('none');
  });

  test('to one group more than there may be: INVALID_REQUEST', async () => {
    const world = await CoordinatorWorld.start({ config: { maxGroupsPerPartition: 1 } });
    await commit(world);
    expect(await commit(world, { groupId: 'another' })).toBe(Errors.INVALID_REQUEST);
  });

  test('spoils only the offsets it is wrong about', async () => {
    const world = await CoordinatorWorld.start();
    const at = (
      partition: number,
      metadata: string,
    ): Parameters<typeof world.coordinator.commit>[2][number] => ({
      topic: 'events',
      partition,
      committed: { offset: 7, leaderEpoch: -1, metadata, commitWallMs: 0 },
    });
    const offsets = [at(0, ''), at(1, 'm'.repeat(5000)), at(2, '')];
    const committer = { memberId: '', instanceId: null, generationId: -1 };
    const errors = await world.coordinator.commit(GROUP, committer, offsets, Errors.ILLEGAL_GENERATION);
    expect(errors).toEqual([Errors.NONE, Errors.OFFSET_METADATA_TOO_LARGE, Errors.NONE]);
    expect([0, 1, 2].map((partition) => committed(world, 'events', partition))).toEqual([7, undefined, 7]);
  });
});

describe('retention', () => {
  const days = async (world: CoordinatorWorld, count: number): Promise<void> => world.advance(count * DAY_MS);

  test('of a group that never had members counts from the last commit', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { partition: 0 });
    await days(world, 4);
    await commit(world, { partition: 1 });
    await days(world, 3.1);
    expect([committed(world, 'events', 0), committed(world, 'events', 1)]).toEqual([undefined, 1]);
    await days(world, 4);
    expect(stateOf(world)).toBe('none');
  });

  test('of a group whose members are gone counts from the moment it became empty', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world, [{ sessionTimeoutMs: 1_800_000 }]);
    const memberId = member?.memberId ?? '';
    await commit(world, { memberId, generationId: 1 });
    for (let count = 0; count < 20 * 48; count++) {
      await world.advance(29 * MINUTE_MS);
      heartbeat(world, { memberId, generationId: 1 });
    }
    leave(world, memberId);
    await days(world, 6.9);
    expect(committed(world)).toBe(1);
    await days(world, 0.2);
    expect(stateOf(world)).toBe('none');
  });

  test('spares what an administrator set for a group that has been empty for long', async () => {
    const world = await CoordinatorWorld.start({ config: { offsetsRetentionCheckMs: 8 * DAY_MS } });
    const [member] = await stableGroup(world);
    leave(world, member?.memberId ?? '');
    await days(world, 7.9);
    await commit(world, { offset: 12 });
    await days(world, 0.2);
    expect(committed(world)).toBe(12);
  });

  test('of a consumer group takes only topics that nobody subscribes to any more', async () => {
    const world = await CoordinatorWorld.start({ config: { maxSessionTimeoutMs: 20 * DAY_MS } });
    const protocols = [{ name: 'range', metadata: subscriptionBytes({ topics: ['events'] }) }];
    const [member] = await stableGroup(world, [{ protocols, sessionTimeoutMs: 20 * DAY_MS }]);
    const identity = { memberId: member?.memberId ?? '', generationId: 1 };
    await commit(world, { ...identity, topic: 'events' });
    await commit(world, { ...identity, topic: 'left-behind' });
    await days(world, 7.1);
    expect(committed(world, 'events')).toBe(1);
    expect(committed(world, 'left-behind')).toBeUndefined();
  });

  test.each([
    ['of another protocol type', { protocolType: 'connect' }],
    ['whose metadata cannot be read', { protocols: [{ name: 'range', metadata: text('?') }] }],
  ])('leaves a group with members %s alone', async (_what, options) => {
    const world = await CoordinatorWorld.start({ config: { maxSessionTimeoutMs: 20 * DAY_MS } });
    const [member] = await stableGroup(world, [{ ...options, sessionTimeoutMs: 20 * DAY_MS }]);
    await commit(world, { memberId: member?.memberId ?? '', generationId: 1 });
    await days(world, 8);
    expect(committed(world)).toBe(1);
  });

  test('never takes a commit that was in the queue before it', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { offset: 1 });
    await world.advance(7 * DAY_MS - 5 * MINUTE_MS);
    world.hold();
    const fresh = watch(commit(world, { offset: 2 }));
    await world.advance(11 * MINUTE_MS);
    await world.admit();
    expect(fresh.value).toBe(Errors.NONE);
    expect(committed(world)).toBe(2);
    expect(committed(await world.crash())).toBe(2);
  });

  test('leaves tombstones: a coordinator that starts later does not see what expired', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world);
    await days(world, 7.1);
    const next = await world.crash();
    expect(stateOf(next)).toBe('none');
  });
});

describe('OffsetDelete', () => {
  const key = (topic: string, partition = 0): { topic: string; partition: number } => ({ topic, partition });

  test('of a group nobody knows: GROUP_ID_NOT_FOUND', async () => {
    const world = await CoordinatorWorld.start();
    expect((await world.coordinator.deleteOffsets(GROUP, [key('events')])).error).toBe(
      Errors.GROUP_ID_NOT_FOUND,
    );
  });

  test('keeps topics that members subscribe to, whatever assignor encoded the subscription', async () => {
    const world = await CoordinatorWorld.start();
    const protocols = [{ name: 'range', metadata: subscriptionBytes({ topics: ['events'], version: 3 }) }];
    const [member] = await stableGroup(world, [{ protocols }]);
    const identity = { memberId: member?.memberId ?? '', generationId: 1 };
    await commit(world, { ...identity, topic: 'events' });
    await commit(world, { ...identity, topic: 'other' });
    const deleted = await world.coordinator.deleteOffsets(GROUP, [
      key('events'),
      key('other'),
      key('other', 9),
    ]);
    expect(deleted).toEqual({ error: Errors.NONE, subscribed: new Set(['events']) });
    expect([committed(world, 'events'), committed(world, 'other')]).toEqual([1, undefined]);
  });

  test('keeps everything while it cannot be told what consumers subscribe to', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    await commit(world, { memberId: member?.memberId ?? '', generationId: 1 });
    const deleted = await world.coordinator.deleteOffsets(GROUP, [key('events')]);
    expect([...deleted.subscribed]).toEqual(['events']);
    expect(committed(world)).toBe(1);
  });

  test('of a group of another kind with members: NON_EMPTY_GROUP', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world, [{ protocolType: 'connect' }]);
    expect((await world.coordinator.deleteOffsets(GROUP, [key('events')])).error).toBe(
      Errors.NON_EMPTY_GROUP,
    );
  });

  test('of an empty group deletes what it has', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world);
    expect((await world.coordinator.deleteOffsets(GROUP, [key('events')])).error).toBe(Errors.NONE);
    expect(committed(world)).toBeUndefined();
    expect(committed(await world.crash())).toBeUndefined();
  });

  test('refused when a member subscribed while the deletion waited for admission', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world);
    world.hold();
    const deleting = watch(world.coordinator.deleteOffsets(GROUP, [key('events')]));
    await world.settle();
    void join(world, { protocols: [{ name: 'range', metadata: subscriptionBytes({ topics: ['events'] }) }] });
    await world.admit();
    expect(deleting.value?.error).toBe(Errors.GROUP_SUBSCRIBED_TO_TOPIC);
    expect(committed(world)).toBe(1);
  });
});

describe('DeleteGroups', () => {
  test('of a group nobody knows: GROUP_ID_NOT_FOUND', async () => {
    const world = await CoordinatorWorld.start();
    expect(await world.coordinator.deleteGroup(GROUP)).toBe(Errors.GROUP_ID_NOT_FOUND);
  });

  test('of a group with members: NON_EMPTY_GROUP', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world);
    expect(await world.coordinator.deleteGroup(GROUP)).toBe(Errors.NON_EMPTY_GROUP);
  });

  test('takes the offsets along, for ever', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    await commit(world, { memberId: member?.memberId ?? '', generationId: 1 });
    leave(world, member?.memberId ?? '');
    expect(await world.coordinator.deleteGroup(GROUP)).toBe(Errors.NONE);
    expect(stateOf(world)).toBe('none');
    const next = await world.crash();
    expect(stateOf(next)).toBe('none');
    expect(committed(next)).toBeUndefined();
  });

  test('takes along a commit that is not durable yet', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { partition: 0 });
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const inFlight = watch(commit(world, { partition: 1 }));
    await world.settle();
    const deleting = watch(world.coordinator.deleteGroup(GROUP));
    for (let round = 0; round < 3; round++) await world.makeDurable();
    expect([inFlight.value, deleting.value]).toEqual([Errors.NONE, Errors.NONE]);
    expect(stateOf(world)).toBe('none');
    expect(stateOf(await world.crash())).toBe('none');
  });

  test('closes the group at once: who commits or joins meanwhile is told to come back', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    const deleting = watch(world.coordinator.deleteGroup(GROUP));
    expect(await commit(world)).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    expect((await join(world)).error).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    expect(await world.coordinator.deleteGroup(GROUP)).toBe(Errors.GROUP_ID_NOT_FOUND);
    for (let round = 0; round < 3; round++) await world.makeDurable();
    expect(deleting.value).toBe(Errors.NONE);
  });

  test('of a group with thousands of offsets goes in batches', async () => {
    const world = await CoordinatorWorld.start();
    const at = { offset: 1, leaderEpoch: -1, metadata: '', commitWallMs: 0 };
    const offsets = Array.from({ length: 2500 }, (_, partition) => ({
      topic: 't',
      partition,
      committed: at,
    }));
    const committer = { memberId: '', instanceId: null, generationId: -1 };
    await world.coordinator.commit(GROUP, committer, offsets, Errors.ILLEGAL_GENERATION);
    expect(await world.coordinator.deleteGroup(GROUP)).toBe(Errors.NONE);
    expect(stateOf(await world.crash())).toBe('none');
  });
});

test('offsets of a deleted topic go with it; those of others stay', async () => {
  const world = await CoordinatorWorld.start();
  world.topics.add('events', 1);
  world.topics.add('other', 1);
  await commit(world, { topic: 'events' });
  await commit(world, { topic: 'other' });
  world.topics.delete('events');
  await world.settle();
  expect([committed(world, 'events'), committed(world, 'other')]).toEqual([undefined, 1]);
  const next = await world.crash();
  expect([committed(next, 'events'), committed(next, 'other')]).toEqual([undefined, 1]);
});
