import { beforeEach, describe, expect, test } from '@jest/globals';
import { NotLeaderError } from '../../broker-runtime/src/metadata/cluster-decisions.ts';
import type {
  NodeRef,
  PreviousLife,
  RegisteredBroker,
} from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { NodeFencedError } from '../../broker-runtime/src/metadata/commands.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { openMetadata, topicRequest, type World } from './metadata-world.ts';

const UNREGISTERED: NodeRef = { nodeId: 99, nodeEpoch: 0 };
let world: World;

const registration = (nodeId: number, life = 'first') => ({
  nodeId,
  incarnationId: `node ${nodeId}, ${life} life`,
  walKind: 'block-shared',
  zone: nodeId % 2 === 0 ? 'even' : 'odd',
});

async function register(
  nodeId: number,
  life?: string,
): Promise<NodeRef & { readonly previous: PreviousLife | null }> {
  const answer = await world.as(UNREGISTERED).send('node.register', registration(nodeId, life));
  return { nodeId, ...answer };
}

async function serving(nodeId: number, life?: string): Promise<NodeRef> {
  const { nodeEpoch } = await register(nodeId, life);
  const node = { nodeId, nodeEpoch };
  await world.as(node).send('node.serve', { host: `host-${nodeId}`, port: 9092 });
  return node;
}

const stateOf = (nodeId: number): RegisteredBroker['state'] | undefined =>
  world.metadata.broker(nodeId)?.state;
const leadersOf = (topic: string): (readonly [leader: number, epoch: number])[] =>
  (world.metadata.topicByName(topic)?.partitions ?? []).map(({ leaderId, leaderEpoch }) => [
    leaderId,
    leaderEpoch,
  ]);

beforeEach(async () => {
  world = await openMetadata({ serves: false });
});

describe('registering a node', () => {
  test('the node epoch is the sequence of the entry, the same again for the same life (3.4)', async () => {
    const { nodeEpoch } = await register(1);
    expect(nodeEpoch).toBe(world.journal.committedSequence);
    expect(await register(1)).toEqual({ nodeId: 1, nodeEpoch, previous: null });
    expect(world.journal.committedSequence).toBe(nodeEpoch);
    expect([...world.metadata.brokers()]).toEqual([
      { ...registration(1), nodeEpoch, state: 'active', logNeeded: false },
    ]);
  });

  test('I31: every new life has a higher epoch, across restarts, and learns how the one before ended', async () => {
    const first = await register(1);
    await world.journal.close();
    world = await openMetadata({ serves: false }, world);
    const second = await register(1, 'second');
    expect(second.nodeEpoch).toBeGreaterThan(first.nodeEpoch);
    expect(second.previous).toEqual({ nodeEpoch: first.nodeEpoch, state: 'active', logNeeded: false });
    await world.as(second).send('node.leave', {});
    const third = await register(1, 'third');
    expect(third.previous).toEqual({ nodeEpoch: second.nodeEpoch, state: 'clean', logNeeded: false });
    // A repeat after a lost answer must not take the log for unneeded, or for needed.
    expect(await register(1, 'third')).toEqual(third);
  });

  test('a log is needed from the first life that served until one ends cleanly, also when lives in between never served', async () => {
    await serving(1);
    expect((await register(1, 'second')).previous).toMatchObject({ logNeeded: true });
    const third = await register(1, 'third');
    expect(third.previous).toMatchObject({ state: 'active', logNeeded: true });
    await world.as(third).send('node.leave', {});
    expect((await register(1, 'fourth')).previous).toMatchObject({ state: 'clean', logNeeded: false });
    expect((await register(1, 'fifth')).previous).toMatchObject({ state: 'active', logNeeded: false });
  });

  test('R6: whoever is not the current life of a node is refused everything', async () => {
    const first = await serving(1);
    const second = await serving(1, 'second');
    for (const sender of [first, UNREGISTERED]) {
      const refused = world.as(sender).send('objects.prepare', { count: 1, deadlineWallMs: 1 });
      await expect(refused).rejects.toThrow(NodeFencedError);
    }
    expect(await world.as(second).send('objects.prepare', { count: 1, deadlineWallMs: 1 })).toEqual([1]);
  });
});

describe('partitions and their leaders', () => {
  test('are spread over the nodes that serve, small topics as well', async () => {
    const nodes = [await serving(1), await serving(2), await register(3)];
    for (const name of ['a', 'b', 'c', 'd']) {
      await world.as(nodes[0] ?? UNREGISTERED).send('topics.create', {
        requests: [topicRequest(name)],
        validateOnly: false,
      });
    }
    expect(['a', 'b', 'c', 'd'].map((name) => leadersOf(name)[0]?.[0])).toEqual([1, 2, 1, 2]);
  });

  test('cannot be made while no node serves', async () => {
    const node = await register(1);
    const [result] = await world.as(node).send('topics.create', {
      requests: [topicRequest('t')],
      validateOnly: false,
    });
    expect(result?.error).toBe(Errors.INVALID_REPLICATION_FACTOR);
  });

  test('I5: only the leader changes a stream', async () => {
    const [one, two] = [await serving(1), await serving(2)];
    await world.as(one).send('topics.create', {
      requests: [topicRequest('t', { partitionCount: 2 })],
      validateOnly: false,
    });
    const streamId = world.metadata.topicByName('t')?.partitions[0]?.dataStreamId ?? 0;
    const [objectId = 0] = await world.as(two).send('objects.prepare', { count: 1, deadlineWallMs: 9e12 });
    const range = { streamId, startOffset: 0, endOffset: 5, sizeBytes: 9, maxTimestampMs: -1 };
    const objects = [{ objectId, sizeBytes: 9, ranges: [range] }];
    await expect(world.as(two).send('objects.commit', { objects })).rejects.toThrow(NotLeaderError);
    await expect(world.as(two).send('stream.trim', { streamId, startOffset: 1 })).rejects.toThrow(
      NotLeaderError,
    );
    await world.as(one).send('objects.commit', { objects });
    expect(world.manifest.committedOffset(streamId)).toBe(5);
  });
});

