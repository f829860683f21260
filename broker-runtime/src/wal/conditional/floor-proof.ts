import type { Clock, Moment } from '../../ports/clock.ts';

const DAY_MS = 86_400_000;
const TEN_MINUTES_MS = 600_000;
/** Wall and monotonic clock may differ by this since the last proof; more is a suspended machine or a set clock (R9). */
const CLOCK_TOLERANCE_MS = 1_000;

/** How long entries and snapshots live on after the floor passed them. */
export const DEFAULT_GRACE_PERIOD_MS = DAY_MS;

/**
 * When the slot behind our position was certainly not yet written and deleted again. A slot that was deleted is
 * free, so a writer could win it, and a reader could find a late landing in it (P4, M4). Deletion waits for the
 * grace period, so a proof that is young by a clock that did not jump needs no second look at the floor.
 *
 * The age counts from a look at the floor, or from the start of a successful append; never from the start of the
 * operation under way: a process that was idle for a day would trust a deleted slot.
 */
export class FloorProof {
  readonly #clock: Clock;
  readonly #trustedMs: number;
  #since: Moment = { monotonicMs: Number.NEGATIVE_INFINITY, wallMs: 0 };

  constructor(clock: Clock, gracePeriodMs: number) {
    this.#clock = clock;
    this.#trustedMs = Math.min(TEN_MINUTES_MS, gracePeriodMs / 144);
  }

  now(): Moment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** `since` was taken before the look or the append that proves it began. */
  renew(since: Moment): void {
    this.#since = since;
  }

  get isFresh(): boolean {
    const now = this.now();
    const passedMs = now.monotonicMs - this.#since.monotonicMs;
    const jumpedMs = Math.abs(now.wallMs - this.#since.wallMs - passedMs);
    return passedMs <= this.#trustedMs && jumpedMs <= CLOCK_TOLERANCE_MS;
  }
}
