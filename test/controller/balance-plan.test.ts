import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  JOIN_RULE,
  LOAD_RULE,
  planMoves as plan,
  type PlannedMove,
} from '../../broker-runtime/src/controller/balance-plan.ts';
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

/** Nobody is busy. */
const planMoves = (image: { topics(): Topic[] }, nodeIds: readonly number[], limit: number) =>
  plan(image, nodeIds, { limit, rule: JOIN_RULE });

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

/** Thousandths of a core. */
const MILLI = 1_000;

describe('partitions that are busy', () => {
  /** One topic; of each partition: its leader, and how busy it is. */
  function evenOut(
    led: readonly (readonly [leader: number, milli: number])[],
    rule = LOAD_RULE,
    limit = 100,
  ) {
    const image = imageOf({ a: led.map(([leader]) => leader) });
    const nodeIds = [...new Set([1, 2, ...led.map(([leader]) => leader)])];
    const busyMicros = (_: string, index: number) => (led[index]?.[1] ?? 0) * MILLI;
    const moves = plan(image, nodeIds, { limit, rule, busyMicros });
    const busy = new Map(nodeIds.map((nodeId) => [nodeId, 0]));
    const planned = new Map(moves.map(({ index, toNodeId }) => [index, toNodeId]));
    led.forEach(([leader, milli], index) => {
      const at = planned.get(index) ?? leader;
      busy.set(at, (busy.get(at) ?? 0) + milli);
    });
    return { moves, busy: Object.fromEntries(busy) };
  }

  test('count by what they do, not by how many there are', () => {
    const { moves, busy } = evenOut([
      [1, 400],
      [1, 100],
      [1, 100],
      [1, 100],
      ...Array.from({ length: 20 }, () => [2, 1] as const),
    ]);
    expect(busy).toEqual({ 1: 300, 2: 420 });
    expect(moves).toHaveLength(1);
  });

  test.each([
    [
      'one that does all the work cannot be divided',
      [
        [1, 800],
        [2, 10],
        [2, 10],
      ],
    ],
    [
      'three hundredths of a core are not felt',
      [
        [1, 20],
        [1, 20],
        [2, 10],
      ],
    ],
    [
      'a fifth of the mean is not worth a move',
      [
        [1, 300],
        [1, 240],
        [2, 450],
      ],
    ],
  ] as const)('stay where they are: %s', (_, led) => {
    expect(evenOut(led).moves).toEqual([]);
  });

  test('a node that joins gets its part of the load, not of the count', () => {
    const led = [
      [1, 200],
      [1, 200],
      [1, 0],
      [1, 0],
      [2, 200],
      [2, 200],
      [2, 0],
      [2, 0],
      [3, 0],
    ] as const;
    const { busy } = evenOut(led, JOIN_RULE);
    expect(Object.values(busy).sort()).toEqual([200, 200, 400]);
  });

  test('what is too heavy to move does not keep the others from being evened out', () => {
    const { busy } = evenOut([
      [1, 900],
      [2, 200],
      [2, 200],
      [3, 0],
    ]);
    expect(busy).toEqual({ 1: 900, 2: 200, 3: 200 });
  });

  test('those that are pinned stay', () => {
    const image = imageOf({ a: [1, 1, 1, 2] });
    const options = { limit: 9, rule: LOAD_RULE, busyMicros: () => 200 * MILLI, isPinned: () => true };
    expect(plan(image, [1, 2], options)).toEqual([]);
  });

  const cluster = fc.record({
    nodes: fc.integer({ min: 1, max: 8 }),
    led: fc.array(fc.tuple(fc.nat(7), fc.nat(500)), { maxLength: 60 }),
  });

  test('no plan makes the busiest node busier, the least busy one less busy, or moves a partition twice', () => {
    fc.assert(
      fc.property(cluster, fc.constantFrom(JOIN_RULE, LOAD_RULE), ({ nodes, led }, rule) => {
        const placed = led.map(([leader, milli]): [number, number] => [1 + (leader % nodes), milli]);
        const before = Object.values(evenOut(placed, rule, 0).busy);
        const { moves, busy } = evenOut(placed, rule);
        const after = Object.values(busy);
        // An idle partition weighs something, too: a tenth of a thousandth.
        const idle = 0.1 * placed.length;
        expect(Math.max(...after)).toBeLessThanOrEqual(Math.max(...before) + idle);
        expect(Math.min(...after)).toBeGreaterThanOrEqual(Math.min(...before) - idle);
        expect(new Set(moves.map(({ index }) => index)).size).toBe(moves.length);
      }),
    );
  });

  test('a load that is steady comes to rest', () => {
    fc.assert(
      fc.property(cluster, ({ nodes, led }) => {
        let placed = led.map(([leader, milli]): [number, number] => [1 + (leader % nodes), milli]);
        for (let round = 0; round < 5; round += 1) {
          const planned = new Map(evenOut(placed).moves.map(({ index, toNodeId }) => [index, toNodeId]));
          if (planned.size === 0) return;
          placed = placed.map(([leader, milli], at) => [planned.get(at) ?? leader, milli]);
        }
        expect(evenOut(placed).moves).toEqual([]);
      }),
    );
  });
});
