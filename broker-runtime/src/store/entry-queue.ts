import type { WalEntry, WalGroup } from '../wal/wal.ts';

/** Dropped slots are returned to the allocator when they are this many and half of the array. */
const COMPACT_AT = 256;

/**
 * The cached entries of one stream, oldest first and contiguous. Two parallel arrays of references that exist
 * anyway: an entry costs two slots and no object of its own.
 */
export class EntryQueue {
  #entries: WalEntry[] = [];
  #groups: WalGroup[] = [];
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: WalEntry, group: WalGroup): void {
    this.#entries.push(entry);
    this.#groups.push(group);
  }

  entry(n: number): WalEntry | undefined {
    return this.#entries[this.#head + n];
  }

  group(n: number): WalGroup | undefined {
    return this.#groups[this.#head + n];
  }

  dropFirst(): void {
    this.#head++;
    if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#groups = this.#groups.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Number of the entry that contains `offset`, or undefined when it is not cached. */
  find(offset: number): number | undefined {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.entry(middle);
      if (entry !== undefined && entry.baseOffset + entry.count <= offset) low = middle + 1;
      else high = middle;
    }
    const found = this.entry(low);
    return found !== undefined && found.baseOffset <= offset ? low : undefined;
  }
}
