import type { BatchHeader } from '../wire/records/batch-header.ts';

/**
 * The time of a batch as the store keeps it, for retention and time lookup. A batch without times counts as of
 * `otherwiseMs`; producers may send any 64-bit number, so what is beyond the store's integers is cut to them.
 */
export function entryTimestampMs({ maxTimestampMs }: BatchHeader, otherwiseMs: number): number {
  return maxTimestampMs < 0 ? otherwiseMs : Math.min(maxTimestampMs, Number.MAX_SAFE_INTEGER - 1);
}
