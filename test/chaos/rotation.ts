import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './faults.ts';

/** What one period was like. */
export interface Period {
  readonly faults: readonly string[];
  readonly seconds: number;
  /** Records acknowledged while it lasted. */
  readonly acknowledged: number;
}

export interface RotationOptions {
  readonly untilMs: number;
  readonly draw: () => readonly Fault[];
  readonly periodMs: () => number;
  readonly acknowledged: () => number;
  readonly heard: (period: Period) => void;
}

/** One set of faults after the other, each ended before the next begins. Nothing is broken when it returns. */
export async function rotate(options: RotationOptions): Promise<readonly Period[]> {
  const periods: Period[] = [];
  while (performance.now() < options.untilMs) {
    const faults = options.draw();
    const before = options.acknowledged();
    const begunMs = performance.now();
    try {
      for (const fault of faults) await fault.begin();
      await sleep(options.periodMs());
    } finally {
      const ended = await Promise.allSettled(faults.map((fault) => fault.end()));
      for (const one of ended) if (one.status === 'rejected') throw one.reason;
    }
    const period = {
      faults: faults.map(({ what }) => what),
      seconds: (performance.now() - begunMs) / 1000,
      acknowledged: options.acknowledged() - before,
    };
    periods.push(period);
    options.heard(period);
  }
  return periods;
}
