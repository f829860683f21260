import { messageOf, MillraceError } from '../base/errors.ts';
import type { Clock, Moment, Timer } from '../ports/clock.ts';
import type { ClockWatch } from './clock-watch.ts';

/**
 *   rejected    another process has the lease, or the object is gone
 *   expired     it could not be renewed in time
 *   superseded  the holder says that another process writes the log
 *   failed      the holder could not begin, or go on, to serve
 *   unheard     the holder hears of few nodes, and lets others lead
 *   stopped     this process stops
 */
export type TermEnd = 'rejected' | 'expired' | 'superseded' | 'failed' | 'unheard' | 'stopped';

/** This process is the controller no longer; what was under way may or may not be in the log. */
export class TermEndedError extends MillraceError {
  readonly code = 'TERM_ENDED';
  readonly why: TermEnd;

  constructor(why: TermEnd, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.why = why;
  }
}

/** The time from winning the lease to losing it, as the one who serves sees it. */
export interface Term {
  /** Of the lease; above every epoch this process had seen in lease and log. Open the journal with it at least. */
  readonly epoch: number;
  /** Aborted when the term ends; the reason is a {@link TermEndedError}. */
  readonly signal: AbortSignal;
  /** Whether the lease certainly keeps others away now. Ask before every answer, after the work for it is done (R5). */
  isValid(): boolean;
  /** The holder cannot go on; the lease is given back. */
  end(why: 'superseded' | 'failed' | 'unheard', cause: unknown): void;
}

/** A term that lives as long as it is renewed. Its age counts from the send of the last renewal (R8). */
export class LeaseTerm implements Term {
  readonly epoch: number;
  readonly ended: Promise<TermEndedError>;
  readonly #clock: Clock;
  readonly #watch: ClockWatch;
  #validMs: number;
  readonly #abort = new AbortController();
  readonly #resolveEnded: (error: TermEndedError) => void;
  #sentAt: Moment;
  #expiry: Timer;

  constructor(clock: Clock, watch: ClockWatch, epoch: number, validMs: number, sentAt: Moment) {
    this.#clock = clock;
    this.#watch = watch;
    this.epoch = epoch;
    this.#validMs = validMs;
    this.#sentAt = sentAt;
    const { promise, resolve } = Promise.withResolvers<TermEndedError>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#expiry = clock.timer(this.#leftMs(), () => this.#checkAge());
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  isValid(): boolean {
    return !this.signal.aborted && this.#leftMs() > 0 && this.#watch.trusts(this.#sentAt);
  }

  end(why: 'superseded' | 'failed' | 'unheard', cause: unknown): void {
    this.finish(new TermEndedError(why, `the controller cannot go on: ${messageOf(cause)}`, { cause }));
  }

  /**
   * A renewal sent then was certainly stored, and is good for so long: nobody else had the lease in between, however late
   * the answer is.
   */
  renewed(sentAt: Moment, validMs: number): void {
    this.#sentAt = sentAt;
    this.#validMs = validMs;
  }

  finish(error: TermEndedError): void {
    if (this.signal.aborted) return;
    this.#expiry.cancel();
    this.#abort.abort(error);
    this.#resolveEnded(error);
  }

  #leftMs(): number {
    return this.#sentAt.monotonicMs + this.#validMs - this.#clock.monotonicMs();
  }

  #checkAge(): void {
    const leftMs = this.#leftMs();
    if (leftMs > 0) {
      // Whole milliseconds: a rest too small to move the clock would be waited for again and again.
      this.#expiry = this.#clock.timer(Math.ceil(leftMs), () => this.#checkAge());
      return;
    }
    this.finish(
      new TermEndedError(
        'expired',
        `the lease could not be renewed for ${Math.round(this.#validMs - leftMs)} ms, at most ${this.#validMs} are ` +
          `allowed: the object store or this process was too slow`,
      ),
    );
  }
}
