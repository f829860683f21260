import { describe, expect, test } from '@jest/globals';
import { CANARIES } from '../simulation/cluster/canaries.ts';
import { hunt } from '../simulation/cluster/hunt.ts';

/** A canary that lives longer shows that the simulation has become blind. */
const MAX_SEEDS = 8;
const FIRST_SEED = 1;

describe('broken variants of the protocol are noticed (protocol 3.1)', () => {
  test.each(CANARIES.map((canary) => [canary.row, canary.what, canary] as const))(
    '%s: %s',
    async (_row, _what, canary) => {
      const { seed } = await hunt(canary, canary.firstSeed ?? FIRST_SEED, MAX_SEEDS);
      expect(seed).toBeDefined();
    },
    600_000,
  );
});
