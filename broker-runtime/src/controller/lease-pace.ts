import type { ElectionTiming } from './election-options.ts';

/** Two renewals, one behind the other, fit into five sixths of this many answers (the margin is a sixth). */
const ANSWERS_PER_TTL = 3;
/** However slow the store is: a controller that dies then is missed for so many of its usual ttls. */
const TTL_MAX_FACTOR = 5;
/** What one fast answer takes away from what a slow one taught: after ten of them the ttl is as before. */
const FORGET_SHARE = 0.2;

/**
 * How long a lease lives: longer while the object store is slow, or no renewal would come in time and the cluster had no
 * controller although nobody is gone. It is in the lease's body, so candidates wait that long, too; safety rests on the
 * compare-and-swap and not on this.
 */
export class LeasePace {
  readonly #timing: ElectionTiming;
  #slowMs = 0;

  constructor(timing: ElectionTiming) {
    this.#timing = timing;
  }

  /** A request to the store took so long. */
  answered(tookMs: number): void {
    this.#slowMs = Math.max(tookMs, this.#slowMs * (1 - FORGET_SHARE));
  }

  /** For the next write of the lease. */
  get ttlMs(): number {
    const { ttlMs } = this.#timing;
    return Math.min(Math.max(ttlMs, Math.ceil(ANSWERS_PER_TTL * this.#slowMs)), TTL_MAX_FACTOR * ttlMs);
  }
}
