import { describe, expect, test } from '@jest/globals';
import { Controller } from '../../broker-runtime/src/controller/controller.ts';
import type { NodeRef } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { staticSettings } from '../../broker-runtime/src/metadata/static-settings.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';

const SESSION_MS = 2_000;

async function controllerOf(
  env: SimEnv,
  isLeading: () => boolean,
  stepAside?: (reason: Error) => void,
  objects = new MemoryObjectStore(env.clock),
): Promise<Controller> {
  return env.clock.run(
    Controller.open(env, objects, {
      nodeId: 1,
      staticSettings: staticSettings(1, {}),
      sessionTimeoutMs: SESSION_MS,
      minimumEpoch: 1,
      isLeading,
      signal: new AbortController().signal,
      onEnded: (error) => {
        throw error;
      },
      stepAside,
    }),
  );
}

async function register(env: SimEnv, controller: Controller, nodeId: number): Promise<NodeRef> {
  const registration = {
    nodeId,
    incarnationId: env.random.uuid(),
    walKind: 'block-shared',
    zone: 'a',
  } as const;
  const sender = { nodeId, nodeEpoch: 0 };
  const { result } = await env.clock.run(controller.command('node.register', registration, sender));
  return { nodeId, nodeEpoch: result.nodeEpoch };
}

describe('failure class: a controller takes its own standstill for the silence of all others', () => {
  test('while it cannot prove that it leads it declares nobody dead, and afterwards all have a whole session', async () => {
    const env = simEnv(2);
    let isLeading = true;
    const controller = await controllerOf(env, () => isLeading);
    const nodes = [await register(env, controller, 2), await register(env, controller, 3)];
    for (const node of nodes) expect(controller.heartbeat(node)).toBe(true);
    // Nobody is answered: the lease ran out, or the process was stopped.
    isLeading = false;
    await env.clock.advance(10 * SESSION_MS);
    isLeading = true;
    await env.clock.advance(SESSION_MS / 2);
    const [first = { nodeId: 2, nodeEpoch: 0 }, second = { nodeId: 3, nodeEpoch: 0 }] = nodes;
    expect(controller.heartbeat(first)).toBe(true);
    // The one that stays silent from now on is found, as ever.
    await env.clock.advance(0.9 * SESSION_MS);
    expect(controller.heartbeat(first)).toBe(true);
    expect(controller.heartbeat(second)).toBe(false);
    await env.clock.run(controller.close());
  });
});

describe('a node that registers long after the term began', () => {
  test('is heard of by its registration: it is not declared dead before its first heartbeat is due', async () => {
    const env = simEnv(1);
    const controller = await controllerOf(env, () => true);
    await env.clock.advance(10 * SESSION_MS);
    const node = await register(env, controller, 2);
    await env.clock.advance(SESSION_MS / 2);
    expect(controller.heartbeat(node)).toBe(true);
    await env.clock.advance(2 * SESSION_MS);
    expect(controller.heartbeat(node)).toBe(false);
    await env.clock.run(controller.close());
  });
});

describe('a controller that needed long to open the log, because the store is slow', () => {
  test('waits for the first word of each node for one session more, not for as long as it needed itself', async () => {
    const env = simEnv(3);
    const bucket = new SimBucket();
    const before = await controllerOf(env, () => true, undefined, new MemoryObjectStore(env.clock, bucket));
    const node = await register(env, before, 2);
    await env.clock.run(before.close());
    const slow = new MemoryObjectStore(env.clock, bucket);
    slow.delayMs = () => 2 * SESSION_MS;
    const begunMs = env.clock.monotonicMs();
    const controller = await controllerOf(env, () => true, undefined, slow);
    expect(env.clock.monotonicMs() - begunMs).toBeGreaterThan(4 * SESSION_MS);
    slow.delayMs = undefined;
    const declared = (): boolean => env.events.named('controller.node-fenced').length > 0;
    await env.clock.advance(1.9 * SESSION_MS);
    expect(declared()).toBe(false);
    await env.clock.advance(0.4 * SESSION_MS);
    expect(declared()).toBe(true);
    expect(controller.heartbeat(node)).toBe(false);
    await env.clock.run(controller.close());
  });
});

describe('failure class: a controller that is cut off declares the whole cluster dead', () => {
  const NODES = [1, 2, 3, 4, 5, 6];
  const INTERVAL_MS = SESSION_MS / 6;

  /** Nodes send their heartbeats one after the other; those in `dead` stop after a few rounds. Returns who was fenced. */
  async function outlive(
    dead: readonly number[],
    stepAside?: (reason: Error) => void,
  ): Promise<readonly number[]> {
    const env = simEnv(4);
    const controller = await controllerOf(env, () => true, stepAside);
    const nodes: NodeRef[] = [];
    for (const nodeId of NODES) nodes.push(await register(env, controller, nodeId));
    for (let round = 0; round < 14; round++) {
      for (const node of nodes) {
        if (round < 4 || !dead.includes(node.nodeId)) controller.heartbeat(node);
        await env.clock.advance(INTERVAL_MS / NODES.length);
      }
    }
    const fenced = nodes.filter((node) => !controller.heartbeat(node)).map(({ nodeId }) => nodeId);
    await env.clock.run(controller.close());
    return fenced;
  }

  test('it hears of a minority only: it steps aside, and nobody is declared dead', async () => {
    const reasons: Error[] = [];
    expect(await outlive([3, 4, 5, 6], (reason) => reasons.push(reason))).toEqual([]);
    expect(reasons[0]).toMatchObject({ code: 'UNHEARD' });
  });

  test('half of the nodes, such as a zone and a broker more, are declared dead by the other half', async () => {
    const reasons: Error[] = [];
    expect(await outlive([1, 2, 3], (reason) => reasons.push(reason))).toEqual([1, 2, 3]);
    expect(reasons).toEqual([]);
  });

  test('it stepped aside before: whoever is silent is dead', async () => {
    expect(await outlive([2, 3, 4, 5, 6])).toEqual([2, 3, 4, 5, 6]);
  });
});
