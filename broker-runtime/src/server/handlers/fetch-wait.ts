import type { Clock } from '../../ports/clock.ts';
import { availableBytes, type FetchLimits, type FetchTarget } from './fetch-plan.ts';

/**
 * Sleeps until enough bytes can be read, something else about a partition changed (its log start, its leader), the
 * time is over, or the connection is gone. Nothing polls: the partitions call.
 */
export function waitForBytes(
  clock: Clock,
  targets: readonly FetchTarget[],
  limits: FetchLimits,
  waitMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const { minBytes, isolation } = limits;
    const counted = targets.map((target) => availableBytes(target, isolation));
    let totalBytes = counted.reduce((sum, bytes) => sum + bytes, 0);
    let awake = false;
    const wake = (): void => {
      if (awake) return;
      awake = true;
      timer.cancel();
      signal.removeEventListener('abort', wake);
      for (const stop of stops) stop();
      // The partitions of one WAL write advance one after another in this turn: read when all have.
      clock.afterTurn(resolve);
    };
    const timer = clock.timer(waitMs, wake);
    const stops = targets.map(
      (target, at) =>
        target.log?.onAdvance(() => {
          const before = counted[at] ?? 0;
          const now = availableBytes(target, isolation);
          counted[at] = now;
          totalBytes += now - before;
          if (totalBytes >= minBytes || now <= before) wake();
        }) ?? nothing,
    );
    signal.addEventListener('abort', wake, { once: true });
  });
}

function nothing(): void {
  return;
}
