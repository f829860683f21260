import type { StoreOptions } from './options.ts';

/**
 * Recognises sequential readers by where they read on, and grows a window for each: doubled with every read that
 * begins where an earlier one ended. Random readers get none.
 */
export class ReadAhead {
  readonly #options: StoreOptions;
  /** Window in bytes by `stream:next offset`, least recently seen first. */
  readonly #windows = new Map<string, number>();

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** A read of [from, next) was answered. Returns how many bytes to fetch ahead of `next`. */
  moved(streamId: number, from: number, next: number): number {
    const seen = `${streamId}:${from}`;
    const windowBytes = this.#windows.get(seen);
    this.#windows.delete(seen);
    const grownBytes =
      windowBytes === undefined
        ? this.#options.readAheadMinBytes
        : Math.min(this.#options.readAheadMaxBytes, windowBytes * 2);
    this.#windows.set(`${streamId}:${next}`, grownBytes);
    if (this.#windows.size > this.#options.readAheadCursors) {
      const oldest = this.#windows.keys().next();
      if (oldest.done !== true) this.#windows.delete(oldest.value);
    }
    return windowBytes ?? 0;
  }
}
