import type { Partition, Topic } from '../metadata/cluster-metadata.ts';

/** A partition to move from one node to another. */
export interface PlannedMove {
  readonly topicId: string;
  readonly index: number;
  readonly fromNodeId: number;
  readonly toNodeId: number;
  /** What it takes with it, millionths of a core. */
  readonly weightMicros: number;
}

export interface BalanceOptions {
  /** Moves at most, those under way included. */
  readonly limit: number;
  readonly rule: BalanceRule;
  /** How busy a partition keeps its leader, millionths of a core. */
  readonly busyMicros?: (topicId: string, index: number) => number;
  /** These stay where they are. */
  readonly isPinned?: (topicId: string, index: number) => boolean;
}

/** Which difference between the nodes is tolerated; moves have a price, and evenness as such has no use. */
export interface BalanceRule {
  /** A part of the mean. */
  readonly part: number;
  /** Millionths of a core. */
  readonly leastMicros: number;
  /** What weighs less is not moved: it would not be felt. */
  readonly leastMoveMicros: number;
}

/** What a partition weighs that nobody uses: so many that nodes without load come to lead as many each. */
export const IDLE_PARTITION_MICROS = 100;

/** After a node joined: it shall have its part. */
export const JOIN_RULE: BalanceRule = { part: 0.1, leastMicros: IDLE_PARTITION_MICROS, leastMoveMicros: 0 };
/**
 * Between nodes that are there already: only what will be felt. Every move lowers the sum of the squares, so under a steady
 * load there is an end of moves; and what rounds leave behind is far below what begins the next one, unless one partition
 * alone is too heavy.
 */
export const LOAD_RULE: BalanceRule = { part: 0.3, leastMicros: 50_000, leastMoveMicros: 5_000 };

/** A node as the balancer sees it. */
export interface BalancedNode {
  readonly nodeId: number;
  /** Partitions it leads when all moves under way are over. */
  count: number;
  /** What they weigh together. */
  weightMicros: number;
  /** Those that may go, by weight. */
  readonly movable: Movable[];
  /** It leads partitions, and every one of them is on its way to others: it wants to leave. */
  isLeaving: boolean;
}

interface Movable {
  readonly topicId: string;
  readonly index: number;
  readonly weightMicros: number;
  /** How many of its topic the node leads before it. */
  readonly rank: number;
}

type Image = { topics(): Iterable<Topic> };

/**
 * Moves after which the nodes are about as busy, from those that do the most to those that do the least; none while the
 * difference is tolerable. Moves under way count as done and are left alone. What goes is the partition that comes nearest to
 * closing the difference; of equal ones the last of the topic that a node leads most of, so that topics are
 * spread as well.
 */
export function planMoves(
  image: Image,
  nodeIds: readonly number[],
  options: BalanceOptions,
): readonly PlannedMove[] {
  const { nodes, moving } = weigh(image, nodeIds, options);
  const { leastMoveMicros } = options.rule;
  const targets = nodes.filter(({ isLeaving }) => !isLeaving);
  if (isTolerable(targets, options.rule)) return [];

  for (const { movable } of targets) {
    movable.sort((a, b) => a.weightMicros - b.weightMicros || a.rank - b.rank);
  }
  const moves: PlannedMove[] = [];
  const givers = new Set(targets);
  while (moves.length < options.limit - moving) {
    const from = extreme(givers, (a, b) => a > b);
    const to = extreme(targets, (a, b) => a < b);
    if (from === undefined || to === undefined || from === to) break;
    const next = takeFitting(from.movable, from.weightMicros - to.weightMicros);
    if (next === undefined || next.weightMicros < leastMoveMicros) {
      // All it could give is too heavy, or not worth it: the others may still be evened out.
      givers.delete(from);
      continue;
    }
    const { topicId, index, weightMicros } = next;
    moves.push({ topicId, index, fromNodeId: from.nodeId, toNodeId: to.nodeId, weightMicros });
    from.count--;
    to.count++;
    from.weightMicros -= weightMicros;
    to.weightMicros += weightMicros;
  }
  return moves;
}

/** What every node leads and does, moves under way counted as done. */
export function weigh(
  image: Image,
  nodeIds: readonly number[],
  { busyMicros = () => 0, isPinned = () => false }: Pick<BalanceOptions, 'busyMicros' | 'isPinned'>,
): { readonly nodes: readonly BalancedNode[]; readonly moving: number } {
  const byId = new Map(nodeIds.map((nodeId): [number, BalancedNode] => [nodeId, emptyOf(nodeId)]));
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
      const weightMicros = IDLE_PARTITION_MICROS + busyMicros(id, index);
      node.count++;
      node.weightMicros += weightMicros;
      if (movingTo !== undefined) continue;
      const rank = ranks.get(leaderId) ?? 0;
      ranks.set(leaderId, rank + 1);
      if (!isPinned(id, index)) node.movable.push({ topicId: id, index, weightMicros, rank });
    }
  }
  for (const node of byId.values()) node.isLeaving = node.movable.length === 0 && leaving.has(node.nodeId);
  return { nodes: [...byId.values()], moving };
}

function isTolerable(nodes: readonly BalancedNode[], { part, leastMicros }: BalanceRule): boolean {
  const weights = nodes.map(({ weightMicros }) => weightMicros);
  const mean = weights.reduce((sum, weight) => sum + weight, 0) / Math.max(1, weights.length);
  return Math.max(...weights) - Math.min(...weights) <= Math.max(leastMicros, mean * part);
}

function emptyOf(nodeId: number): BalancedNode {
  return { nodeId, count: 0, weightMicros: 0, movable: [], isLeaving: false };
}

function destinationOf({ leaderId, movingTo }: Partition): number {
  return movingTo ?? leaderId;
}

/**
 * The one that comes nearest to half the gap, which would close it, and makes it smaller at all. `movable` is sorted by
 * weight, then rank: of those that are alike the last goes.
 */
function takeFitting(movable: Movable[], gapMicros: number): Movable | undefined {
  let above = 0;
  for (let end = movable.length; above < end;) {
    const middle = (above + end) >>> 1;
    if ((movable[middle]?.weightMicros ?? 0) <= gapMicros / 2) above = middle + 1;
    else end = middle;
  }
  const lighter = movable[above - 1];
  const heavier = movable[above];
  const missedBy = (one: Movable | undefined): number =>
    one === undefined || one.weightMicros >= gapMicros
      ? Infinity
      : Math.abs(gapMicros / 2 - one.weightMicros);
  if (missedBy(lighter) === Infinity && missedBy(heavier) === Infinity) return undefined;
  let at = above - 1;
  if (missedBy(heavier) < missedBy(lighter)) {
    do at++;
    while (movable[at + 1]?.weightMicros === heavier?.weightMicros);
  }
  return movable.splice(at, 1)[0];
}

function extreme(
  nodes: Iterable<BalancedNode>,
  isMore: (a: number, b: number) => boolean,
): BalancedNode | undefined {
  let found: BalancedNode | undefined;
  for (const node of nodes) {
    if (found === undefined || isMore(node.weightMicros, found.weightMicros)) found = node;
  }
  return found;
}
