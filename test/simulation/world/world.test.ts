import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MemoryObjectStore } from './memory-object-store.ts';
import { SimClock } from './sim-clock.ts';
import { simEnv } from './sim-env.ts';
import { SimRandom } from './sim-random.ts';

const ABSENT = { kind: 'absent' } as const;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('SimRandom', () => {
  test('equal seeds give equal draws, different seeds different ones', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (seed) => {
        const draws = (random: SimRandom): number[] =>
          Array.from({ length: 8 }, () => random.below(0x1_0000_0000));
        expect(draws(new SimRandom(seed))).toEqual(draws(new SimRandom(seed)));
        expect(draws(new SimRandom(seed))).not.toEqual(draws(new SimRandom(seed + 1)));
      }),
    );
  });

  test('below covers its bound evenly', () => {
    const random = new SimRandom(7);
    const counts = new Array<number>(10).fill(0);
    for (let n = 0; n < 10_000; n++) {
      const drawn = random.below(10);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });

  test('uuid is an RFC 4122 version 4 UUID', () => {
    const random = new SimRandom(1);
    for (let n = 0; n < 50; n++) {
      expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  });
});

describe('SimClock', () => {
  test('timers fire in the order of their time, each with all its consequences before the next', async () => {
    const clock = new SimClock();
    const seen: string[] = [];
    clock.timer(20, () => seen.push(`b@${clock.monotonicMs()}`));
    clock.timer(10, () => {
      seen.push(`a@${clock.monotonicMs()}`);
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => seen.push(`after a@${clock.monotonicMs()}`));
      clock.timer(5, () => seen.push(`nested@${clock.monotonicMs()}`));
    });
    await clock.advance(19);
    expect(seen).toEqual(['a@10', 'after a@10', 'nested@15']);
    await clock.advance(1);
    expect(seen.at(-1)).toBe('b@20');
    expect(clock.monotonicMs()).toBe(20);
  });

  test('any timers fire sorted by time, ties by the seed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(50), { maxLength: 60 }), fc.nat(), async (delays, seed) => {
        const order = async (): Promise<number[]> => {
          const clock = new SimClock(new SimRandom(seed));
          const fired: number[] = [];
          delays.forEach((delay, index) => clock.timer(delay, () => fired.push(index)));
          await clock.advance(50);
          return fired;
        };
        const fired = await order();
        const times = fired.map((index) => delays[index]);
        expect(times).toEqual([...delays].sort((a, b) => a - b));
        expect(await order()).toEqual(fired);
      }),
      { numRuns: 50 },
    );
  });

  test('a cancelled timer does not fire, and cancelling later is harmless', async () => {
    const clock = new SimClock();
    let fired = 0;
    const timer = clock.timer(1, () => fired++);
    timer.cancel();
    const other = clock.timer(2, () => fired++);
    await clock.advance(5);
    other.cancel();
    expect(fired).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  test('sleep rejects with the reason of the signal and leaves no timer', async () => {
    const clock = new SimClock();
    const abort = new AbortController();
    const sleeping = clock.sleep(1000, abort.signal);
    abort.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await expect(clock.sleep(1, abort.signal)).rejects.toThrow('enough');
    expect(clock.pendingTimers).toBe(0);
  });

  test('afterTurn runs after everything that is due at the same moment', async () => {
    const clock = new SimClock(new SimRandom(3));
    const seen: string[] = [];
    clock.timer(1, () => {
      clock.afterTurn(() => seen.push('flush'));
      seen.push('first');
    });
    clock.timer(1, () => seen.push('second'));
    await clock.advance(1);
    expect(seen.at(-1)).toBe('flush');
    expect(seen).toHaveLength(3);
  });

  test('run moves time just as far as the work needs, and tells when nothing can settle it', async () => {
    const clock = new SimClock();
    expect(await clock.run(clock.sleep(250).then(() => clock.monotonicMs()))).toBe(250);
    await expect(clock.run(new Promise(() => undefined))).rejects.toThrow('no timer is left');
    clock.timer(2000, () => undefined);
    await expect(clock.run(new Promise(() => undefined), 1000)).rejects.toThrow('after 1000 ms');
  });

  test('the wall clock jumps alone', () => {
    const clock = new SimClock();
    const before = clock.wallMs();
    clock.jumpWall(-3_600_000);
    expect(clock.wallMs()).toBe(before - 3_600_000);
    expect(clock.monotonicMs()).toBe(0);
  });
});

describe('MemoryObjectStore faults', () => {
  test('lose-answer stores the object and answers UNKNOWN; fail stores nothing', async () => {
    const store = new MemoryObjectStore();
    store.failNext('put', { kind: 'lose-answer' });
    store.failNext('put', { kind: 'fail' });
    expect(await store.put('a', [bytes('1')], ABSENT)).toMatchObject({ outcome: 'unknown' });
    expect(await store.put('b', [bytes('2')], ABSENT)).toMatchObject({ outcome: 'unknown' });
    expect(await store.put('a', [bytes('1')], ABSENT)).toEqual({ outcome: 'rejected', reason: 'exists' });
    expect(await store.put('b', [bytes('2')], ABSENT)).toMatchObject({ outcome: 'committed' });
  });

  test('land-late applies the old bytes later, under the condition as it is then', async () => {
    const { clock } = simEnv(1);
    const store = new MemoryObjectStore(clock);
    const body = bytes('old');
    store.failNext('put', { kind: 'land-late', afterMs: 1000 }, 2);
    expect(await store.put('late', [body], ABSENT)).toMatchObject({ outcome: 'unknown' });
    expect(await store.put('taken', [body], ABSENT)).toMatchObject({ outcome: 'unknown' });
    body.fill(0);
    expect(await store.put('taken', [bytes('new')], ABSENT)).toMatchObject({ outcome: 'committed' });
    expect(await store.head('late')).toBeUndefined();
    await clock.advance(1000);
    expect((await store.get('late')).body).toEqual(bytes('old'));
    expect((await store.get('taken')).body).toEqual(bytes('new'));
  });

  test('an outage touches nothing and ends', async () => {
    const bucket = new MemoryObjectStore().bucket;
    const store = new MemoryObjectStore(undefined, bucket);
    const other = new MemoryObjectStore(undefined, bucket);
    store.unavailable = true;
    expect(await store.put('a', [bytes('x')], ABSENT)).toMatchObject({ outcome: 'unknown' });
    await expect(store.head('a')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await other.head('a')).toBeUndefined();
    store.unavailable = false;
    expect(await store.head('a')).toBeUndefined();
  });

  test('a plan sees every request; denied and corrupt do what they say', async () => {
    const store = new MemoryObjectStore();
    await store.put('a', [bytes('hello')], ABSENT);
    store.faults = (operation) => (operation === 'get' ? { kind: 'corrupt' } : { kind: 'denied' });
    const { body } = await store.get('a');
    expect(Buffer.compare(body, bytes('hello'))).not.toBe(0);
    await expect(store.put('b', [], ABSENT)).rejects.toMatchObject({ code: 'DENIED' });
    store.faults = undefined;
    expect((await store.get('a')).body).toEqual(bytes('hello'));
    expect(store.requests).toMatchObject({ put: 2, get: 2 });
  });

  test('changing the pieces before put settles is found (P11)', async () => {
    const { clock } = simEnv(1);
    const store = new MemoryObjectStore(clock);
    store.delayMs = () => 10;
    const body = bytes('mine');
    const putting = store.put('a', [body], ABSENT);
    clock.timer(7, () => body.fill(0));
    await expect(clock.run(putting)).rejects.toMatchObject({ invariant: 'P11' });
  });
});
