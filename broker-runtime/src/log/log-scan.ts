import type { Stream, StreamEntry } from '../store/stream.ts';

/** Large enough that one ranged GET pays off, small enough to hold a few at once. */
const SCAN_BYTES = 1024 * 1024;

/**
 * The entries of a stream from the one containing `fromOffset` on, below `untilOffset` (default: what is durable
 * now), read as history. An entry is valid until the next one is asked for. Stop early with `break`: memory is
 * given back.
 */
export async function* streamEntries(
  stream: Stream,
  fromOffset: number,
  untilOffset = stream.durableOffset,
): AsyncGenerator<StreamEntry, void, undefined> {
  for (let nextOffset = Math.max(fromOffset, stream.startOffset); nextOffset < untilOffset;) {
    const slice = await stream.read(nextOffset, SCAN_BYTES, { purpose: 'history', untilOffset });
    if (slice === undefined) return;
    try {
      yield* slice.entries;
      nextOffset = slice.nextOffset;
    } finally {
      slice.release();
    }
  }
}
