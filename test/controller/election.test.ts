import { describe, expect, test } from '@jest/globals';
import { timingOf } from '../../broker-runtime/src/controller/election-options.ts';
import { LeasePace } from '../../broker-runtime/src/controller/lease-pace.ts';
import { ElectionWorld } from './election-world.ts';

const TTL_MS = 3_000;
/** A lease is seen at most a poll late, is waited for, then taken after the random delay and two requests. */
const SUCCESSION_MS = TTL_MS + TTL_MS / 2 + TTL_MS / 10 + 200;

describe('one candidate', () => {
  test('makes the lease, leads, renews three times in a ttl, and keeps the term', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1, 200);
    expect(a.election.state).toBe('leader');
    expect(world.lease()).toMatchObject({ epoch: 1, owner: { host: 'a', port: 9 }, released: false });
    const { counter } = world.lease();
    await world.advance(60_000);
    expect(a).toMatchObject({ isValid: true, terms: [1], lost: [] });
    expect(Number(world.lease()['counter']) - Number(counter)).toBe(60);
  });

  test('whoever looks for the controller finds it, and nobody after it was stopped', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    const b = world.add('b');
    const { env } = world;
    expect(await env.clock.run(b.election.currentLeader())).toEqual({ host: 'a', port: 9, epoch: 1 });
    await env.clock.run(Promise.all([b.election.stop(), a.election.stop()]));
    expect(await env.clock.run(b.election.currentLeader())).toBeUndefined();
    expect(a.lost).toEqual(['stopped']);
  });

  test('an epoch is above what the log has already, and never given twice, though the object is deleted', async () => {
    const world = new ElectionWorld();
    const a = world.add('a', { epochSeen: () => 41 });
    await world.until(1);
    world.journals.bucket.objects.delete('lease/controller');
    await world.until(0);
    await world.until(1);
    expect(a).toMatchObject({ terms: [42, 43], lost: ['rejected'] });
  });

  test.each(['{', '{}', 'null', '{"format":2}'])(
    'the lease %s is not understood: the election fails',
    async (text) => {
      const world = new ElectionWorld();
      world.journals.bucket.objects.set('lease/controller', { body: Buffer.from(text), etag: 'x' });
      const a = world.add('a');
      await world.advance(1_000);
      expect(a.failures).toMatchObject([{ code: 'LEASE_MALFORMED' }]);
      expect(a.terms).toEqual([]);
    },
  );

  test('a denied request is a misconfiguration, not an answer about the lease', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    a.store.faults = () => ({ kind: 'denied' });
    await world.advance(10_000);
    expect(a).toMatchObject({ lost: ['failed'], failures: [{ code: 'DENIED' }], isValid: false });
  });

  test('timing options that contradict each other are refused', () => {
    expect(() => new ElectionWorld().add('a', { ttlMs: 900, marginMs: 600 })).toThrow(/marginMs 600/);
  });
});

describe('succession', () => {
  test('the leader crashes: another leads within a bound, with a higher epoch', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const world = new ElectionWorld(seed);
      const all = ['a', 'b', 'c'].map((name) => world.add(name));
      await world.until(1);
      await world.advance(world.env.random.below(10_000));
      const old = world.leader();
      old.clock.kill();
      const tookMs = await world.until(
        1,
        SUCCESSION_MS,
        all.filter((candidate) => candidate !== old),
      );
      expect(tookMs).toBeGreaterThan(TTL_MS / 3);
      expect(world.overlaps).toBe(0);
      expect(world.lease()).toMatchObject({ epoch: 2 });
    }
  });

  test('the leader stops: the next one need not wait for the ttl', async () => {
    const world = new ElectionWorld();
    const [a, b] = [world.add('a'), world.add('b', { pollMs: 100 })];
    await world.until(1);
    const [old, young] = world.leader() === a ? [a, b] : [b, a];
    await world.env.clock.run(old.election.stop());
    young.election.lookNow();
    expect(await world.until(1, 1_000, [young])).toBeLessThan(200);
  });

  test('restarted in place with the same identity: takes its own lease at once; another identity waits', async () => {
    for (const [ownerId, limitMs] of [
      ['folder 1', 200],
      ['folder 2', SUCCESSION_MS],
    ] as const) {
      const world = new ElectionWorld();
      const old = world.add('old', { ownerId: 'folder 1' });
      await world.until(1);
      old.clock.kill();
      const again = world.add('again', { ownerId });
      const tookMs = await world.until(1, limitMs, [again]);
      if (ownerId === 'folder 2') expect(tookMs).toBeGreaterThan(TTL_MS - TTL_MS / 3);
    }
  });

  test('who cannot serve gives the lease back and lets others try first', async () => {
    const world = new ElectionWorld();
    const a = world.add('a', { writes: true });
    a.store.faults = (operation, key) =>
      operation === 'put' && key.startsWith('meta/') ? { kind: 'denied' } : undefined;
    await world.until(0);
    await world.advance(500);
    expect(a.lost[0]).toBe('failed');
    const b = world.add('b', { writes: true });
    await world.until(1, 1_000, [b]);
    await world.advance(30_000);
    expect(world.leader()).toBe(b);
    expect(a.terms.length).toBe(1);
  });
});

