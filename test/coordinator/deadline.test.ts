import { describe, expect, test } from '@jest/globals';
import { Deadline } from '../../broker-runtime/src/coordinator/deadline.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

function started(): { clock: SimClock; deadline: Deadline; passedAtMs: number[] } {
  const clock = new SimClock();
  const passedAtMs: number[] = [];
  const deadline = new Deadline(clock, () => passedAtMs.push(clock.monotonicMs()));
  return { clock, deadline, passedAtMs };
}

describe('a deadline', () => {
  test('passes once, at its moment', async () => {
    const { clock, deadline, passedAtMs } = started();
    deadline.set(100);
    await clock.advance(1000);
    expect(passedAtMs).toEqual([100]);
    expect(deadline.isSet).toBe(false);
  });

  test('that is pushed back passes at the last moment given, with one timer at a time', async () => {
    const { clock, deadline, passedAtMs } = started();
    for (let beat = 0; beat < 50; beat++) {
      deadline.set(100);
      expect(clock.pendingTimers).toBe(1);
      await clock.advance(30);
    }
    await clock.advance(1000);
    expect(passedAtMs).toEqual([49 * 30 + 100]);
  });

  test('can be brought forward', async () => {
    const { clock, deadline, passedAtMs } = started();
    deadline.set(1000);
    deadline.set(10);
    await clock.advance(2000);
    expect(passedAtMs).toEqual([10]);
  });

  test('that is cleared never passes, and can be set again', async () => {
    const { clock, deadline, passedAtMs } = started();
    deadline.set(10);
    deadline.clear();
    await clock.advance(100);
    expect(passedAtMs).toEqual([]);
    deadline.set(10);
    await clock.advance(100);
    expect(passedAtMs).toEqual([110]);
  });
});
