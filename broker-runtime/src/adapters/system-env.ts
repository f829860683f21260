import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import type { Random } from '../ports/random.ts';
import { LineEvents } from './line-events.ts';
import type { LineEventsOptions } from './line-events.ts';

/** The real world: the system's clocks, the system's randomness, events as lines on standard error. */
export function systemEnv(events: LineEventsOptions = {}): Env {
  const clock = new SystemClock();
  return { clock, random: new SystemRandom(), events: new LineEvents(clock, events) };
}

/** Node fires a timer of more milliseconds than this at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SystemClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  timer(delayMs: number, fire: () => void): Timer {
    const dueMs = performance.now() + delayMs;
    let handle: NodeJS.Timeout;
    // Node counts whole milliseconds from the start of the loop's turn, so a timer can be early by a fraction. A deadline that
    // has passed is due at once; Node would print a warning of a negative one.
    const arm = (): void => {
      const leftMs = Math.max(0, Math.min(Math.ceil(dueMs - performance.now()), MAX_TIMER_MS));
      handle = setTimeout(() => {
        if (performance.now() < dueMs) arm();
        else fire();
      }, leftMs).unref();
    };
    arm();
    return { cancel: () => clearTimeout(handle) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const rejectWithReason = (): void => {
        reject(signal?.reason instanceof Error ? signal.reason : new Error(String(signal?.reason)));
      };
      if (signal?.aborted === true) {
        rejectWithReason();
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        rejectWithReason();
      };
      const timer = this.timer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** The check phase follows the poll phase, in which sockets and files were handled. */
  afterTurn(task: () => void): void {
    setImmediate(task);
  }
}

export class SystemRandom implements Random {
  below(bound: number): number {
    return randomInt(bound);
  }

  bytes(length: number): Uint8Array {
    return randomBytes(length);
  }

  uuid(): string {
    return randomUUID();
  }
}
