import { describe, expect, test } from '@jest/globals';
import { ANOMALIES } from '../../../drills/checker/anomalies.ts';
import { checkHistory } from '../../../drills/checker/check.ts';
import { SimRandom } from '../../simulation/world/sim-random.ts';
import { GoodHistory } from './good-history.ts';
import { MUTATIONS } from './mutations.ts';

/** `MILLRACE_SEED=7 npx jest test/drills/checker` runs one seed again. */
const ONLY_SEED = process.env['MILLRACE_SEED'];
const SEEDS = ONLY_SEED === undefined ? Array.from({ length: 10 }, (_, n) => n + 1) : [Number(ONLY_SEED)];
const OPTIONS = { stuckAfterMs: 1_000 };

/** A checker is worth what it accepts of a correct cluster, and what it catches of a broken one. */
describe('the history checker', () => {
  const good = new Map(SEEDS.map((seed) => [seed, new GoodHistory(seed).operations]));

  test.each(SEEDS)('accepts what a correct cluster shows (seed %d)', async (seed) => {
    const verdict = await checkHistory(good.get(seed) ?? [], OPTIONS);
    expect(verdict.evidence).toEqual([]);
    expect(verdict.isClean).toBe(true);
    expect(verdict.acknowledged).toBeGreaterThan(100);
    expect(verdict.recovered).toBeGreaterThan(0);
  });

  test.each(MUTATIONS)('catches: $name ($expected)', async ({ expected, apply }) => {
    for (const seed of SEEDS) {
      const mutant = apply(good.get(seed) ?? [], new SimRandom(seed));
      const { counts, evidence, isClean } = await checkHistory(mutant, OPTIONS);
      expect({ seed, counts, isCaught: !isClean && (counts[expected] ?? 0) > 0 }).toMatchObject({
        isCaught: true,
      });
      const [first] = evidence.filter(({ kind }) => kind === expected);
      expect(first?.what).toMatch(/\d/);
      expect(first?.offsets.length).toBeGreaterThan(0);
    }
  });

  test('every anomaly it knows is provoked by a mutation', () => {
    expect(new Set(MUTATIONS.map(({ expected }) => expected))).toEqual(new Set(Object.keys(ANOMALIES)));
    if (ONLY_SEED === undefined) expect(MUTATIONS.length * SEEDS.length).toBeGreaterThanOrEqual(200);
  });
});
