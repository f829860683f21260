import { describe, expect, test } from '@jest/globals';
import { isTailDue } from '../../broker-runtime/src/log/active-tail.ts';
import { RecentBatches } from '../../broker-runtime/src/log/recent-batches.ts';
import { COMPACTED, DEFAULT_CONFIG, openRig, put } from './kit.ts';

describe('when the cleaner wants what is only in the WAL', () => {
  const due = (config: object, ageMs: number): boolean =>
    isTailDue({ ...COMPACTED, ...config }, 1000, 1000 + ageMs);

  test('after segment.ms, or max.compaction.lag.ms if that is shorter', () => {
    expect([due({ segmentMs: 500 }, 499), due({ segmentMs: 500 }, 500)]).toEqual([false, true]);
    const both = { segmentMs: 500, maxCompactionLagMs: 100 };
    expect([due(both, 99), due(both, 100)]).toEqual([false, true]);
  });

  test('not before min.compaction.lag.ms: it could not be cleaned', () => {
    const config = { segmentMs: 500, minCompactionLagMs: 60_000 };
    expect([due(config, 59_999), due(config, 60_000)]).toEqual([false, true]);
  });

  test('never in a topic that is not compacted, nor when there is nothing', () => {
    expect(isTailDue({ ...DEFAULT_CONFIG, segmentMs: 1 }, 0, 1e12)).toBe(false);
    expect(isTailDue({ ...COMPACTED, segmentMs: 1 }, undefined, 1e12)).toBe(false);
  });
});

describe('the age of what is only in the WAL', () => {
  test('is that of its oldest batch', () => {
    const batches = new RecentBatches();
    expect(batches.tailSinceMs(0)).toBeUndefined();
    batches.add(0, 1, 100, 10);
    batches.add(1, 2, 100, 20);
    expect(batches.tailSinceMs(0)).toBe(10);
    expect(batches.tailSinceMs(2)).toBeUndefined();
  });

  test('begins anew with what was appended while the older part was uploaded', () => {
    const batches = new RecentBatches();
    batches.add(0, 1, 100, 10);
    expect(batches.tailSinceMs(0)).toBe(10);
    batches.add(1, 2, 100, 20);
    batches.add(2, 3, 100, 30);
    expect(batches.tailSinceMs(1)).toBe(20);
    expect(batches.bytesAbove(1)).toBe(200);
  });

  test('does not count what is in objects', () => {
    const batches = new RecentBatches();
    batches.add(0, 1, 100, 'in-objects');
    expect(batches.tailSinceMs(1)).toBeUndefined();
  });

  test('of a partition ends with its flush', async () => {
    const rig = await openRig({ config: { ...COMPACTED, segmentMs: 500 } });
    put(rig);
    expect(rig.partition.isTailDue).toBe(false);
    await rig.env.clock.advance(500);
    expect(rig.partition.isTailDue).toBe(true);
    await rig.partition.flush();
    expect(rig.partition.isTailDue).toBe(false);
  });
});
