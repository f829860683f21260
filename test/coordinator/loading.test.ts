import { describe, expect, test } from '@jest/globals';
import { GROUP_METADATA_TOPIC } from '../../broker-runtime/src/coordinator/coordinator-partitions.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { CompressionType } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { groupTombstone, offsetRecord } from '../../broker-runtime/src/coordinator/group-records.ts';
import { MemoryStream } from '../log/memory-stream.ts';
import {
  BROKER_ID,
  CoordinatorWorld,
  GROUP,
  SESSION_MS,
  asText,
  commit,
  committed,
  heartbeat,
  join,
  stableGroup,
  stateOf,
  sync,
  watch,
} from './coordinator-world.ts';

describe('the first question of all', () => {
  test('creates __consumer_offsets: compacted, 100 MiB segments, internal', async () => {
    const world = CoordinatorWorld.cold({ config: { offsetsTopicPartitions: 50 } });
    const asking = [world.coordinator.coordinatorOf('a'), world.coordinator.coordinatorOf('b')];
    await world.settle();
    expect(await Promise.all(asking)).toEqual([
      { error: Errors.NONE, nodeId: BROKER_ID },
      { error: Errors.NONE, nodeId: BROKER_ID },
    ]);
    expect(world.topics.created).toEqual([
      expect.objectContaining({
        name: GROUP_METADATA_TOPIC,
        partitionCount: 50,
        internal: true,
        configs: [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'segment.bytes', value: '104857600' },
        ],
      }),
    ]);
  });

  test('is COORDINATOR_NOT_AVAILABLE when the topic cannot be created, and tried again next time', async () => {
    const world = CoordinatorWorld.cold();
    world.topics.refusal = Errors.POLICY_VIOLATION;
    expect((await world.coordinator.coordinatorOf(GROUP)).error).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    world.topics.refusal = undefined;
    expect((await world.coordinator.coordinatorOf(GROUP)).error).toBe(Errors.NONE);
  });

  test('names the leader of the partition, which may be another broker', async () => {
    const world = await CoordinatorWorld.start();
    world.topics.lead(GROUP_METADATA_TOPIC, 0, 9);
    expect(await world.coordinator.coordinatorOf(GROUP)).toEqual({ error: Errors.NONE, nodeId: 9 });
  });

  test('of a partition without a leader: COORDINATOR_NOT_AVAILABLE', async () => {
    const world = await CoordinatorWorld.start();
    world.topics.lead(GROUP_METADATA_TOPIC, 0, -1);
    expect((await world.coordinator.coordinatorOf(GROUP)).error).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
  });
});

describe('before the log is read', () => {
  async function loading(): Promise<CoordinatorWorld> {
    const world = CoordinatorWorld.cold();
    // The topic appears, and with it the loading begins; nothing has been read yet.
    world.topics.add(GROUP_METADATA_TOPIC, 1);
    return world;
  }

  test('requests are told COORDINATOR_LOAD_IN_PROGRESS', async () => {
    const world = await loading();
    expect((await join(world)).error).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS);
    expect(world.coordinator.offsetsOf(GROUP)).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS);
  });

  test('and so are lists, descriptions, deletions and commits', async () => {
    const world = await loading();
    const waiting = [commit(world), world.coordinator.deleteGroup(GROUP)];
    expect(world.coordinator.describe(GROUP)).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS);
    expect(world.coordinator.list()).toEqual({ error: Errors.COORDINATOR_LOAD_IN_PROGRESS, groups: [] });
    expect(await Promise.all(waiting)).toEqual([
      Errors.COORDINATOR_LOAD_IN_PROGRESS,
      Errors.COORDINATOR_LOAD_IN_PROGRESS,
    ]);
    await world.settle();
    expect(world.coordinator.list()).toEqual({ error: Errors.NONE, groups: [] });
  });

  test('heartbeats are fine, and SyncGroup is told to rejoin: old clients know no other answer', async () => {
    const world = await loading();
    const member = { memberId: 'm', generationId: 1 };
    expect(heartbeat(world, member)).toBe(Errors.NONE);
    expect((await sync(world, member)).error).toBe(Errors.REBALANCE_IN_PROGRESS);
  });

  test('without the topic: NOT_COORDINATOR, which sends clients to FindCoordinator', async () => {
    const world = CoordinatorWorld.cold();
    expect((await join(world)).error).toBe(Errors.NOT_COORDINATOR);
    expect(heartbeat(world, { memberId: 'm', generationId: 1 })).toBe(Errors.NOT_COORDINATOR);
  });
});

