import type { Env } from '../../../broker-runtime/src/ports/env.ts';
import { SimClock } from './sim-clock.ts';
import { RecordingEvents } from './sim-events.ts';
import { SimRandom } from './sim-random.ts';

export interface SimEnv extends Env {
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly events: RecordingEvents;
}

/** A whole {@link Env} that follows from a seed. */
export function simEnv(seed: number): SimEnv {
  const random = new SimRandom(seed);
  return { clock: new SimClock(random.fork()), random, events: new RecordingEvents() };
}
