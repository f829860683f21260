import type { StallSummary } from '../checker/stalls.ts';

/** The steps of a failover as the cluster itself timed them; null: not measured, or no failover. */
export interface FailoverTimes {
  readonly detectMs: number | null;
  readonly fenceMs: number | null;
  readonly replayMs: number | null;
  readonly commitMs: number | null;
  readonly reopenMs: number | null;
}

export const NO_FAILOVER: FailoverTimes = {
  detectMs: null,
  fenceMs: null,
  replayMs: null,
  commitMs: null,
  reopenMs: null,
};

/** The numbers a budget can limit. */
export interface Measured extends FailoverTimes {
  readonly acknowledged: number;
  /** Acknowledged and not read. */
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Everything else the checker found. */
  readonly otherAnomalies: number;
  readonly sendErrors: number;
  /** Pauses of the producers that touch the time from the fault to the end of healing; null: no load then. */
  readonly stallMs: StallSummary | null;
}
