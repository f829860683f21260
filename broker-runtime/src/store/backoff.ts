import { backoffMs } from '../base/backoff.ts';
import type { Env } from '../ports/env.ts';
import { JournalBusyError } from '../wal/journal.ts';
import type { StoreOptions } from './options.ts';

/** Pauses before the n-th repeat (from 0). */
export async function backOff(env: Env, options: StoreOptions, repeat: number): Promise<void> {
  const limits = { firstMs: options.retryMinMs, maxMs: options.retryMaxMs };
  await env.clock.sleep(backoffMs(repeat, limits, env.random));
}

/** Gives the sockets a turn: long synchronous work is cut into slices with this. */
export function nextTurn(env: Env): Promise<void> {
  return new Promise((resolve) => {
    env.clock.afterTurn(resolve);
  });
}

/** Repeats a manifest change while too many others wait for the journal: nothing was decided yet. */
export async function whenNotBusy<T>(env: Env, options: StoreOptions, change: () => Promise<T>): Promise<T> {
  for (let repeat = 0; ; repeat++) {
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof JournalBusyError)) throw error;
    }
    await backOff(env, options, repeat);
  }
}
