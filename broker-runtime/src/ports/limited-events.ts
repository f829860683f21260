import type { Env } from './env.ts';
import type { EventFields } from './events.ts';

/** At most this many events of one name in one window; a peer must not be able to fill the disk with our log. */
const EVENTS_PER_WINDOW = 10;
const WINDOW_MS = 10_000;

interface Window {
  startMs: number;
  count: number;
  suppressed: number;
}

/** Events that a peer can cause at will: the first few of each window are reported, the rest are counted. */
export class LimitedEvents {
  readonly #env: Env;
  readonly #windows = new Map<string, Window>();

  constructor(env: Env) {
    this.#env = env;
  }

  warn(name: string, fields: EventFields): void {
    const suppressed = this.#admit(name);
    if (suppressed !== undefined) this.#env.events.warn(name, { ...fields, suppressed });
  }

  error(name: string, fields: EventFields): void {
    const suppressed = this.#admit(name);
    if (suppressed !== undefined) this.#env.events.error(name, { ...fields, suppressed });
  }

  /** @returns how many events of this name were left out before this one; undefined when it is to be left out too */
  #admit(name: string): number | undefined {
    const nowMs = this.#env.clock.monotonicMs();
    const window = this.#windows.get(name);
    if (window === undefined || nowMs - window.startMs >= WINDOW_MS) {
      this.#windows.set(name, { startMs: nowMs, count: 1, suppressed: 0 });
      return window?.suppressed ?? 0;
    }
    window.count += 1;
    if (window.count <= EVENTS_PER_WINDOW) return 0;
    window.suppressed += 1;
    return undefined;
  }
}
