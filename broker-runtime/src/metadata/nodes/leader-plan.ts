import type { Topic } from '../cluster-metadata.ts';
import type { NewLeaders } from '../image/records.ts';

/**
 * New leaders for all partitions whose leader `isGone` names: each goes to the node that leads the fewest, the first of
 * them in the given order. No partition of a living leader moves. Without nodes nothing is planned: partitions wait.
 */
export function spreadLeaders(
  image: { topics(): Iterable<Topic> },
  isGone: (leaderId: number) => boolean,
  nodeIds: readonly number[],
): readonly NewLeaders[] {
  const led = new Map(nodeIds.map((nodeId) => [nodeId, 0]));
  const orphans: { readonly topicId: string; readonly indexes: number[] }[] = [];
  for (const topic of image.topics()) {
    const indexes: number[] = [];
    for (const { index, leaderId } of topic.partitions) {
      if (isGone(leaderId)) indexes.push(index);
      else if (led.has(leaderId)) led.set(leaderId, (led.get(leaderId) ?? 0) + 1);
    }
    if (indexes.length > 0) orphans.push({ topicId: topic.id, indexes });
  }
  if (led.size === 0) return [];
  const takeLeastLoaded = (): number => {
    let least = -1;
    let fewest = Infinity;
    for (const [nodeId, count] of led) if (count < fewest) [least, fewest] = [nodeId, count];
    led.set(least, fewest + 1);
    return least;
  };
  return orphans.map(({ topicId, indexes }) => ({
    topicId,
    leaders: indexes.map((index) => ({ index, leaderId: takeLeastLoaded() })),
  }));
}
