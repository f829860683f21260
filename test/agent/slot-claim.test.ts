import { expect, test } from '@jest/globals';
import { claimSlot, releaseSlot } from '../../broker-runtime/src/agent/slot-claim.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

const isRunning = (): Promise<boolean> => Promise.resolve(true);
const claim = (store: MemoryObjectStore, env: ReturnType<typeof simEnv>, instanceId: string) =>
  env.clock.run(claimSlot(store, env, { nodeIds: [1], instanceId, isRunning, patienceMs: 0 }));

test('a slot is released although the answer to it was lost', async () => {
  const env = simEnv(1);
  const store = new MemoryObjectStore(env.clock);
  await claim(store, env, 'i-1');
  store.failNext('put', { kind: 'lose-answer' });
  await env.clock.run(releaseSlot(store, env, 1, 'i-1'));
  expect(await claim(store, env, 'i-2')).toBe(1);
});

test('unsaid-failure: a slot that could not be released is not said to be', async () => {
  const env = simEnv(1);
  const store = new MemoryObjectStore(env.clock);
  await claim(store, env, 'i-1');
  store.faults = (operation) => (operation === 'put' ? { kind: 'fail' } : undefined);
  await env.clock.run(releaseSlot(store, env, 1, 'i-1'));
  expect(env.events.all.map(({ name }) => name)).toContain('agent.slot-not-released');
  expect(env.events.all.map(({ name }) => name)).not.toContain('agent.slot-released');
});
