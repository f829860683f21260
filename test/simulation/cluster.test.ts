import { describe, expect, test } from '@jest/globals';
import { drawPlan, runSeed } from './cluster/run-seed.ts';

/** A few of the seeds that `npm run simulate` runs; those that once failed are in test/slow/pinned-seeds. */
const SEEDS = [2, 4, 9];
/** Short, so that all of them fit into seconds. */
const TROUBLE_MS = 12_000;

describe('several brokers, one bucket, under faults', () => {
  test.each(SEEDS)(
    'seed %i: nothing acknowledged is lost, nothing stands twice, and all of it heals',
    async (seed) => {
      const { violations, acknowledged } = await runSeed(seed, { ...drawPlan(seed), troubleMs: TROUBLE_MS });
      expect(violations).toEqual([]);
      expect(acknowledged).toBeGreaterThan(0);
    },
    120_000,
  );

  test('a seed replays its run event by event', async () => {
    const plan = { ...drawPlan(7), troubleMs: 5_000 };
    const first = await runSeed(7, plan);
    const again = await runSeed(7, plan);
    expect(again.fingerprint).toBe(first.fingerprint);
  }, 120_000);
});
