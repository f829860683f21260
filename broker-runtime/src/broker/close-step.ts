import { messageOf } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';

/** Waits for one step of a stop, at most so long: neither a failure nor silence of one step keeps the others from being done. */
export async function closeStep(
  { clock, events }: Env,
  step: string,
  limitMs: number,
  work: Promise<unknown>,
): Promise<void> {
  const done = work.then(
    () => true,
    (error: unknown) => {
      events.warn('broker.close-step-failed', { step, reason: messageOf(error) });
      return true;
    },
  );
  const late = new AbortController();
  const timedOut = clock.sleep(limitMs, late.signal).then(
    () => false,
    () => true,
  );
  if (!(await Promise.race([done, timedOut]))) {
    events.warn('broker.close-step-late', { step, afterMs: limitMs });
  }
  late.abort();
}
