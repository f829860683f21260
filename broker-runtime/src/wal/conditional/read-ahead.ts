/**
 * Entries under way at once: hides the store's latency. With 16 of them a controller was seen to need two minutes for the
 * thousand entries between two snapshots from a store that took 2 s for each.
 */
export const READ_AHEAD_ENTRIES = 64;
/**
 * Bytes of entries under way at once, because the largest entry has 4 MiB and a broker may have 128 MiB for everything. A
 * larger one is read alone.
 */
export const READ_AHEAD_BYTES = 8 * 1024 * 1024;

/** A slot of the log that is to be read. */
export interface Slot {
  readonly sequence: number;
  /** As the store listed it. Undefined: not listed, so it may be of any size, and is read alone. */
  readonly sizeBytes: number | undefined;
}

export interface ReadSlot<T> {
  readonly sequence: number;
  readonly found: T;
}

interface Reading<T> {
  readonly sequence: number;
  readonly bytes: number;
  readonly found: Promise<T>;
}

/**
 * Reads `slots` in their order, several at once. What is under way, or has come and waits for its turn, is bounded by
 * {@link READ_AHEAD_ENTRIES} and {@link READ_AHEAD_BYTES}; whoever stops taking waits until nothing is under way.
 */
export async function* readAhead<T>(
  slots: Iterable<Slot>,
  read: (sequence: number) => Promise<T>,
): AsyncGenerator<ReadSlot<T>, void> {
  const ahead: Reading<T>[] = [];
  let aheadBytes = 0;
  const waiting = slots[Symbol.iterator]();
  let next = waiting.next();
  try {
    for (;;) {
      while (next.done !== true && ahead.length < READ_AHEAD_ENTRIES) {
        const { sequence, sizeBytes: bytes = READ_AHEAD_BYTES } = next.value;
        if (ahead.length > 0 && aheadBytes + bytes > READ_AHEAD_BYTES) break;
        ahead.push({ sequence, bytes, found: handled(read(sequence)) });
        aheadBytes += bytes;
        next = waiting.next();
      }
      const [first] = ahead;
      if (first === undefined) return;
      const found = await first.found;
      ahead.shift();
      aheadBytes -= first.bytes;
      yield { sequence: first.sequence, found };
    }
  } finally {
    await Promise.allSettled(ahead.map(({ found }) => found));
  }
}

/** A read ahead may fail before its turn to be awaited comes; that is no unhandled rejection. */
function handled<T>(read: Promise<T>): Promise<T> {
  read.catch(() => undefined);
  return read;
}
