/** Longest pauses between repeats: the first, and the one it grows to. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Milliseconds to pause before the n-th repeat (from 0): doubling between the limits, half of it random, so that many
 * who failed together do not come back together.
 */
export function backoffMs(
  repeat: number,
  { firstMs, maxMs }: BackoffLimits,
  random: { below(bound: number): number },
): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(repeat, 30));
  return fullMs / 2 + random.below(Math.ceil(fullMs / 2) + 1);
}
