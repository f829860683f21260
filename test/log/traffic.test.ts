import { expect, test } from '@jest/globals';
import { Traffic, TrafficMeter } from '../../broker-runtime/src/log/traffic.ts';
import type { Clock } from '../../broker-runtime/src/ports/clock.ts';

function meterAt(): { meter: TrafficMeter; readonly pass: (ms: number) => void } {
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs } as Clock;
  return { meter: new TrafficMeter(clock), pass: (ms) => void (nowMs += ms) };
}

test('the first measurement gives no rate, the second the whole rate since the first', () => {
  const { meter, pass } = meterAt();
  const traffic = new Traffic();
  traffic.bytesIn = 1_000_000;
  expect(meter.measure(traffic)).toBeUndefined();
  pass(5_000);
  traffic.bytesIn += 5_000;
  traffic.bytesOut += 10_000;
  traffic.requests += 50;
  expect(meter.measure(traffic)).toEqual({ bytesInPerS: 1_000, bytesOutPerS: 2_000, requestsPerS: 10 });
});

test('a burst fades: after a minute of silence little of it is left, and a steady rate is met', () => {
  const { meter, pass } = meterAt();
  const traffic = new Traffic();
  const interval = (bytes: number): number => {
    pass(5_000);
    traffic.bytesIn += bytes;
    return meter.measure(traffic)?.bytesInPerS ?? NaN;
  };
  meter.measure(traffic);
  expect(interval(5_000_000)).toBe(1_000_000);
  expect(interval(0)).toBeGreaterThan(600_000);
  let rate = NaN;
  for (let n = 0; n < 12; n += 1) rate = interval(0);
  expect(rate).toBeLessThan(20_000);
  for (let n = 0; n < 24; n += 1) rate = interval(5_000);
  expect(rate).toBeCloseTo(1_000, -2);
});

test('two measurements at one moment are one', () => {
  const { meter, pass } = meterAt();
  const traffic = new Traffic();
  meter.measure(traffic);
  pass(1_000);
  traffic.requests = 7;
  const first = meter.measure(traffic);
  traffic.requests = 9;
  expect(meter.measure(traffic)).toEqual(first);
});
