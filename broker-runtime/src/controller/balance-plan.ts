import type { Partition, Topic } from '../metadata/cluster-metadata.ts';

/** A partition to move from one node to another. */
export interface PlannedMove {
  readonly topicId: string;
  readonly index: number;
  readonly toNodeId: number;
}

/** A difference of this part of the mean is no reason to move anything: moves have a price, evenness as such has no use. */
const TOLERATED_PART = 0.1;
const TOLERATED_MIN = 1;

interface Led {
  readonly nodeId: number;
  /** Partitions it leads when all moves under way are over. */
  count: number;
  /** Those that may go, the next one last. */
  readonly movable: Movable[];
  /** It leads partitions, and every one of them is on its way to others: it wants to leave. */
  isLeaving: boolean;
}

interface Movable {
  readonly topicId: string;
  readonly index: number;
  /** How many of its topic the node leads before it. */
  readonly rank: number;
}

/**
 * Moves after which the nodes lead about as many partitions each, from those that lead the most to those that lead the
 * fewest; none while the difference is tolerable. Moves under way count as done and are left alone. What goes first is
 * the last of the topics that a node leads most of, so that topics are spread as well. At most `limit`, those under way
 * included.
 */
export function planMoves(
  image: { topics(): Iterable<Topic> },
  nodeIds: readonly number[],
  limit: number,
): readonly PlannedMove[] {
  const { nodes, moving } = count(image, nodeIds);
  const targets = nodes.filter(({ isLeaving }) => !isLeaving);
  const counts = targets.map(({ count: led }) => led);
  const mean = counts.reduce((sum, led) => sum + led, 0) / Math.max(1, counts.length);
  const tolerated = Math.max(TOLERATED_MIN, mean * TOLERATED_PART);
  if (Math.max(...counts) - Math.min(...counts) <= tolerated) return [];

  for (const { movable } of targets) movable.sort((a, b) => a.rank - b.rank);
  const moves: PlannedMove[] = [];
  while (moves.length < limit - moving) {
    const from = mostLoaded(targets);
    const to = leastLoaded(targets);
    if (from === undefined || to === undefined || from.count - to.count <= 1) break;
    const next = from.movable.pop();
    if (next === undefined) break;
    moves.push({ topicId: next.topicId, index: next.index, toNodeId: to.nodeId });
    from.count--;
    to.count++;
  }
  return moves;
}

function count(
  image: { topics(): Iterable<Topic> },
  nodeIds: readonly number[],
): { readonly nodes: readonly Led[]; readonly moving: number } {
  const byId = new Map(nodeIds.map((nodeId): [number, Led] => [nodeId, emptyOf(nodeId)]));
  const leaving = new Set<number>();
  let moving = 0;
  for (const { id, partitions } of image.topics()) {
    const ranks = new Map<number, number>();
    for (const partition of partitions) {
      const { index, leaderId, movingTo } = partition;
      if (movingTo !== undefined) {
        moving++;
        leaving.add(leaderId);
      }
      const node = byId.get(destinationOf(partition));
      if (node === undefined) continue;
      node.count++;
      if (movingTo !== undefined) continue;
      const rank = ranks.get(leaderId) ?? 0;
      ranks.set(leaderId, rank + 1);
      node.movable.push({ topicId: id, index, rank });
    }
  }
  for (const node of byId.values()) node.isLeaving = node.movable.length === 0 && leaving.has(node.nodeId);
  return { nodes: [...byId.values()], moving };
}

function emptyOf(nodeId: number): Led {
  return { nodeId, count: 0, movable: [], isLeaving: false };
}

function destinationOf({ leaderId, movingTo }: Partition): number {
  return movingTo ?? leaderId;
}

/** Of those that have something to give. */
function mostLoaded(nodes: readonly Led[]): Led | undefined {
  let most: Led | undefined;
  for (const node of nodes) {
    if (node.movable.length > 0 && (most === undefined || node.count > most.count)) most = node;
  }
  return most;
}

function leastLoaded(nodes: readonly Led[]): Led | undefined {
  let least: Led | undefined;
  for (const node of nodes) if (least === undefined || node.count < least.count) least = node;
  return least;
}