describe('a coordinator that starts again', () => {
  test('finds stable groups with members, shares and lead; their sessions start again', async () => {
    const world = await CoordinatorWorld.start();
    const [leader, follower] = await stableGroup(world, [{ clientId: 'a' }, { clientId: 'b' }]);
    await world.advance(SESSION_MS - 1);
    const next = await world.crash();
    expect(stateOf(next)).toBe('Stable');
    await next.advance(SESSION_MS - 1);
    const beats = [leader, follower].map((member) =>
      heartbeat(next, { memberId: member?.memberId ?? '', generationId: 1 }),
    );
    expect(beats).toEqual([Errors.NONE, Errors.NONE]);
    const share = await sync(next, { memberId: follower?.memberId ?? '', generationId: 1 });
    expect(asText(share.assignment)).toBe('share 1');
    const described = next.coordinator.describe(GROUP);
    expect(described).toMatchObject({
      protocolType: 'consumer',
      protocolName: 'range',
      members: [{ clientId: 'a', clientHost: '/127.0.0.1' }, { clientId: 'b' }],
    });
    const rejoined = join(next, { memberId: leader?.memberId ?? '' });
    expect(stateOf(next)).toBe('PreparingRebalance');
    void join(next, { memberId: follower?.memberId ?? '' });
    expect(await rejoined).toMatchObject({ generationId: 2, leaderId: leader?.memberId });
  });

  test('removes members that died with it when their session passes', async () => {
    const world = await CoordinatorWorld.start();
    await stableGroup(world);
    const next = await world.crash();
    await next.advance(SESSION_MS + 1);
    expect(stateOf(next)).toBe('Empty');
  });

  test('continues generations where the log ends', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    world.coordinator.leave(GROUP, [{ memberId: member?.memberId ?? '', instanceId: null }]);
    const next = await world.crash();
    expect(stateOf(next)).toBe('Empty');
    const [again] = await stableGroup(next);
    expect(again?.generationId).toBe(3);
  });

  test('does not know a generation whose assignment was never durable', async () => {
    const world = await CoordinatorWorld.start();
    const [member] = await stableGroup(world);
    for (const stream of world.streams.values()) stream.autoSettle = false;
    await join(world, { memberId: member?.memberId ?? '' });
    void sync(world, { memberId: member?.memberId ?? '', generationId: 2, assignments: {} });
    await world.settle();
    const next = await world.crash();
    expect(heartbeat(next, { memberId: member?.memberId ?? '', generationId: 2 })).toBe(
      Errors.ILLEGAL_GENERATION,
    );
    expect(heartbeat(next, { memberId: member?.memberId ?? '', generationId: 1 })).toBe(Errors.NONE);
  });

  test('shrinks a group that is larger than is now allowed, in a rebalance', async () => {
    const world = await CoordinatorWorld.start();
    const members = await stableGroup(world, [{}, {}, {}]);
    const next = await world.crash(0, { maxGroupSize: 2 });
    expect(stateOf(next)).toBe('PreparingRebalance');
    const joining = members.map(({ memberId }) => watch(join(next, { memberId })));
    await next.settle();
    expect(joining.map(({ value }) => value?.error)).toEqual([
      Errors.NONE,
      Errors.NONE,
      Errors.GROUP_MAX_SIZE_REACHED,
    ]);
  });

  test('reads compressed batches, and skips kinds of records it does not know', async () => {
    const world = CoordinatorWorld.cold();
    const stream = new MemoryStream(0);
    stream.autoSettle = true;
    const value = { offset: 5, leaderEpoch: 1, metadata: 'm', commitWallMs: 1000 };
    const records = [
      offsetRecord(GROUP, { topic: 'events', partition: 0 }, value),
      // ConsumerGroupMemberMetadataKey of KIP-848.
      { key: Uint8Array.from([0, 5, 0, 1, 103, 0, 1, 109]), value: Uint8Array.from([0, 0, 1, 2, 3]) },
      offsetRecord(GROUP, { topic: 'events', partition: 1 }, value),
      groupTombstone('another'),
    ];
    const batch = buildBatch({
      records: records.map((record, offset) => ({ ...record, offset, timestampMs: 1000 })),
      compression: CompressionType.gzip,
    });
    stream.append(0, records.length, 1000, batch);
    world.streams.set(0, stream);
    world.topics.add(GROUP_METADATA_TOPIC, 1);
    await world.settle();
    expect([committed(world, 'events', 0), committed(world, 'events', 1)]).toEqual([5, 5]);
    expect(world.coordinator.list().groups).toHaveLength(1);
  });

  test('lets others work between the reads of a long log', async () => {
    const world = await CoordinatorWorld.start();
    for (let offset = 0; offset < 600; offset++) {
      await commit(world, { offset, partition: offset, metadata: 'm'.repeat(4000) });
    }
    const next = CoordinatorWorld.cold({ after: { world } });
    let turns = 0;
    while (next.coordinator.offsetsOf(GROUP) === Errors.COORDINATOR_LOAD_IN_PROGRESS && turns < 100) {
      turns++;
      await new Promise<void>((resolve) => {
        next.env.clock.afterTurn(resolve);
        void next.settle();
      });
    }
    expect(turns).toBeGreaterThan(1);
    expect(committed(next, 'events', 599)).toBe(599);
  });

  test('refuses a value of a version it does not know, instead of guessing', async () => {
    const world = CoordinatorWorld.cold();
    const stream = new MemoryStream(0);
    stream.autoSettle = true;
    const { key } = offsetRecord(GROUP, { topic: 'events', partition: 0 }, NOTHING);
    const records = [{ key, value: Uint8Array.from([0, 5, 0, 0, 0]), offset: 0, timestampMs: 0 }];
    stream.append(0, 1, 0, buildBatch({ records }));
    world.streams.set(0, stream);
    world.topics.add(GROUP_METADATA_TOPIC, 1);
    await world.settle();
    expect(await commit(world)).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    expect(world.env.events.named('coordinator.load-failed')).toHaveLength(1);
  });

  test('refuses a damaged batch, whole', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { offset: 1 });
    await commit(world, { offset: 2 });
    world.streams.get(0)?.damage(1, 70);
    const next = await world.crash();
    expect(await commit(next)).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    expect(next.env.events.named('coordinator.load-failed')).toHaveLength(1);
  });

  test('that cannot read its log tries again when asked, but not all the time', async () => {
    const world = CoordinatorWorld.cold();
    world.openError = new Error('the object store does not answer');
    world.topics.add(GROUP_METADATA_TOPIC, 1);
    await world.settle();
    expect(await commit(world)).toBe(Errors.COORDINATOR_NOT_AVAILABLE);
    await world.advance(world.config.loadRetryMs + 1);
    expect(await commit(world)).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS);
    await world.settle();
    expect(await commit(world)).toBe(Errors.NONE);
  });
});

