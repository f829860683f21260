import type { Clock, Moment, Timer } from '../ports/clock.ts';

const TICK_MS = 500;
/** A timer that fires this late shows that the process stood still: anything may have happened meanwhile (R9). */
const MAX_GAP_MS = 2_000;
/** More than this between wall and monotonic clock is a suspended machine, whose monotonic clock stopped, or a set clock. */
const MAX_JUMP_MS = 1_000;

/** Notices when the own clocks stopped being a measure of what happened outside (R9, trap in protocol 2.4). */
export class ClockWatch {
  readonly #clock: Clock;
  #last: Moment;
  #suspectSinceMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = this.now();
  }

  now(): Moment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  start(): void {
    this.#last = this.now();
    this.#timer ??= this.#clock.timer(TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Whether an age counted from `since` on the monotonic clock means something: nothing suspicious came after it. */
  trusts(since: Moment): boolean {
    return since.monotonicMs >= this.#suspectSinceMs && !this.#isSuspicious(this.now());
  }

  #tick(): void {
    const now = this.now();
    if (this.#isSuspicious(now)) this.#suspectSinceMs = now.monotonicMs;
    this.#last = now;
    this.#timer = this.#clock.timer(TICK_MS, () => this.#tick());
  }

  /** Also between ticks: after a standstill, whoever asks may run before the timer does. */
  #isSuspicious(now: Moment): boolean {
    const passedMs = now.monotonicMs - this.#last.monotonicMs;
    const jumpedMs = Math.abs(now.wallMs - this.#last.wallMs - passedMs);
    return passedMs > TICK_MS + MAX_GAP_MS || jumpedMs > MAX_JUMP_MS;
  }
}
