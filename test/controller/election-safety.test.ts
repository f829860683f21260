import { describe, expect, test } from '@jest/globals';
import { decodeEntry } from '../../broker-runtime/src/wal/conditional/entry.ts';
import type { StoreFault, StoreOperation } from '../simulation/world/memory-object-store.ts';
import type { Candidate } from './election-world.ts';
import { ElectionWorld } from './election-world.ts';

const SEEDS = Array.from({ length: 8 }, (_, n) => n + 1);
/** Requests of one process around which it is paused: opening, serving, and a takeover have fewer. */
const PAUSED_STEPS = 48;
const PAUSES_A_TEST = 6;

function faultsOf(
  world: ElectionWorld,
  percent: number,
): (operation: StoreOperation) => StoreFault | undefined {
  const { random } = world.env;
  return (operation) => {
    if (random.below(100) >= percent) return undefined;
    if (operation !== 'put') return { kind: 'fail' };
    const faults: readonly StoreFault[] = [
      { kind: 'fail' },
      { kind: 'lose-answer' },
      { kind: 'conflict' },
      { kind: 'land-late', afterMs: 50 },
      { kind: 'land-late', afterMs: 5_000 },
    ];
    return faults[random.below(faults.length)];
  };
}

/** What was answered is in the log exactly once (I21), in the order of its writer; epochs do not go back (I19). */
async function checkLog(world: ElectionWorld): Promise<void> {
  await Promise.all(world.candidates.map(async ({ clock }) => clock.kill()));
  await world.advance(20_000);
  const lines = await world.journals.linesAfterRestart();
  expect(new Set(lines).size).toBe(lines.length);
  for (const { answered } of world.candidates) {
    const own = new Set(answered);
    expect(lines.filter((line) => own.has(line))).toEqual(answered);
  }
  let highest = 0;
  for (const key of world.journals.logKeys()) {
    const body = world.journals.bucket.objects.get(key)?.body ?? new Uint8Array(0);
    const { writerEpoch } = decodeEntry(body, key);
    expect(writerEpoch).toBeGreaterThanOrEqual(highest);
    highest = writerEpoch;
  }
}

function answers(candidates: readonly Candidate[]): number {
  return candidates.reduce((sum, { answered }) => sum + answered.length, 0);
}

describe('never two valid terms at once', () => {
  test.each(SEEDS)('three candidates, lost and late answers, pauses, seed %i', async (seed) => {
    const world = new ElectionWorld(seed);
    const { random } = world.env;
    // Clocks differ by less than 1 % (protocol 2.4).
    const all = ['a', 'b', 'c'].map((name) => world.add(name, { rate: 1 + (random.below(20) - 10) / 1_000 }));
    for (const { store } of all) store.faults = faultsOf(world, 20);
    let led = 0;
    for (let step = 0; step < 60; step++) {
      const candidate = all[random.below(all.length)];
      const dice = random.below(10);
      if (dice === 0) candidate?.clock.pause(random.below(8_000));
      if (dice === 1) candidate?.clock.jumpWall(random.between(-5_000, 5_000));
      if (dice === 2 && candidate !== undefined) candidate.store.unavailable = random.chance(0.5);
      await world.advance(random.below(1_500));
      led += world.valid.length;
    }
    expect(world.overlaps).toBe(0);
    expect(led).toBeGreaterThan(10);
    for (const { store } of all) {
      store.faults = undefined;
      store.unavailable = false;
    }
    await world.advance(20_000);
    expect(world.valid).toHaveLength(1);
    // Each term has an epoch of its own, and each process saw its own rise.
    const terms = all.flatMap((candidate) => candidate.terms);
    expect(new Set(terms).size).toBe(terms.length);
    for (const candidate of all) expect(candidate.terms).toEqual(candidate.terms.toSorted((x, y) => x - y));
  });

  const pauses = [0, 1].flatMap((which) =>
    Array.from({ length: PAUSED_STEPS / PAUSES_A_TEST }, (_, n) => [which, 1 + n * PAUSES_A_TEST] as const),
  );
  test.each(pauses)(
    'process %i is paused between each pair of its steps, from %i on',
    async (which, from) => {
      for (let pauseAt = from; pauseAt < from + PAUSES_A_TEST; pauseAt++) {
        const world = new ElectionWorld(pauseAt);
        const [a, b] = [world.add('a', { writes: true }), world.add('b', { writes: true })];
        const paused = which === 0 ? a : b;
        let wasPaused = false;
        paused.onStep = (step) => {
          if (step !== pauseAt) return;
          paused.clock.pause(5_000);
          wasPaused = true;
        };
        // The leader goes away in the middle, so that both roles are paused in.
        await world.advance(1_500);
        for (const leader of world.valid) leader.clock.pause(4_500);
        await world.advance(10_000);
        expect([wasPaused, world.overlaps]).toEqual([true, 0]);
        expect(answers([a, b])).toBeGreaterThan(20);
        await checkLog(world);
      }
    },
  );
});

describe('when the lease does not keep them apart, the log does', () => {
  test.each(SEEDS)('clocks at half and double speed, seed %i', async (seed) => {
    const world = new ElectionWorld(seed);
    const { random } = world.env;
    const rates = [0.5, 1, 2];
    const all = rates.map((rate) => world.add(`rate ${rate}`, { rate, writes: true }));
    for (const { store } of all) store.faults = faultsOf(world, 10);
    for (let step = 0; step < 25; step++) {
      const candidate = all[random.below(all.length)];
      if (random.chance(0.4)) candidate?.clock.pause(random.below(6_000));
      if (random.chance(0.2)) candidate?.clock.jumpWall(random.between(-3_000, 3_000));
      await world.advance(random.below(2_000));
    }
    expect(answers(all)).toBeGreaterThan(20);
    await checkLog(world);
  });

  test('two that both believe to lead: answered is in the log once, and the later one goes on', async () => {
    const world = new ElectionWorld(3);
    const slow = world.add('slow', { rate: 0.5, writes: true });
    await world.until(1);
    await world.advance(500);
    const fast = world.add('fast', { rate: 2, writes: true });
    // Cut off from the lease alone, so that its term lives on by its slow clock while the other takes over.
    slow.store.faults = (_operation, key) => (key === 'lease/controller' ? { kind: 'fail' } : undefined);
    await world.until(1, 20_000, [fast]);
    expect(world.overlaps).toBeGreaterThan(0);
    await world.advance(2_000);
    expect(slow.lost).toEqual(['superseded']);
    expect(slow.answered.length).toBeGreaterThan(5);
    expect(fast.answered.length).toBeGreaterThan(5);
    await checkLog(world);
  });

  test('P8: a zombie that writes as fast as it can does not keep its successor out', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const world = new ElectionWorld(seed);
      const zombie = world.add('zombie', { rate: 0.1, writes: true });
      await world.until(1);
      zombie.store.delayMs = () => 1;
      zombie.store.faults = (_operation, key) => (key === 'lease/controller' ? { kind: 'fail' } : undefined);
      const young = world.add('young', { writes: true });
      await world.until(1, 30_000, [young]);
      await world.advance(3_000);
      expect(young.answered.length).toBeGreaterThan(5);
      expect(zombie.lost).toEqual(['superseded']);
      await checkLog(world);
    }
  });

  test('a term has the epoch of its journal, unless the log was further on', async () => {
    const world = new ElectionWorld();
    const a = world.add('a', { writes: true });
    await world.until(1);
    await world.advance(500);
    expect(a.journals).toEqual(a.terms);
  });
});
