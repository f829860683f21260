import { describe, expect, test } from '@jest/globals';
import { NodeLoads } from '../../broker-runtime/src/controller/node-loads.ts';
import {
  busyMicros,
  MAX_REPORTED_PARTITIONS,
  nodeLoad,
  readNodeLoad,
} from '../../broker-runtime/src/metadata/node-load.ts';
import type { Clock } from '../../broker-runtime/src/ports/clock.ts';

const MIB = 1024 ** 2;
const rate = (index: number, mibIn: number) => ({
  topicId: 't',
  index,
  bytesInPerS: mibIn * MIB,
  bytesOutPerS: 0,
  requestsPerS: 0,
});

describe('what brokers report', () => {
  test('a core is busy with half a GiB in a second, three GiB out, or 33,000 requests', () => {
    const idle = { bytesInPerS: 0, bytesOutPerS: 0, requestsPerS: 0 };
    expect(busyMicros({ ...idle, bytesInPerS: 526 * MIB })).toBeCloseTo(1_000_000, -4);
    expect(busyMicros({ ...idle, bytesOutPerS: 3_030 * MIB })).toBeCloseTo(1_000_000, -4);
    expect(busyMicros({ ...idle, requestsPerS: 33_333 })).toBeCloseTo(1_000_000, -4);
  });

  test('the busiest partitions only, however many there are', () => {
    const load = nodeLoad(Array.from({ length: 1_000 }, (_, n) => rate(n, n / 100)));
    expect(load).toHaveLength(MAX_REPORTED_PARTITIONS);
    expect(load[0]).toMatchObject({ index: 999 });
    expect(nodeLoad([rate(1, 0)])).toEqual([]);
  });

  test('from another release, or damaged: what does not fit is left out, and no heartbeat is refused', () => {
    expect(readNodeLoad(undefined)).toBeUndefined();
    expect(readNodeLoad({ partitions: [] })).toBeUndefined();
    const good = rate(1, 1);
    const bad = [null, 7, { ...good, index: -1 }, { ...good, requestsPerS: 'many' }, { ...good, topicId: 7 }];
    expect(readNodeLoad([...bad, good])).toEqual([good]);
    expect(readNodeLoad(Array(1_000).fill(good))).toHaveLength(MAX_REPORTED_PARTITIONS);
  });
});

describe('what the controller knows', () => {
  test('stays with a partition that moves until its new leader has measured it, and is forgotten after 20 s', () => {
    let nowMs = 0;
    const loads = new NodeLoads({ monotonicMs: () => nowMs } as Clock);
    loads.report([rate(1, 10), rate(2, 10)]);
    // The old leader reports again, without the partition that moved.
    nowMs = 10_000;
    loads.report([rate(2, 20)]);
    expect(loads.busyMicros('t', 1)).toBe(19_000);
    expect(loads.busyMicros('t', 2)).toBe(38_000);
    expect(loads.busyMicros('t', 3)).toBe(0);
    nowMs = 20_001;
    expect(loads.busyMicros('t', 1)).toBe(0);
    expect(loads.busyMicros('t', 2)).toBe(38_000);
  });
});
