import type { Clock } from '../ports/clock.ts';
import type { EventFields, Events } from '../ports/events.ts';

export type EventLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LineEventsOptions {
  /** `json`: an object a line, for machines. `text`: columns, for people. @default 'json' */
  readonly format?: 'json' | 'text';
  /** Events below are dropped. @default 'info' */
  readonly minLevel?: EventLevel;
  /** Takes a line with its line end. @default - standard error */
  readonly write?: (line: string) => void;
}

const SEVERITY: Readonly<Record<EventLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Longer texts are cut: a client must not fill the disk by what it calls itself. */
const MAX_TEXT_CHARS = 2000;

/**
 * What JSON leaves as it is although terminals and log viewers obey it: DEL and C1 controls, line and
 * paragraph separators, the characters that turn the direction of text or take no room.
 */
const UNSAFE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** One event, one line. Whatever text a field holds, it cannot end the line or reach the terminal. */
export class LineEvents implements Events {
  readonly #clock: Clock;
  readonly #isJson: boolean;
  readonly #minSeverity: number;
  readonly #write: (line: string) => void;

  constructor(clock: Clock, options: LineEventsOptions = {}) {
    this.#clock = clock;
    this.#isJson = (options.format ?? 'json') === 'json';
    this.#minSeverity = SEVERITY[options.minLevel ?? 'info'];
    this.#write = options.write ?? ((line) => void process.stderr.write(line));
  }

  debug(name: string, fields: EventFields = {}): void {
    this.#line('debug', name, fields);
  }
  info(name: string, fields: EventFields = {}): void {
    this.#line('info', name, fields);
  }
  warn(name: string, fields: EventFields = {}): void {
    this.#line('warn', name, fields);
  }
  error(name: string, fields: EventFields = {}): void {
    this.#line('error', name, fields);
  }

  #line(level: EventLevel, name: string, fields: EventFields): void {
    if (SEVERITY[level] < this.#minSeverity) return;
    const time = new Date(this.#clock.wallMs()).toISOString();
    this.#write(
      `${this.#isJson ? jsonLine(time, level, name, fields) : textLine(time, level, name, fields)}\n`,
    );
  }
}

function jsonLine(time: string, level: EventLevel, name: string, fields: EventFields): string {
  const own = { time, level, event: name };
  const shortened = Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, typeof value === 'string' ? shorten(value) : value]),
  );
  // Ours come first and cannot be overwritten by a field of the same name.
  return escapeUnsafe(JSON.stringify({ ...own, ...shortened, ...own }));
}

function textLine(time: string, level: EventLevel, name: string, fields: EventFields): string {
  const columns = [time, level.toUpperCase().padEnd(5), name];
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      columns.push(`${key}=${typeof value === 'string' ? textOf(value) : String(value)}`);
  }
  return columns.join(' ');
}

function textOf(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) ? shorten(value) : escapeUnsafe(JSON.stringify(shorten(value)));
}

function shorten(text: string): string {
  if (text.length <= MAX_TEXT_CHARS) return text;
  return `${text.slice(0, MAX_TEXT_CHARS)}... (${text.length} characters)`;
}

function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
