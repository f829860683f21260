import { describe, expect, test } from '@jest/globals';
import type { ClusterWorld } from './cluster/cluster-world.ts';
import { startedWorld } from './cluster/started-world.ts';

const SESSION_MS = 2_000;
const LEASE_TTL_MS = 3_000;

const startCluster = (seed: number): Promise<ClusterWorld> =>
  startedWorld(seed, ['zone-a', 'zone-b', 'zone-c', 'zone-a', 'zone-b'], { sessionTimeoutMs: SESSION_MS });

function declaredDead(world: ClusterWorld): readonly string[] {
  const lines = world.events.lines.filter((line) => line.includes('controller.node-fenced'));
  return lines.map((line) => `node-${/"nodeId":(\d+)/.exec(line)?.[1] ?? '?'}`).sort();
}

describe('a controller that reaches the bucket and no other broker', () => {
  test.each([1, 2, 3])(
    'lets another one lead, which declares that one dead and nobody else (seed %i)',
    async (seed) => {
      const world = await startCluster(seed);
      const isolated = world.controllerHost();
      for (const { host } of world.machines) {
        if (isolated !== undefined && host !== isolated) world.network.partition(isolated, host);
      }
      // Its own session and the successor's, a succession, and some seconds of rest.
      await world.clock.advance(2 * SESSION_MS + 2 * LEASE_TTL_MS + 5_000);
      expect(world.controllerHost()).not.toBe(isolated);
      expect(declaredDead(world)).toEqual([isolated]);
      world.end();
      expect(world.violations).toEqual([]);
    },
    120_000,
  );

  test.each([1, 2])(
    'leads again when nobody else took the seat, because all others stand still, and declares them dead (seed %i)',
    async (seed) => {
      const world = await startCluster(seed);
      const last = world.controllerHost();
      const others = world.machines.filter(({ host }) => host !== last);
      for (const machine of others) world.pause(machine);
      await world.clock.advance(2 * SESSION_MS + 2 * LEASE_TTL_MS + 5_000);
      expect(world.events.counts.get('election.lost')).toBe(1);
      expect(world.controllerHost()).toBe(last);
      expect(declaredDead(world)).toEqual(others.map(({ host }) => host));
      world.end();
      expect(world.violations).toEqual([]);
    },
    120_000,
  );
});
