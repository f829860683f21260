import { describe, expect, test } from '@jest/globals';
import { drawPlan, runSeed } from './cluster/run-seed.ts';

/** A few of the seeds that `npm run simulate` runs; `.ci/run` runs many more. */
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

  test('failure class: a node that was cut off from the bucket and the controller went on answering (I8, seed 109)', async () => {
    const { violations } = await runSeed(109, drawPlan(109));
    expect(violations).toEqual([]);
  }, 120_000);

  test('failure class: a topic that came together with its first move was never moved, and nobody served it (I37, seed 308)', async () => {
    const { violations } = await runSeed(308, drawPlan(308));
    expect(violations).toEqual([]);
  }, 120_000);

  test('failure class: a partition that was closing already counted as closed, and its stream was let go of (I5, seed 174)', async () => {
    const { violations } = await runSeed(174, drawPlan(174));
    expect(violations).toEqual([]);
  }, 120_000);

  test('failure class: a node that had lost its volume and the bucket answered readers until its watch noticed (I8, seed 968)', async () => {
    const { violations } = await runSeed(968, drawPlan(968));
    expect(violations).toEqual([]);
  }, 120_000);

  test('failure class: a fenced node took what its successor had written for something it had lost (I5, seed 1626)', async () => {
    const { violations } = await runSeed(1626, drawPlan(1626));
    expect(violations).toEqual([]);
  }, 120_000);

  test('failure class: a move that was called off left the coordinator on a log that was closed for it (I37, seed 1773)', async () => {
    const { violations } = await runSeed(1773, drawPlan(1773));
    expect(violations).toEqual([]);
  }, 120_000);

  test.each([172, 177])(
    'failure class: a broker that had not heard of a topic yet told who deleted it that there is none (I38, seed %i)',
    async (seed) => {
      const { violations } = await runSeed(seed, drawPlan(seed));
      expect(violations).toEqual([]);
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
