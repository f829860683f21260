import { describe, expect, test } from '@jest/globals';
import { planMoves, type PlannedMove } from '../../broker-runtime/src/controller/balance-plan.ts';
import type { Topic } from '../../broker-runtime/src/metadata/cluster-metadata.ts';

/** Leaders of a topic's partitions; [from, to] is one that moves. */
type Leaders = readonly (number | readonly [from: number, to: number])[];

function imageOf(topics: Readonly<Record<string, Leaders>>): { topics(): Topic[] } {
  return {
    topics: () =>
      Object.entries(topics).map(([name, leaders]) => ({
        id: name,
        name,
        internal: false,
        partitions: leaders.map((leader, index) => {
          const [leaderId, movingTo] = typeof leader === 'number' ? [leader, undefined] : leader;
          return { index, leaderId, movingTo, leaderEpoch: 0, dataStreamId: 1, stateStreamId: 2 };
        }),
      })),
  };
}

/** Partitions each node leads when the moves are over. */
function after(
  topics: Readonly<Record<string, Leaders>>,
  moves: readonly PlannedMove[],
): Map<number, number> {
  const led = new Map<number, number>();
  const planned = new Map(moves.map(({ topicId, index, toNodeId }) => [`${topicId}/${index}`, toNodeId]));
  for (const { id, partitions } of imageOf(topics).topics()) {
    for (const { index, leaderId, movingTo } of partitions) {
      const at = planned.get(`${id}/${index}`) ?? movingTo ?? leaderId;
      led.set(at, (led.get(at) ?? 0) + 1);
    }
  }
  return led;
}

const all = (count: number, leader: number): Leaders => Array.from({ length: count }, () => leader);

describe('planMoves', () => {
  test('gives a node that leads nothing its part, and moves nothing twice', () => {
    const topics = { a: all(7, 1), b: [...all(3, 1), ...all(10, 2)] };
    const moves = planMoves(imageOf(topics), [1, 2, 3], 100);
    expect(moves).toHaveLength(6);
    expect(moves.every(({ toNodeId }) => toNodeId === 3)).toBe(true);
    expect([...after(topics, moves)].sort()).toEqual([
      [1, 7],
      [2, 7],
      [3, 6],
    ]);
  });

  test('takes from the topics a node leads most of, so that no topic moves as a whole', () => {
    const topics = { a: all(4, 1), b: all(4, 1), c: [1], d: [1] };
    const moves = planMoves(imageOf(topics), [1, 2], 100);
    expect(moves.map(({ topicId }) => topicId).sort()).toEqual(['a', 'a', 'b', 'b', 'b'].sort());
  });

  test.each([
    ['a difference of one', { a: [1, 1, 2] }],
    ['a tenth of the mean', { a: all(104, 1), b: all(95, 2) }],
    ['no partition at all', {}],
  ])('leaves everything where it is: %s', (_, topics) => {
    expect(planMoves(imageOf(topics), [1, 2], 100)).toEqual([]);
  });

  test('one node alone, or none, has nobody to give to', () => {
    expect(planMoves(imageOf({ a: all(9, 1) }), [1], 100)).toEqual([]);
    expect(planMoves(imageOf({ a: all(9, 1) }), [], 100)).toEqual([]);
  });

  test('never more on the way than the limit, those under way included and left alone', () => {
    const topics = { a: [...all(50, 1), [1, 2] as const, [1, 2] as const] };
    const moves = planMoves(imageOf(topics), [1, 2], 5);
    expect(moves).toHaveLength(3);
    expect(moves.every(({ index }) => index < 50)).toBe(true);
    expect(planMoves(imageOf(topics), [1, 2], 2)).toEqual([]);
  });

  test('a move under way counts as done', () => {
    expect(planMoves(imageOf({ a: [1, 1, [1, 2], [1, 2]] }), [1, 2], 100)).toEqual([]);
  });

  test('a node that gives all of its partitions away gets none', () => {
    const topics = { a: [[3, 1] as const, [3, 2] as const, ...all(6, 1), ...all(2, 2)] };
    const moves = planMoves(imageOf(topics), [1, 2, 3], 100);
    expect(moves.map(({ toNodeId }) => toNodeId)).toEqual([2, 2]);
  });

  test('partitions of a node that does not serve are no matter of balance', () => {
    const topics = { a: [...all(20, 9), ...all(4, 1)] };
    const moves = planMoves(imageOf(topics), [1, 2], 100);
    expect(moves).toHaveLength(2);
    expect(after(topics, moves).get(9)).toBe(20);
  });
});
