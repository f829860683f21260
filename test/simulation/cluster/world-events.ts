import { InvariantViolation, messageOf } from '../../../broker-runtime/src/base/errors.ts';
import type { EventFields, Events } from '../../../broker-runtime/src/ports/events.ts';
import type { SimClock } from '../world/sim-clock.ts';
import type { ProcessGate } from './process-gate.ts';

/** Lines that a failed seed prints. */
const KEPT_LINES = 1_000;
/** In the text of an error event: our own assertion, damage that nobody did, or a bug. */
const BROKEN =
  /invariant \S+ is broken|CorruptionError|TypeError|RangeError|is not a function|undefined \(reading/;

/** What all processes tell, with the time and the host in front: for whom a seed failed, and for counting. */
export class WorldEvents {
  readonly counts = new Map<string, number>();
  readonly #clock: SimClock;
  readonly #violate: (what: string) => void;
  #lines: string[] = [];

  constructor(clock: SimClock, violate: (what: string) => void) {
    this.#clock = clock;
    this.#violate = violate;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  note(host: string, name: string, text = ''): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.#lines.push(`${this.#clock.monotonicMs().toFixed(1)} ${host} ${name} ${text}`);
    if (this.#lines.length > 2 * KEPT_LINES) this.#lines = this.#lines.slice(-KEPT_LINES);
  }

  of(host: string, gate: ProcessGate): Events {
    const say = (level: string, name: string, fields: EventFields = {}): void => {
      if (gate.isDead) return;
      const text = JSON.stringify(fields);
      this.note(host, name, text);
      if (level === 'error' && BROKEN.test(text)) this.#violate(`${host} ${name} ${text}`);
    };
    return {
      debug: () => undefined,
      info: (name, fields) => say('info', name, fields),
      warn: (name, fields) => say('warn', name, fields),
      error: (name, fields) => say('error', name, fields),
    };
  }
}

/** No fault of the world explains this end of a process: a broken assertion, damage, or a bug. */
export function isBroken(error: unknown): boolean {
  for (
    let cause: unknown = error, depth = 0;
    cause instanceof Error && depth < 8;
    cause = cause.cause, depth++
  ) {
    if (cause instanceof InvariantViolation || cause instanceof TypeError || cause instanceof RangeError)
      return true;
    if (cause.name.includes('Corruption') || BROKEN.test(messageOf(cause))) return true;
  }
  return false;
}
