import { describe, expect, test } from '@jest/globals';
import { LeaderEpochs } from '../../broker-runtime/src/log/leader-epochs.ts';

function epochs(...starts: readonly (readonly [epoch: number, startOffset: number])[]): LeaderEpochs {
  const history = new LeaderEpochs();
  for (const [epoch, startOffset] of starts) history.assign(epoch, startOffset);
  return history;
}

describe('where an epoch ends', () => {
  test('at the start of the next one, the latest at the end of the log', () => {
    const history = epochs([1, 0], [3, 10], [4, 25]);
    expect(history.endOffset(1, 30)).toEqual({ leaderEpoch: 1, endOffset: 10 });
    expect(history.endOffset(2, 30)).toEqual({ leaderEpoch: 1, endOffset: 10 });
    expect(history.endOffset(4, 30)).toEqual({ leaderEpoch: 4, endOffset: 30 });
  });

  test('an unknown future epoch, and none, have no end', () => {
    const history = epochs([1, 0]);
    for (const asked of [2, -1])
      expect(history.endOffset(asked, 5)).toEqual({ leaderEpoch: -1, endOffset: -1 });
    expect(new LeaderEpochs().endOffset(0, 0)).toEqual({ leaderEpoch: -1, endOffset: -1 });
  });

  test('an epoch older than the oldest ends where that begins', () => {
    expect(epochs([5, 100]).endOffset(2, 200)).toEqual({ leaderEpoch: 2, endOffset: 100 });
  });

  test('an epoch in which nothing was appended leaves no trace', () => {
    const history = epochs([1, 0], [2, 10], [3, 10], [4, 10]);
    expect(history.endOffset(3, 20)).toEqual({ leaderEpoch: 1, endOffset: 10 });
    expect(history.endOffset(4, 20)).toEqual({ leaderEpoch: 4, endOffset: 20 });
  });
});

describe('the epoch of an offset', () => {
  test('is the one that began last at or below it', () => {
    const history = epochs([1, 0], [3, 10], [4, 25]);
    expect([0, 9, 10, 24, 25, 1000].map((offset) => history.at(offset))).toEqual([1, 1, 3, 3, 4, 4]);
  });

  test('is unknown below the oldest that is kept, and when there is none', () => {
    expect(epochs([5, 100]).at(99)).toBe(-1);
    expect(new LeaderEpochs().at(0)).toBe(-1);
  });

  test('ends above it: what ListOffsets tells, OffsetForLeaderEpoch confirms', () => {
    const history = epochs([1, 0], [3, 10], [4, 25]);
    history.trim(15);
    for (let offset = 15; offset < 30; offset++) {
      expect(history.endOffset(history.at(offset), 30).endOffset).toBeGreaterThan(offset);
    }
    expect(history.at(15)).toBe(3);
  });
});

test('epochs never go back (I5)', () => {
  const history = epochs([4, 0]);
  expect(() => history.assign(3, 10)).toThrow(/I5/);
  history.assign(4, 10);
  expect(history.endOffset(4, 20).endOffset).toBe(20);
});

test('trimming forgets epochs that ended, and moves the start of the one that goes on', () => {
  const history = epochs([1, 0], [2, 10], [3, 20]);
  history.trim(15);
  expect(history.endOffset(1, 30)).toEqual({ leaderEpoch: 1, endOffset: 15 });
  expect(history.endOffset(2, 30)).toEqual({ leaderEpoch: 2, endOffset: 20 });
});

test('no more than a thousand epochs are kept', () => {
  const history = epochs(...Array.from({ length: 1500 }, (_, n) => [n, n] as const));
  expect(history.endOffset(200, 1500)).toEqual({ leaderEpoch: 200, endOffset: 500 });
  expect(history.endOffset(600, 1500)).toEqual({ leaderEpoch: 600, endOffset: 601 });
});
