import { describe, expect, test } from '@jest/globals';
import { checkHistory } from '../../../drills/checker/check.ts';
import type { Operation } from '../../../drills/history/operation.ts';
import { headOf } from '../../../drills/history/value.ts';

const TOPIC = 't';
const GROUP = 'g';
const values = [0, 1].map((n) => headOf({ topic: TOPIC, partition: 0, producer: 'p', counter: n }));

/** Two records; `first` reads so many of them for its group, then `second` has the partition and is told nothing more. */
function history(readByFirst: number): Operation[] {
  const at = (f: Operation['f'], client: string, t1: number, rest: Partial<Operation>): Operation => ({
    ...{ client, f, type: 'ok', t0: t1 - 1, t1, ops: [] },
    ...rest,
  });
  const place = (offset: number) => ({ topic: TOPIC, partition: 0, offset, value: values[offset] ?? '' });
  const joined = { group: GROUP, mode: 'subscribe', ops: [{ topic: TOPIC, partition: 0 }] } as const;
  return [
    at('assign', 'first', 1, joined),
    at('send', 'p', 10, { ops: [place(0)] }),
    at('send', 'p', 11, { ops: [place(1)] }),
    at('poll', 'first', 20, { ops: [place(0), place(1)].slice(0, readByFirst) }),
    at('assign', 'first', 30, { group: GROUP, mode: 'subscribe' }),
    at('assign', 'second', 31, joined),
    at('assign', 'second', 60_000, { mode: 'assign' }),
    // Whoever reads everything again at the end.
    at('assign', 'drain', 60_001, {
      group: 'd',
      mode: 'assign',
      ops: [{ topic: TOPIC, partition: 0, offset: 0 }],
    }),
    at('poll', 'drain', 60_002, { ops: [place(0), place(1)] }),
  ];
}

describe('a member that takes a partition over and reads nothing', () => {
  test('false-alarm: waits for nothing when its group had read everything', async () => {
    expect((await checkHistory(history(2))).counts).toEqual({});
  });

  test('is stuck when something was left', async () => {
    const { counts, evidence } = await checkHistory(history(1));
    expect(counts).toMatchObject({ 'stuck-consumer': 1 });
    expect(evidence.find(({ kind }) => kind === 'stuck-consumer')).toMatchObject({
      clients: ['second'],
      offsets: [1],
    });
  });
});
