import type { Canary } from './canaries.ts';
import { runSeed } from './run-seed.ts';

export interface Hunt {
  /** Undefined: not caught within the seeds. */
  readonly seed: number | undefined;
  readonly seeds: number;
  readonly violation: string;
}

/** Runs seed after seed with the canary until one of its invariants is reported broken. */
export async function hunt(canary: Canary, firstSeed: number, maxSeeds: number): Promise<Hunt> {
  for (let n = 0; n < maxSeeds; n++) {
    const seed = firstSeed + n;
    const { parts, undo } = canary.sabotage();
    try {
      const { violations } = await runSeed(seed, canary.plan(seed), parts);
      const violation = violations.find((text) => canary.caughtBy.test(text));
      if (violation !== undefined) return { seed, seeds: n + 1, violation };
    } finally {
      undo();
    }
  }
  return { seed: undefined, seeds: maxSeeds, violation: '' };
}