describe('when leadership moves', () => {
  test('who waits is told NOT_COORDINATOR, and so is who asks', async () => {
    const world = await CoordinatorWorld.start();
    const [leader] = await stableGroup(world, [{}, {}]);
    const joining = join(world, { memberId: leader?.memberId ?? '' });
    world.topics.lead(GROUP_METADATA_TOPIC, 0, 9);
    expect((await joining).error).toBe(Errors.NOT_COORDINATOR);
    expect(await commit(world)).toBe(Errors.NOT_COORDINATOR);
    expect(world.coordinator.list()).toEqual({ error: Errors.NONE, groups: [] });
  });

  test('a commit that waits for admission is not written any more', async () => {
    const world = await CoordinatorWorld.start();
    world.hold();
    const late = watch(commit(world));
    world.topics.lead(GROUP_METADATA_TOPIC, 0, 9);
    await world.admit();
    expect(late.value).toBe(Errors.NOT_COORDINATOR);
    expect(world.streams.get(0)?.endOffset).toBe(0);
  });

  test('failure class: a move that was called off left the coordinator on a log that was closed for it (I37, seed 1773)', async () => {
    const world = await CoordinatorWorld.start();
    expect(await commit(world, { offset: 1 })).toBe(Errors.NONE);
    world.topics.move(GROUP_METADATA_TOPIC, 0, BROKER_ID + 1);
    // The broker lets go of the partition.
    world.logs.get(0)?.abandon();
    expect(await commit(world, { offset: 2 })).toBe(Errors.NOT_COORDINATOR);
    world.topics.move(GROUP_METADATA_TOPIC, 0, undefined);
    await world.settle();
    expect(await commit(world, { offset: 3 })).toBe(Errors.NONE);
    expect(committed(world)).toBe(3);
  });

  test('and comes back under a new epoch, the log is read anew', async () => {
    const world = await CoordinatorWorld.start();
    await commit(world, { offset: 1 });
    world.topics.lead(GROUP_METADATA_TOPIC, 0, 9);
    world.topics.lead(GROUP_METADATA_TOPIC, 0, BROKER_ID);
    expect(world.coordinator.offsetsOf(GROUP)).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS);
    await world.settle();
    expect(committed(world)).toBe(1);
  });
});

const NOTHING = { offset: 0, leaderEpoch: -1, metadata: '', commitWallMs: 0 };
