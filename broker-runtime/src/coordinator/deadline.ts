import type { Clock, Timer } from '../ports/clock.ts';

/**
 * A deadline that is pushed back far more often than it passes: a session lives from heartbeat to heartbeat. Pushing
 * back only notes the new moment; the running timer looks at it when it fires and sleeps on. Setting an earlier
 * moment replaces the timer.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #passed: () => void;
  #atMs = 0;
  #timer: Timer | undefined;
  #timerAtMs = 0;

  constructor(clock: Clock, passed: () => void) {
    this.#clock = clock;
    this.#passed = passed;
  }

  get isSet(): boolean {
    return this.#timer !== undefined;
  }

  /** Calls `passed` once `delayMs` from now, instead of whenever it was set for before. */
  set(delayMs: number): void {
    this.#atMs = this.#clock.monotonicMs() + delayMs;
    if (this.#timer === undefined || this.#timerAtMs > this.#atMs) this.#arm();
  }

  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timerAtMs = this.#atMs;
    this.#timer = this.#clock.timer(Math.max(0, this.#atMs - this.#clock.monotonicMs()), () => {
      this.#timer = undefined;
      if (this.#clock.monotonicMs() < this.#atMs) this.#arm();
      else this.#passed();
    });
  }
}
