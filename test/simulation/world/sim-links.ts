import type { SimClock } from './sim-clock.ts';
import type { SimRandom } from './sim-random.ts';

/** Stands for every host in the faults of a link. */
export const EVERYBODY = '*';

export interface DelayRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * The ways between hosts, each direction for itself. What cannot pass is not lost to a stream: TCP sends it again
 * when the way is open. A host reaches itself always.
 */
export class SimLinks {
  readonly #clock: SimClock;
  readonly #random: SimRandom;
  readonly #onOpened: () => void;
  readonly #blocked = new Set<string>();
  readonly #cloggedUntilMs = new Map<string, number>();
  readonly #delays = new Map<string, DelayRange>();
  readonly #down = new Set<string>();
  readonly #frozen = new Set<string>();
  /** Of links that have no delay of their own. */
  delay: DelayRange = { minMs: 0, maxMs: 2 };

  constructor(clock: SimClock, random: SimRandom, onOpened: () => void) {
    this.#clock = clock;
    this.#random = random;
    this.#onOpened = onOpened;
  }

  passes(from: string, to: string): boolean {
    if (this.#down.has(from) || this.#down.has(to) || this.#frozen.has(to)) return false;
    if (from === to) return true;
    const nowMs = this.#clock.monotonicMs();
    return !keysOf(from, to).some(
      (key) => this.#blocked.has(key) || (this.#cloggedUntilMs.get(key) ?? 0) > nowMs,
    );
  }

  delayMs(from: string, to: string): number {
    const own = keysOf(from, to).find((key) => this.#delays.has(key));
    const { minMs, maxMs } = (own === undefined ? undefined : this.#delays.get(own)) ?? this.delay;
    return minMs + this.#random.below(Math.round(1000 * (maxMs - minMs)) + 1) / 1000;
  }

  setDelay(from: string, to: string, range: DelayRange): void {
    this.#delays.set(`${from}>${to}`, range);
  }

  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  unblock(from: string, to: string): void {
    if (this.#blocked.delete(`${from}>${to}`)) this.#onOpened();
  }

  clog(from: string, to: string, forMs: number): void {
    const key = `${from}>${to}`;
    const untilMs = this.#clock.monotonicMs() + forMs;
    this.#cloggedUntilMs.set(key, Math.max(untilMs, this.#cloggedUntilMs.get(key) ?? 0));
    this.#clock.timer(forMs, this.#onOpened);
  }

  /** Takes back blocks, clogs and delays of links. */
  healAll(): void {
    this.#blocked.clear();
    this.#cloggedUntilMs.clear();
    this.#delays.clear();
    this.#onOpened();
  }

  /** The machine is off: nothing reaches it and nothing comes from it. */
  takeDown(host: string): void {
    this.#down.add(host);
  }

  /** Its process stands still: what it has sent goes on its way, what comes waits in its system. */
  freeze(host: string): void {
    this.#frozen.add(host);
  }

  thaw(host: string): void {
    if (this.#frozen.delete(host)) this.#onOpened();
  }

  bringUp(host: string): void {
    if (this.#down.delete(host)) this.#onOpened();
  }
}

function keysOf(from: string, to: string): readonly string[] {
  return [`${from}>${to}`, `${from}>${EVERYBODY}`, `${EVERYBODY}>${to}`];
}