describe('the store does not answer the leader', () => {
  test('the term ends in time, before anybody else may lead', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    a.store.unavailable = true;
    const b = world.add('b');
    await world.until(1, 10_000, [b]);
    expect(world.overlaps).toBe(0);
    expect(a.lost).toEqual(['expired']);
    a.store.unavailable = false;
    await world.advance(20_000);
    expect(world.leader()).toBe(b);
  });

  test('a request that hangs does not keep the term alive', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    a.store.delayMs = () => 60_000;
    await world.advance(3_000);
    expect(a).toMatchObject({ isValid: false, lost: ['expired'] });
  });

  test.each([
    ['P1: the answer was lost', { kind: 'lose-answer' }, 3],
    ['the request was lost', { kind: 'fail' }, 3],
    ['P2: 409', { kind: 'conflict' }, 3],
    ['it lands a little late', { kind: 'land-late', afterMs: 100 }, 3],
  ] as const)('%s: the term goes on', async (_what, fault, times) => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    for (let n = 0; n < 20; n++) {
      a.store.failNext('put', fault, times);
      await world.advance(1_100);
    }
    expect(a).toMatchObject({ isValid: true, lost: [] });
  });

  test('P5: a lease found to be ours is renewed once more before it counts', async () => {
    const world = new ElectionWorld();
    const a = world.add('a', { candidateDelayMs: 0 });
    a.store.failNext('put', { kind: 'lose-answer' });
    await world.until(1, 500);
    expect(world.lease()).toMatchObject({ counter: 2, epoch: 1 });
    expect(a.terms).toEqual([1]);
  });
});

describe('clocks (R9)', () => {
  test('a jump of the wall clock makes the term suspect until it is renewed', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    for (const byMs of [3_600_000, -3_600_000, 1_500]) {
      a.clock.jumpWall(byMs);
      expect(a.isValid).toBe(false);
      await world.until(1, 1_600);
    }
    a.clock.jumpWall(500);
    expect(a.isValid).toBe(true);
    expect(a.lost).toEqual([]);
  });

  test('after a standstill nothing is valid until it is renewed, though the ttl is long', async () => {
    const world = new ElectionWorld();
    const a = world.add('a', { ttlMs: 60_000 });
    await world.until(1);
    a.clock.pause(4_000);
    await world.advance(3_000);
    expect(a.isValid).toBe(false);
    await world.advance(1_600);
    expect(a.isValid).toBe(false);
    await world.until(1, 20_000);
    expect(a.lost).toEqual([]);
  });
});

describe('a slow object store', () => {
  const SLOW_MS = 2_000;

  test('leader-churn: one term at most is lost when every answer begins to take two seconds; the next one lasts', async () => {
    const world = new ElectionWorld();
    const all = [world.add('a'), world.add('b'), world.add('c')];
    await world.until(1);
    for (const { store } of all) store.delayMs = () => SLOW_MS;
    await world.advance(30_000);
    const terms = () => all.flatMap((one) => one.terms);
    const settled = terms().length;
    expect(settled).toBeLessThanOrEqual(2);
    await world.advance(300_000);
    expect(terms()).toHaveLength(settled);
    expect(all.filter(({ isValid }) => isValid)).toHaveLength(1);
  });

  test('lets the lease live longer, and no longer than before when it is fast again', async () => {
    const world = new ElectionWorld();
    const a = world.add('a');
    await world.until(1);
    a.store.delayMs = () => SLOW_MS;
    await world.advance(30_000);
    expect(world.lease()['ttlMs']).toBe(3 * SLOW_MS);
    a.store.delayMs = () => 1;
    await world.advance(30_000);
    expect(world.lease()['ttlMs']).toBe(TTL_MS);
  });

  test('has a limit: a lease is never longer than five of its usual ttls', () => {
    const pace = new LeasePace(timingOf({ host: 'a', port: 9, ttlMs: TTL_MS }));
    pace.answered(60_000);
    expect(pace.ttlMs).toBe(5 * TTL_MS);
  });
});
