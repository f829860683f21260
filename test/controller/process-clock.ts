import type { Clock, Timer } from '../../broker-runtime/src/ports/clock.ts';
import type { SimClock } from '../simulation/world/sim-clock.ts';

/**
 * The clock of one process in the simulated world: runs at a rate of its own, and stands for a process that may be
 * paused. While it is, its timers do not fire, but its clocks go on, as those of a stopped process do.
 */
export class ProcessClock implements Clock {
  readonly #world: SimClock;
  readonly #rate: number;
  #wallOffsetMs = 0;
  #resumed: Promise<void> | undefined;
  #isDead = false;

  constructor(world: SimClock, rate = 1) {
    this.#world = world;
    this.#rate = rate;
  }

  monotonicMs(): number {
    return this.#world.monotonicMs() * this.#rate;
  }

  wallMs(): number {
    const startMs = this.#world.wallMs() - this.#world.monotonicMs();
    return Math.floor(startMs + this.monotonicMs() + this.#wallOffsetMs);
  }

  timer(delayMs: number, fire: () => void): Timer {
    let isCancelled = false;
    const timer = this.#world.timer(delayMs / this.#rate, () => {
      void this.running().then(() => {
        if (!isCancelled && !this.#isDead) fire();
      });
    });
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason instanceof Error ? signal.reason : new Error(String(signal?.reason)));
      };
      const timer = this.timer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  afterTurn(task: () => void): void {
    this.#world.afterTurn(task);
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  get isPaused(): boolean {
    return this.#resumed !== undefined;
  }

  /** A second pause begins anew. */
  pause(forMs: number): void {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#resumed = promise;
    this.#world.timer(forMs, () => {
      if (this.#resumed === promise) this.#resumed = undefined;
      resolve(undefined);
    });
  }

  /** No timer of this process fires any more, and nothing it waits for arrives. */
  kill(): void {
    this.#isDead = true;
  }

  /** Resolves when the process runs; never when it is dead. */
  async running(): Promise<void> {
    while (this.#resumed !== undefined) await this.#resumed;
    if (this.#isDead) await new Promise<never>(() => undefined);
  }
}
