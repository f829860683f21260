import { describe, expect, test } from '@jest/globals';
import { ClusterWorld } from './cluster/cluster-world.ts';
import { drawPlan } from './cluster/run-seed.ts';

const START_MS = 30_000;

async function startCluster(seed: number): Promise<ClusterWorld> {
  const plan = { ...drawPlan(seed), zones: ['zone-a', 'zone-a', 'zone-a'], wal: 'block-shared' } as const;
  const world = new ClusterWorld(seed, plan);
  for (const machine of world.machines) world.start(machine);
  const started = async (): Promise<void> => {
    while (world.machines.some(({ process }) => process?.broker === undefined)) await world.clock.sleep(10);
  };
  await world.clock.run(started(), START_MS);
  return world;
}

describe('an orderly stop', () => {
  test.each([1, 2])(
    'is no failure: who leaves is not told that it was declared dead, and gives its lease back (seed %i)',
    async (seed) => {
      const world = await startCluster(seed);
      for (const machine of world.machines) {
        const isController = world.controllerHost() === machine.host;
        await world.clock.run(world.stop(machine));
        if (isController) {
          const lease = world.bucket.objects.get('lease/controller')?.body ?? new Uint8Array(0);
          expect(Buffer.from(lease).toString('latin1')).toContain('"released":true');
        }
      }
      expect(world.events.lines.filter((line) => line.includes('process.ended'))).toEqual([]);
      expect([...world.observer.metadata.brokers.values()].map(({ state }) => state)).toEqual([
        'clean',
        'clean',
        'clean',
      ]);
      world.end();
    },
    120_000,
  );
});
