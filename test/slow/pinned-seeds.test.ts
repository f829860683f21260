import { describe, expect, test } from '@jest/globals';
import { drawPlan, runSeed } from '../simulation/cluster/run-seed.ts';

/** Seeds of `npm run simulate` that failed, and what was wrong. Whole runs: together they take a minute. */
const PINNED: readonly (readonly [seed: number, failureClass: string])[] = [
  [109, 'a node that was cut off from the bucket and the controller went on answering (I8)'],
  [172, 'a broker that had not heard of a topic yet told who deleted it that there is none (I38)'],
  [177, 'a broker that had not heard of a topic yet told who deleted it that there is none (I38), once more'],
  [174, 'a partition that was closing already counted as closed, and its stream was let go of (I5)'],
  [308, 'a topic that came together with its first move was never moved, and nobody served it (I37)'],
  [968, 'a node that had lost its volume and the bucket answered readers until its watch noticed (I8)'],
  [1626, 'a fenced node took what its successor had written for something it had lost (I5)'],
  [1773, 'a move that was called off left the coordinator on a log that was closed for it (I37)'],
];

describe('a seed of the simulation that once failed', () => {
  test.each(PINNED)('seed %i, failure class: %s', async (seed) => {
    const { violations, acknowledged } = await runSeed(seed, drawPlan(seed));
    expect(violations).toEqual([]);
    expect(acknowledged).toBeGreaterThan(0);
  });
});
