/** A timer that can be called off. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** Both clocks read together: that they moved apart shows that one of them jumped (protocol 2.4). */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/**
 * Time, as the core may see it. Durations are measured on the monotonic clock only; the wall clock stamps
 * records (LogAppendTime, retention) and decides nothing about ownership (protocol 2.4).
 */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back; may have a fraction. Stops while a VM is suspended. */
  monotonicMs(): number;

  /** Milliseconds since 1970-01-01 UTC, an integer. May jump in either direction. */
  wallMs(): number;

  /** Runs `fire` once, no earlier than `delayMs` from now. Does not keep the process alive. */
  timer(delayMs: number, fire: () => void): Timer;

  /** Resolves no earlier than `delayMs` from now; rejects with the signal's reason when it is aborted first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;

  /** Runs `task` after the I/O events of this turn of the event loop were handled: the place to batch replies. */
  afterTurn(task: () => void): void;
}
