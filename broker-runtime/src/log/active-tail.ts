import type { LogConfig } from '../wire/log-config.ts';

/**
 * Whether the cleaner wants what is only in the WAL now. That takes the place of Kafka's active segment, which is never
 * cleaned; Kafka begins a new one after `segment.ms`, or `max.compaction.lag.ms` if that is shorter. Where both are
 * longer than the upload interval, uploads come first by themselves. Before `min.compaction.lag.ms` nothing may be
 * cleaned: an upload would be for nothing.
 *
 * @param sinceMs when the oldest of it was appended; undefined when there is nothing
 */
export function isTailDue(
  { cleanupPolicy, segmentMs, maxCompactionLagMs, minCompactionLagMs }: LogConfig,
  sinceMs: number | undefined,
  nowMs: number,
): boolean {
  if (!cleanupPolicy.compact || sinceMs === undefined) return false;
  const rollMs = Math.min(segmentMs, maxCompactionLagMs);
  return nowMs - sinceMs >= Math.max(rollMs, minCompactionLagMs);
}
