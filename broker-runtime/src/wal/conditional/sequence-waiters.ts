import { MillraceError } from '../../base/errors.ts';

/** More callers wait for a sequence than are allowed to; nothing was done, try later. */
export class TooManyWaitersError extends MillraceError {
  readonly code = 'TOO_MANY_WAITERS';
}

interface Waiter {
  readonly sequence: number;
  readonly settle: (error?: Error) => void;
}

/** Those who wait until a sequence is reached. */
export class SequenceWaiters {
  readonly #limit: number;
  readonly #waiters = new Set<Waiter>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves when {@link reached} is called with `sequence` or more; rejects with the signal's reason.
   * @throws {TooManyWaitersError} (rejects)
   */
  wait(sequence: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(reasonOf(signal));
    if (this.#waiters.size >= this.#limit) {
      return Promise.reject(
        new TooManyWaitersError(
          `entry ${sequence} cannot be waited for: ${this.#waiters.size} wait already, at most ${this.#limit} may; try later`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (signal !== undefined) waiter.settle(reasonOf(signal));
      };
      const waiter: Waiter = {
        sequence,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal?.removeEventListener('abort', onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  reached(sequence: number): void {
    for (const waiter of this.#waiters) if (waiter.sequence <= sequence) waiter.settle();
  }

  rejectAll(error: Error): void {
    for (const waiter of this.#waiters) waiter.settle(error);
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason));
}
