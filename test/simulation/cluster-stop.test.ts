import { describe, expect, test } from '@jest/globals';
import { startedWorld } from './cluster/started-world.ts';

describe('an orderly stop', () => {
  test.each([1, 2])(
    'is no failure: who leaves is not told that it was declared dead, and gives its lease back (seed %i)',
    async (seed) => {
      const world = await startedWorld(seed, ['zone-a', 'zone-a', 'zone-a']);
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
