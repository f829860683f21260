import { expect, test } from '@jest/globals';
import { Stalls } from '../../../drills/checker/stalls.ts';
import type { Operation, Outcome } from '../../../drills/history/operation.ts';

const send = (client: string, t0: number, t1: number, type: Outcome = 'ok'): Operation => ({
  client,
  f: 'send',
  type,
  t0,
  t1,
  ops: [],
});

function stallsOf(operations: readonly Operation[]): Stalls {
  const stalls = new Stalls();
  for (const operation of operations) stalls.add(operation);
  return stalls;
}

test('a pause runs from one success of a client to its next', () => {
  const stalls = stallsOf([
    send('a', 0, 10),
    send('a', 10, 20),
    send('b', 0, 5),
    send('a', 20, 500, 'info'),
    send('a', 500, 900),
    send('b', 5, 30),
  ]);
  expect(stalls.clients('send')).toEqual(['a', 'b']);
  expect(stalls.summary('send')).toEqual({ p50: 10, p99: 880, max: 880 });
  expect(stalls.summary('send', undefined, 'b')).toEqual({ p50: 25, p99: 25, max: 25 });
  expect(stalls.longest('send')).toEqual({ client: 'a', fromMs: 20, toMs: 900, ms: 880 });
  expect(stalls.summary('poll')).toBeUndefined();
});

test('the longest pause of a window counts whole, also where it reaches beyond the window', () => {
  const stalls = stallsOf([send('a', 0, 10), send('a', 10, 100), send('a', 100, 110), send('a', 110, 900)]);
  expect(stalls.longest('send', { fromMs: 50, toMs: 105 })).toMatchObject({ fromMs: 10, ms: 90 });
  expect(stalls.longest('send', { fromMs: 2_000, toMs: 3_000 })).toBeUndefined();
});

test('a client that never succeeds again has a pause until its last attempt', () => {
  const stalls = stallsOf([send('a', 0, 10), send('a', 10, 2_000, 'info'), send('a', 2_000, 4_000, 'info')]);
  expect(stalls.longest('send')).toMatchObject({ fromMs: 10, toMs: 4_000 });
});