describe('a clean stop', () => {
  test('frees the slot and gives the partitions to the others in the same entry, each under a new epoch', async () => {
    const [one] = [await serving(1), await serving(2), await serving(3)];
    await world.as(one).send('topics.create', {
      requests: [topicRequest('t', { partitionCount: 6 })],
      validateOnly: false,
    });
    await world.as(one).send('node.leave', {});
    expect(stateOf(1)).toBe('clean');
    const leaders = leadersOf('t');
    expect(leaders.map(([leader]) => leader).sort()).toEqual([2, 2, 2, 3, 3, 3]);
    expect(leaders.filter(([, epoch]) => epoch === 1)).toHaveLength(2);
    // The answer was lost: once more.
    await world.as(one).send('node.leave', {});
    expect(leadersOf('t')).toEqual(leaders);
  });

  test('leaves the partitions where they are when nobody else is there', async () => {
    const one = await serving(1);
    await world.as(one).send('topics.create', { requests: [topicRequest('t')], validateOnly: false });
    await world.as(one).send('node.leave', {});
    expect(leadersOf('t')).toEqual([[1, 0]]);
  });
});

describe('moving a partition', () => {
  const moving = (): (number | undefined)[] =>
    (world.metadata.topicByName('t')?.partitions ?? []).map(({ movingTo }) => movingTo);
  let one: NodeRef;
  let two: NodeRef;
  let topicId: string;

  beforeEach(async () => {
    one = await serving(1);
    two = await serving(2);
    await world.as(one).send('topics.create', {
      requests: [
        topicRequest('t', {
          assignments: [{ partition: 0, brokerIds: [1] }],
          partitionCount: -1,
          replicationFactor: -1,
        }),
      ],
      validateOnly: false,
    });
    topicId = world.metadata.topicByName('t')?.id ?? '';
  });

  const move = (toNodeId: number | null): ReturnType<typeof send> => send(toNodeId);
  const send = (toNodeId: number | null) =>
    world.as(two).send('partitions.move', { moves: [{ topicId, index: 0, toNodeId }] });

  test('the leader stays until it has let go; then the other leads under the next epoch', async () => {
    expect(await move(2)).toEqual([{ error: Errors.NONE }]);
    expect([leadersOf('t'), moving()]).toEqual([[[1, 0]], [2]]);
    await world.as(one).send('partition.release', { topicId, index: 0, leaderEpoch: 0 });
    expect([leadersOf('t'), moving()]).toEqual([[[2, 1]], [undefined]]);
    // A repeat by whoever does not lead any more changes nothing.
    await world.as(one).send('partition.release', { topicId, index: 0, leaderEpoch: 0 });
    expect(leadersOf('t')).toEqual([[2, 1]]);
  });

  test('is called off by request, and by the death of the one it was to go to', async () => {
    await move(2);
    expect(await move(null)).toEqual([{ error: Errors.NONE }]);
    expect(moving()).toEqual([undefined]);
    expect((await move(null))[0]?.error).toBe(Errors.NO_REASSIGNMENT_IN_PROGRESS);
    await move(2);
    await world.as(two).send('node.leave', {});
    await world.as(one).send('partition.release', { topicId, index: 0, leaderEpoch: 0 });
    expect([leadersOf('t'), moving()]).toEqual([[[1, 0]], [undefined]]);
  });

  test('only to a broker that serves', async () => {
    expect((await move(7))[0]?.error).toBe(Errors.INVALID_REPLICA_ASSIGNMENT);
    await register(3);
    expect((await move(3))[0]?.error).toBe(Errors.INVALID_REPLICA_ASSIGNMENT);
  });

  test('a node that drains moves all of its partitions, and none when it is alone', async () => {
    await world.as(one).send('node.drain', {});
    expect(moving()).toEqual([2]);
    await world.as(one).send('partition.release', { topicId, index: 0, leaderEpoch: 0 });
    await world.as(one).send('node.leave', {});
    await world.as(two).send('node.drain', {});
    expect([leadersOf('t'), moving()]).toEqual([[[2, 1]], [undefined]]);
  });
});

describe('what survives', () => {
  test('a restart: nodes with their states, leaders, epochs and moves, equal in a snapshot (I20)', async () => {
    const one = await serving(1);
    await serving(2);
    await world.as(one).send('topics.create', {
      requests: [topicRequest('t', { partitionCount: 4 })],
      validateOnly: false,
    });
    const topicId = world.metadata.topicByName('t')?.id ?? '';
    await world.as(one).send('partitions.move', { moves: [{ topicId, index: 0, toNodeId: 2 }] });
    const before = [[...world.metadata.brokers()], [...world.metadata.topics()]];
    await world.journal.close();
    world = await openMetadata({ serves: false }, world);
    expect([[...world.metadata.brokers()], [...world.metadata.topics()]]).toEqual(before);
  });
});
