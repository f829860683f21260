import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Controller } from '../../broker-runtime/src/controller/controller.ts';
import type { NodeRef } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import type { PartitionRate } from '../../broker-runtime/src/metadata/node-load.ts';
import { staticSettings } from '../../broker-runtime/src/metadata/static-settings.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';

const SESSION_MS = 6_000;
const REPORT_MS = 5_000;
const MIB = 1024 ** 2;

/** Partitions 0 to 3 are led by node 1, 4 to 7 by node 2. */
const TOPIC = {
  name: 'busy',
  partitionCount: -1,
  replicationFactor: -1,
  assignments: Array.from({ length: 8 }, (_, partition) => ({
    partition,
    brokerIds: [partition < 4 ? 1 : 2],
  })),
  configs: [],
};

let env: SimEnv;
let controller: Controller;
let nodes: NodeRef[];
let topicId: string;

beforeEach(async () => {
  env = simEnv(1);
  await begin({});
});
afterEach(() => env.clock.run(controller.close()));

async function begin(settings: Record<string, string>): Promise<void> {
  controller = await env.clock.run(
    Controller.open(env, new MemoryObjectStore(env.clock), {
      nodeId: 1,
      staticSettings: staticSettings(1, settings),
      sessionTimeoutMs: SESSION_MS,
      minimumEpoch: 1,
      isLeading: () => true,
      signal: new AbortController().signal,
      onEnded: (error) => {
        throw error;
      },
    }),
  );
  nodes = [await join(1), await join(2)];
  const [sender = { nodeId: 1, nodeEpoch: 0 }] = nodes;
  const args = { requests: [TOPIC], validateOnly: false };
  const { result } = await env.clock.run(controller.command('topics.create', args, sender));
  const [answer] = result;
  topicId = answer?.topic?.id ?? '';
  // The rounds that two joins began end here: there is nothing to even out yet.
  await env.clock.advance(3_000);
}

async function join(nodeId: number): Promise<NodeRef> {
  const registration = {
    nodeId,
    incarnationId: env.random.uuid(),
    walKind: 'block-shared',
    zone: 'a',
  } as const;
  const { result } = await env.clock.run(
    controller.command('node.register', registration, { nodeId, nodeEpoch: 0 }),
  );
  const node = { nodeId, nodeEpoch: result.nodeEpoch };
  await env.clock.run(controller.command('node.serve', { host: 'b', port: nodeId }, node));
  return node;
}

/** Heartbeats for so long, which tell how many MiB/s producers send to each partition. */
async function live(forMs: number, mibPerS: readonly number[]): Promise<void> {
  const load = mibPerS.map((mib, index): PartitionRate => {
    return { topicId, index, bytesInPerS: mib * MIB, bytesOutPerS: 0, requestsPerS: 0 };
  });
  for (let passedMs = 0; passedMs < forMs; passedMs += REPORT_MS) {
    for (const node of nodes) expect(controller.heartbeat(node, load)).toBe(true);
    await env.clock.advance(REPORT_MS);
  }
}

/** Partitions by node, those on their way counted where they go. */
const led = (): number[] => controller.proposeBalance().nodes.map(({ partitions }) => partitions);

const LOAD_ROUND_MS = 35_000;
const ON_NODE_1 = [100, 100, 100, 100, 0, 0, 0, 0];

describe('a load that became uneven while nobody joined', () => {
  test('is evened out within half a minute and a report, and then nothing moves any more', async () => {
    await live(LOAD_ROUND_MS, ON_NODE_1);
    expect(led()).toEqual([2, 6]);
    await live(300_000, ON_NODE_1);
    expect(led()).toEqual([2, 6]);
    expect(controller.proposeBalance()).toMatchObject({ reason: null, moves: [] });
  });

  test.each([
    ['three hundredths of a core', [16, 0, 0, 0, 0, 0, 0, 0]],
    ['a quarter of the mean', [100, 100, 100, 100, 100, 100, 110, 0]],
    ['nothing at all', [0, 0, 0, 0, 0, 0, 0, 0]],
  ])('stays where it is when the difference will not be felt: %s', async (_, mibPerS) => {
    await live(120_000, mibPerS);
    expect(led()).toEqual([4, 4]);
    expect(controller.proposeBalance().reason).toBeNull();
  });

  test('a partition that was moved for its load stays for ten minutes, whatever the load does', async () => {
    await live(LOAD_ROUND_MS, ON_NODE_1);
    // The two that went are the last of their topic; now they are the only busy ones, both on node 2.
    const turned = [0, 0, 100, 100, 0, 0, 0, 0];
    const [first = { nodeId: 1, nodeEpoch: 0 }] = nodes;
    for (const index of [2, 3]) {
      await env.clock.run(controller.command('partition.release', { topicId, index, leaderEpoch: 0 }, first));
    }
    await live(540_000, turned);
    expect(led()).toEqual([2, 6]);
    await live(120_000, turned);
    expect(led()).toEqual([3, 5]);
  });

  test('is only shown when auto.leader.rebalance.enable is false', async () => {
    await env.clock.run(controller.close());
    await begin({ 'auto.leader.rebalance.enable': 'false' });
    await live(120_000, ON_NODE_1);
    expect(led()).toEqual([4, 4]);
    const { isEnabled, moves } = controller.proposeBalance();
    expect(isEnabled).toBe(false);
    // Two that are busy go, and two that are not come: so the counts stay alike.
    expect(moves).toHaveLength(4);
    const busy = moves.filter(({ weightMicros }) => weightMicros > 1_000);
    expect(busy).toMatchObject([
      { topic: 'busy', fromNodeId: 1, toNodeId: 2 },
      { topic: 'busy', fromNodeId: 1, toNodeId: 2 },
    ]);
  });
});
