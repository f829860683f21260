import type { Clock } from '../ports/clock.ts';
import type { ServerOptions } from './options.ts';

/** How many connections may be open, in all and by address, and how fast new ones may come. */
export class AcceptLimits {
  readonly #options: ServerOptions;
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, number>();
  #open = 0;
  #tokens: number;
  #refilledAtMs: number;

  constructor(options: ServerOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#tokens = options.connectionsPerSecondMax;
    this.#refilledAtMs = clock.monotonicMs();
  }

  /** Counts a connection in, or says which limit it would break. Every one counted in must be `release`d. */
  tryTake(address: string): 'total' | 'address' | 'rate' | undefined {
    const sameAddress = this.#byAddress.get(address) ?? 0;
    if (this.#open >= this.#options.connectionsMax) return 'total';
    if (sameAddress >= this.#options.connectionsPerAddressMax) return 'address';
    if (!this.#takeToken()) return 'rate';
    this.#open += 1;
    this.#byAddress.set(address, sameAddress + 1);
    return undefined;
  }

  release(address: string): void {
    this.#open -= 1;
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }

  #takeToken(): boolean {
    const { connectionsPerSecondMax } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    const gained = ((nowMs - this.#refilledAtMs) * connectionsPerSecondMax) / 1000;
    this.#tokens = Math.min(connectionsPerSecondMax, this.#tokens + gained);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
