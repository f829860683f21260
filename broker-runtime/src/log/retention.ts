import type { StreamRange } from '../store/stream.ts';
import type { LogConfig } from '../wire/log-config.ts';

/**
 * Where the log should begin by its retention settings: the end of the last leading range in objects that is too old,
 * or without which the ranges still have `retentionBytes`; -1 when all stay. What is only in the WAL is never deleted: it
 * is durable but young. Nor does it count: some of it may never become durable, and its size is known roughly.
 */
export function retentionOffset(
  ranges: readonly StreamRange[],
  config: Pick<LogConfig, 'retentionMs' | 'retentionBytes'>,
  nowMs: number,
): number {
  let startOffset = -1;
  let remainingBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
  for (const range of ranges) {
    remainingBytes -= range.sizeBytes;
    const tooOld = config.retentionMs >= 0 && nowMs - range.maxTimestampMs > config.retentionMs;
    const tooMuch = config.retentionBytes >= 0 && remainingBytes >= config.retentionBytes;
    if (!tooOld && !tooMuch) break;
    startOffset = range.endOffset;
  }
  return startOffset;
}
