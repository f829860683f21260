import { describe, expect, test } from '@jest/globals';
import { drawPlan, runSeed } from './cluster/run-seed.ts';

/** Two brokers, a slow bucket and a slow disk: letting go of a partition takes long, and moves are called off meanwhile. */
function movingPlan(seed: number): ReturnType<typeof drawPlan> {
  return {
    ...drawPlan(seed),
    zones: ['zone-a', 'zone-a'],
    wal: 'block-shared',
    troubleMs: 20_000,
    kinds: ['move', 'move', 'disk-slow'],
    producerPauseMs: 60,
    storeDelayMs: [1, 250],
  };
}

/** A few for each move; a release that brings about the next one has thousands. */
const MAX_RELEASES = 60;

describe('a move that is called off while its leader lets go of the partition', () => {
  // Seed 1 opened the partition beside the one that was closing, and forgot its stream under the new one (I5, I14).
  test.each([1, 4])(
    'opens the partition again only when the release is over (seed %i)',
    async (seed) => {
      const { violations, events } = await runSeed(seed, movingPlan(seed));
      expect(violations).toEqual([]);
      expect(events.get('partition.released') ?? 0).toBeLessThan(MAX_RELEASES);
    },
    120_000,
  );
});
