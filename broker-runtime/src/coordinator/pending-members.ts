import type { Clock, Timer } from '../ports/clock.ts';

/**
 * Member ids that were handed out and not used to join yet (KIP-394). A group waits for their owners, so each is
 * taken back after the session timeout its owner asked for.
 */
export class PendingMembers {
  readonly #clock: Clock;
  readonly #onExpired: () => void;
  readonly #timers = new Map<string, Timer>();

  constructor(clock: Clock, onExpired: () => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  get size(): number {
    return this.#timers.size;
  }

  add(memberId: string, timeoutMs: number): void {
    const timer = this.#clock.timer(timeoutMs, () => {
      this.#timers.delete(memberId);
      this.#onExpired();
    });
    this.#timers.set(memberId, timer);
  }

  /** True when the id was pending; it is not any more. */
  take(memberId: string): boolean {
    this.#timers.get(memberId)?.cancel();
    return this.#timers.delete(memberId);
  }

  clear(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }
}
