import type { Clock } from '../ports/clock.ts';

/** What went through a partition since it was opened. Counted where it happens, read by whoever wants rates. */
export class Traffic {
  bytesIn = 0;
  bytesOut = 0;
  /** Batches appended, and reads that found something. */
  requests = 0;
}

export interface TrafficRate {
  readonly bytesInPerS: number;
  readonly bytesOutPerS: number;
  readonly requestsPerS: number;
}

/** Older traffic counts for 1/e after this: a burst of a second is no reason to move a partition. */
const SMOOTHING_MS = 15_000;

interface Sample {
  readonly atMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly requests: number;
  /** Undefined: seen once, which gives no rate yet. */
  readonly rate: TrafficRate | undefined;
}

/** Turns counters into rates, smoothed; forgets a partition with its counters. */
export class TrafficMeter {
  readonly #clock: Clock;
  readonly #samples = new WeakMap<Traffic, Sample>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Since the measurements before; undefined at the first one. */
  measure(traffic: Traffic): TrafficRate | undefined {
    const atMs = this.#clock.monotonicMs();
    const { bytesIn, bytesOut, requests } = traffic;
    const before = this.#samples.get(traffic);
    if (before !== undefined && atMs <= before.atMs) return before.rate;
    const rate = before === undefined ? undefined : smoothed(before, traffic, atMs - before.atMs);
    this.#samples.set(traffic, { atMs, bytesIn, bytesOut, requests, rate });
    return rate;
  }
}

/** The first interval counts in full: a partition that has just moved here is as busy as it was. */
function smoothed(before: Sample, now: Traffic, forMs: number): TrafficRate {
  const keep = before.rate === undefined ? 0 : Math.exp(-forMs / SMOOTHING_MS);
  const blend = (was: number | undefined, counted: number): number =>
    keep * (was ?? 0) + ((1 - keep) * counted * 1_000) / forMs;
  return {
    bytesInPerS: blend(before.rate?.bytesInPerS, now.bytesIn - before.bytesIn),
    bytesOutPerS: blend(before.rate?.bytesOutPerS, now.bytesOut - before.bytesOut),
    requestsPerS: blend(before.rate?.requestsPerS, now.requests - before.requests),
  };
}
