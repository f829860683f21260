import { MillraceError } from '../base/errors.ts';

export interface ElectionOptions {
  /** Where brokers reach this process when it is the controller. */
  readonly host: string;
  readonly port: number;
  /**
   * An identity that survives a restart in place and that no two processes have at a time, such as the id of a data
   * folder: the caller holds an exclusive lock on it. So a lease in this name is that of a process which is gone
   * for certain, and is taken over without waiting.
   */
  readonly ownerId?: string;
  /** The cluster, once its log was read: a lease of another is refused. */
  readonly clusterId?: () => string | undefined;
  /** Highest writer epoch this process saw in the log: a term's epoch is above it, so both can be compared. */
  readonly epochSeen?: () => number;
  /** How long an unchanged lease keeps others away. It is renewed three times as often. */
  readonly ttlMs?: number;
  /**
   * The holder stops so long before: covers the drift of two clocks (1 % of the ttl each, protocol 2.4) and the way
   * from asking whether the term is valid to acting on it.
   */
  readonly marginMs?: number;
  /** How often a follower looks at the lease. Each look is a request that is paid for. */
  readonly pollMs?: number;
  /** A candidate waits up to this before it takes an expired lease, so that not all try at once. */
  readonly candidateDelayMs?: number;
  /** The election ended for good: no permission, or a lease that cannot be read. The process must stop. */
  readonly onFailed?: (error: Error) => void;
}

export interface ElectionTiming {
  readonly ttlMs: number;
  readonly marginMs: number;
  readonly renewMs: number;
  readonly pollMs: number;
  readonly candidateDelayMs: number;
}

/** The timing options contradict each other. */
export class ElectionOptionsError extends MillraceError {
  readonly code = 'ELECTION_OPTIONS';
}

/** @throws {ElectionOptionsError} */
export function timingOf(options: ElectionOptions): ElectionTiming {
  const ttlMs = options.ttlMs ?? 3_000;
  const timing = {
    ttlMs,
    marginMs: options.marginMs ?? Math.ceil(ttlMs / 6),
    renewMs: Math.floor(ttlMs / 3),
    pollMs: options.pollMs ?? Math.ceil(ttlMs / 2),
    candidateDelayMs: options.candidateDelayMs ?? Math.ceil(ttlMs / 10),
  };
  const { marginMs, renewMs, pollMs, candidateDelayMs } = timing;
  const areWhole = [ttlMs, marginMs, pollMs, candidateDelayMs].every(
    (ms) => Number.isSafeInteger(ms) && ms >= 0,
  );
  // Two renewals must fit into what is left of the ttl, or one slow answer ends the term.
  if (!areWhole || ttlMs > 600_000 || pollMs < 1 || 2 * renewMs > ttlMs - marginMs || marginMs * 50 < ttlMs) {
    throw new ElectionOptionsError(
      `the election cannot run with ttlMs ${ttlMs}, marginMs ${marginMs}, pollMs ${pollMs}, candidateDelayMs ` +
        `${candidateDelayMs}: allowed are whole milliseconds, a ttl up to 600000, a margin from a fiftieth to a third ` +
        `of it, and a poll of at least 1; leave out what need not differ from the default`,
    );
  }
  return timing;
}
