import { describe, expect, test } from '@jest/globals';
import { Controller } from '../../broker-runtime/src/controller/controller.ts';
import { staticSettings } from '../../broker-runtime/src/metadata/static-settings.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

const SESSION_MS = 2_000;

describe('a node that registers long after the term began', () => {
  test('is heard of by its registration: it is not declared dead before its first heartbeat is due', async () => {
    const env = simEnv(1);
    const controller = await env.clock.run(
      Controller.open(env, new MemoryObjectStore(env.clock), {
        nodeId: 1,
        staticSettings: staticSettings(1, {}),
        sessionTimeoutMs: SESSION_MS,
        minimumEpoch: 1,
        signal: new AbortController().signal,
        onEnded: (error) => {
          throw error;
        },
      }),
    );
    await env.clock.advance(10 * SESSION_MS);
    const registration = {
      nodeId: 2,
      incarnationId: env.random.uuid(),
      walKind: 'block-shared',
      zone: 'a',
    } as const;
    const sender = { nodeId: 2, nodeEpoch: 0 };
    const { result } = await env.clock.run(controller.command('node.register', registration, sender));
    const node = { nodeId: 2, nodeEpoch: result.nodeEpoch };
    await env.clock.advance(SESSION_MS / 2);
    expect(controller.heartbeat(node)).toBe(true);
    await env.clock.advance(2 * SESSION_MS);
    expect(controller.heartbeat(node)).toBe(false);
    await env.clock.run(controller.close());
  });
});
