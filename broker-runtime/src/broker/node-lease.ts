import type { Clock } from '../ports/clock.ts';

/** Of the session: what two clocks may drift apart in it (1 %), and the controller's answer may take, many times over. */
const MARGIN_SHARE = 0.1;
/** Wall and monotonic clock moved differently by more: the machine was suspended, or somebody set the clock (R9). */
const CLOCK_JUMP_MS = 1_000;

/**
 * How long this node may act as if it were not declared dead (protocol 3.4). The lease counts from the moment a
 * heartbeat was sent that the controller answered (R8): the controller heard it later, so it counts longer than we do.
 */
export class NodeLease {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  #sentMonotonicMs = Number.NEGATIVE_INFINITY;
  #sentWallMs = 0;
  #renewal = Promise.withResolvers<void>();
  #ended: Error | undefined;

  constructor(clock: Clock, sessionTimeoutMs: number) {
    this.#clock = clock;
    this.#ttlMs = sessionTimeoutMs * (1 - MARGIN_SHARE);
    this.#renewal.promise.catch(() => undefined);
  }

  /** Taken right before a heartbeat is sent. */
  moment(): LeaseMoment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** The heartbeat sent at `moment` was answered by the newest controller. */
  renew({ monotonicMs, wallMs }: LeaseMoment): void {
    if (this.#ended !== undefined || monotonicMs < this.#sentMonotonicMs) return;
    this.#sentMonotonicMs = monotonicMs;
    this.#sentWallMs = wallMs;
    const renewed = this.#renewal;
    this.#renewal = Promise.withResolvers();
    this.#renewal.promise.catch(() => undefined);
    renewed.resolve();
  }

  /** This life of the node is over. */
  end(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#renewal.reject(reason);
  }

  isValid(): boolean {
    if (this.#ended !== undefined) return false;
    const passedMs = this.#clock.monotonicMs() - this.#sentMonotonicMs;
    const jumpedMs = Math.abs(this.#clock.wallMs() - this.#sentWallMs - passedMs);
    return passedMs < this.#ttlMs && jumpedMs <= CLOCK_JUMP_MS;
  }

  /**
   * The proof a write needs before it is acknowledged: true now, or a promise of the next renewal, after which to ask
   * again; it rejects when this life of the node is over.
   */
  proof(): true | Promise<void> {
    return this.isValid() ? true : this.#renewal.promise;
  }
}

export interface LeaseMoment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}
