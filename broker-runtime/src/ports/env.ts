import type { Clock } from './clock.ts';
import type { Events } from './events.ts';
import type { Random } from './random.ts';

/** What nearly every component needs of the world; passed explicitly, never global. */
export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
}
