import type { TimelineEntry } from './report/report.ts';

/** Beyond this many, entries are counted and not kept. */
const ENTRIES_MAX = 500;

/** What happened when, on the clock of the history. */
export class Timeline {
  readonly #now: () => number;
  readonly #heard: (entry: TimelineEntry) => void;
  readonly #entries: TimelineEntry[] = [];
  #left = 0;

  constructor(now: () => number, heard: (entry: TimelineEntry) => void) {
    this.#now = now;
    this.#heard = heard;
  }

  add(kind: TimelineEntry['kind'], what: string): void {
    const entry = { atMs: this.#now(), kind, what };
    if (this.#entries.length < ENTRIES_MAX) this.#entries.push(entry);
    else this.#left += 1;
    this.#heard(entry);
  }

  get entries(): readonly TimelineEntry[] {
    if (this.#left === 0) return this.#entries;
    const note = {
      atMs: this.#now(),
      kind: 'note',
      what: `${this.#left} more entries were not kept`,
    } as const;
    return [...this.#entries, note];
  }
}
