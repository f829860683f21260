import type { Group } from './group.ts';
import type { OffsetKey } from './group-offsets.ts';
import { subscribedTopics } from './subscriptions.ts';

/**
 * Which offsets have lived long enough (KIP-211):
 *
 *   group without members     retention counts from the moment it became empty, or from a later commit
 *   group of consumers        only topics nobody subscribes to any more, from their last commit
 *   other groups with members never
 *   never had members         from the last commit (consumers that assign themselves)
 */
export function expiredOffsets(group: Group, nowWallMs: number, retentionMs: number): readonly OffsetKey[] {
  const { protocolType, stateSinceWallMs } = group.rebalance;
  const oldestWallMs = nowWallMs - retentionMs;
  if (protocolType === undefined) {
    return group.offsets.expired((_topic, { commitWallMs }) => commitWallMs <= oldestWallMs);
  }
  if (group.isVacant) {
    // Kafka counts from the empty moment alone, and so deletes what an administrator has just set for such a group.
    return group.offsets.expired(
      (_topic, { commitWallMs }) => Math.max(stateSinceWallMs, commitWallMs) <= oldestWallMs,
    );
  }
  const subscribed = group.state === 'Stable' ? subscribedTopics(group) : undefined;
  if (subscribed === undefined) return [];
  return group.offsets.expired(
    (topic, { commitWallMs }) => !subscribed.has(topic) && commitWallMs <= oldestWallMs,
  );
}
