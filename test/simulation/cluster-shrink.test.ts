import { describe, expect, test } from '@jest/globals';
import { CANARIES } from './cluster/canaries.ts';
import { drawPlan, runSeed, type SeedPlan, type SeedResult } from './cluster/run-seed.ts';
import {
  argumentsOf,
  kindOfViolation,
  reduced,
  type Reduction,
  reductionOf,
  shrink,
} from './cluster/shrink.ts';

const SEED = 5;
/** So that it takes seconds. */
const MAX_RUNS = 24;

/** Data objects deleted by age: broken whatever the faults are. */
const canary = CANARIES.find(({ row }) => row === 'G1');

async function runBroken(plan: SeedPlan): Promise<SeedResult> {
  if (canary === undefined) throw new Error('there is a canary G1');
  const { parts, undo } = canary.sabotage();
  try {
    return await runSeed(SEED, plan, parts);
  } finally {
    undo();
  }
}

/** As a shell gives them back. */
function parsed(args: readonly string[]): Reduction {
  return reductionOf((name) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : args[at + 1];
  });
}

describe('a failing seed is made smaller', () => {
  test('what the canary G1 breaks is broken with less, and the printed arguments replay just that run', async () => {
    const plan: SeedPlan = {
      ...drawPlan(SEED),
      zones: ['zone-a', 'zone-a', 'zone-a'],
      kinds: ['store-unsure', 'kill', 'clog', 'clock-jump'],
      troubleMs: 6_000,
      topics: [
        { name: 'a', partitions: 2, producers: 1 },
        { name: 'b', partitions: 1, producers: 1 },
      ],
      groups: 1,
      churners: 1,
    };
    const failed = await runBroken(plan);
    const kind = kindOfViolation(failed.violations[0] ?? '');
    expect(kind).toMatch(/^I2[34]$/);

    const { reduction, result } = await shrink(plan, failed, runBroken, MAX_RUNS);
    expect(kindOfViolation(result.violations[0] ?? '')).toBe(kind);
    const small = reduced(plan, reduction);
    expect(small.kinds.length).toBeLessThan(plan.kinds.length);
    expect(small.zones.length).toBeLessThan(plan.zones.length);
    expect(small.topics.length + small.groups + small.churners).toBeLessThan(4);
    expect(small.troubleMs).toBeLessThan(plan.troubleMs);

    const args = argumentsOf(reduction);
    expect(parsed(args)).toEqual(reduction);
    const again = await runBroken(reduced(plan, parsed(args)));
    expect(again.fingerprint).toBe(result.fingerprint);
    expect(again.violations).toEqual(result.violations);
  }, 120_000);

  test('a smaller run that breaks something else is not taken', async () => {
    const plan = { ...drawPlan(SEED), kinds: ['kill', 'pause'] as const };
    const failed = { ...EMPTY, violations: ['10 ms: I1: lost'] };
    const { reduction } = await shrink(plan, failed, async ({ kinds }) => ({
      ...EMPTY,
      violations: kinds.includes('pause') ? ['7 ms: I1: lost'] : ['7 ms: I8: went back'],
    }));
    expect(reduction).toMatchObject({ faults: ['pause'], troubleMs: expect.any(Number) });
  });

  test('arguments that name no fault are refused', () => {
    expect(parsed(['--faults', 'none'])).toEqual({ faults: [] });
    expect(() => parsed(['--faults', 'kill,rain'])).toThrow(/no fault is called rain/);
    expect(() => parsed(['--brokers', 'two'])).toThrow(/no number/);
  });
});

const EMPTY: SeedResult = {
  seed: SEED,
  violations: [],
  hits: new Map(),
  events: new Map(),
  lines: [],
  fingerprint: '',
  simulatedMs: 0,
  acknowledged: 0,
  read: 0,
  entries: 0,
};
