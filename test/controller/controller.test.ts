import { describe, expect, test } from '@jest/globals';
import { Controller } from '../../broker-runtime/src/controller/controller.ts';
import type { NodeRef } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { staticSettings } from '../../broker-runtime/src/metadata/static-settings.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';

const SESSION_MS = 2_000;

async function controllerOf(env: SimEnv, isLeading: () => boolean): Promise<Controller> {
  return env.clock.run(
    Controller.open(env, new MemoryObjectStore(env.clock), {
      nodeId: 1,
      staticSettings: staticSettings(1, {}),
      sessionTimeoutMs: SESSION_MS,
      minimumEpoch: 1,
      isLeading,
      signal: new AbortController().signal,
      onEnded: (error) => {
        throw error;
      },
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
