import { describe, expect, test } from '@jest/globals';
import { ReservationError, reservationKey } from '../../broker-runtime/src/ports/reservation.ts';
import {
  FencedError,
  takeVolume,
  type FenceProof,
  type TakeoverOptions,
} from '../../broker-runtime/src/wal/fence.ts';
import { watchReservation } from '../../broker-runtime/src/wal/reservation-watch.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { simEnv, type SimEnv } from '../simulation/world/sim-env.ts';
import {
  SimReservations,
  type ReservationCommand,
  type SimHostReservation,
} from '../simulation/world/sim-reservation.ts';

const A = reservationKey(1, 10);
const B = reservationKey(2, 11);
const C = reservationKey(3, 12);
const BLOCK = 4096;
const DRAIN_MS = 30_000;

class FenceWorld {
  readonly env: SimEnv = simEnv(1);
  readonly disk = new SimDisk({ capacityBytes: 64 * BLOCK, clock: this.env.clock, random: this.env.random });
  readonly reservations = new SimReservations(this.disk, this.env.clock);
  readonly a = this.reservations.host('a');
  readonly b = this.reservations.host('b');
  readonly c = this.reservations.host('c');

  take(
    host: SimHostReservation,
    key: number,
    options: Partial<TakeoverOptions> = {},
    limitMs?: number,
  ): Promise<FenceProof> {
    return this.env.clock.run(takeVolume(this.env, host, key, { drainMs: DRAIN_MS, ...options }), limitMs);
  }

  /** A holds, and a write of it stays in the device until the test ends it. */
  async withWriteOfA(): Promise<{ finish: () => void; ended: Promise<string> }> {
    await this.take(this.a, A);
    const device = this.disk.open('a');
    this.disk.isHeld = true;
    const ended = device.write(0, device.allocate(BLOCK).fill(7)).then(
      () => 'stored',
      () => 'failed',
    );
    return {
      finish: () => {
        for (const write of this.disk.pending) write.finish('stored');
      },
      ended,
    };
  }

  /** The first command of this kind ends so. */
  once(command: ReservationCommand, fate: 'lost' | 'dropped'): void {
    let isDone = false;
    this.reservations.decide = (each) => {
      if (isDone || each !== command) return 'given';
      isDone = true;
      return fate;
    };
  }
}

describe('reservation keys', () => {
  test('tell node and epoch apart and stay below 2^53', () => {
    expect(reservationKey(0, 1)).toBe(1);
    expect(reservationKey(1, 1)).toBe(2 ** 37 + 1);
    expect(reservationKey(65_535, 2 ** 37 - 1)).toBe(Number.MAX_SAFE_INTEGER);
  });

  test.each([
    [-1, 1],
    [65_536, 1],
    [1, 0],
    [1, 2 ** 37],
    [0.5, 1],
    [1, Number.NaN],
  ])('node %s with epoch %s has none', (nodeId, nodeEpoch) => {
    expect(() => reservationKey(nodeId, nodeEpoch)).toThrow(ReservationError);
  });
});

describe('takeVolume', () => {
  test('of an unused volume acquires, and waits for nothing', async () => {
    const world = new FenceWorld();
    const proof = await world.take(world.a, A);
    expect(proof).toMatchObject({ volume: world.disk.name, ownKey: A, drain: 'none' });
    expect(world.env.clock.monotonicMs()).toBeLessThan(1000);
  });

  test('ends only when the write of the victim that was under way has ended', async () => {
    const world = new FenceWorld();
    const { finish, ended } = await world.withWriteOfA();
    let proof: FenceProof | undefined;
    const taking = takeVolume(world.env, world.b, B, { victimKey: A, drainMs: DRAIN_MS });
    void taking.then((made) => (proof = made));
    await world.env.clock.advance(60_000);
    expect(proof).toBeUndefined();
    finish();
    await world.env.clock.run(taking);
    expect(proof).toMatchObject({ drain: 'aborted' });
    expect(await ended).toBe('stored');
  });

  test.each(['register', 'acquire', 'report'] as const)(
    'goes on after a %s that got no answer, carried out or not',
    async (command) => {
      for (const fate of ['lost', 'dropped'] as const) {
        const world = new FenceWorld();
        world.once(command, fate);
        expect(await world.take(world.a, A)).toMatchObject({ drain: 'none' });
      }
    },
  );

  test('T4: an abort that never arrived is repeated', async () => {
    const world = new FenceWorld();
    await world.take(world.a, A);
    world.once('preempt-and-abort', 'dropped');
    expect(await world.take(world.b, B, { victimKey: A })).toMatchObject({ drain: 'aborted' });
  });

  test('T4: when the answer to the abort is lost, the report shows who holds, but not that the writes have ended: they are waited for', async () => {
    const world = new FenceWorld();
    const { finish } = await world.withWriteOfA();
    world.once('preempt-and-abort', 'lost');
    world.env.clock.timer(DRAIN_MS - 1000, finish);
    const startMs = world.env.clock.monotonicMs();
    expect(await world.take(world.b, B, { victimKey: A })).toMatchObject({ drain: 'waited' });
    expect(world.env.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(DRAIN_MS);
    expect(world.disk.pending.size).toBe(0);
  });

  test('T5: a recoverer that displaced the victim and died is displaced, and the writes of the victim are waited for', async () => {
    const world = new FenceWorld();
    const { finish } = await world.withWriteOfA();
    const dying = takeVolume(world.env, world.b, B, { victimKey: A, drainMs: DRAIN_MS });
    dying.catch(() => undefined);
    await world.env.clock.advance(1000);
    expect((await world.env.clock.run(world.c.report())).holder).toBe(B);
    world.env.clock.timer(DRAIN_MS - 1000, finish);
    const options = { victimKey: A, expectedHolders: [A, B] };
    expect(await world.take(world.c, C, options)).toMatchObject({ drain: 'waited' });
    expect(world.disk.pending.size).toBe(0);
  });

  test('a recoverer that slept does not displace the one that came after it', async () => {
    const world = new FenceWorld();
    await world.take(world.a, A);
    await world.take(world.c, C, { victimKey: A });
    const late = world.take(world.b, B, { victimKey: A, expectedHolders: [A] });
    await expect(late).rejects.toThrow(FencedError);
    await expect(late).rejects.toThrow(/held by \d+ \(node 3, epoch 12\), who may not be displaced/);
    expect((await world.env.clock.run(world.a.report())).registrants).toEqual([C]);
  });

  test('who is displaced while it waits does not come back', async () => {
    const world = new FenceWorld();
    await world.withWriteOfA();
    world.once('preempt-and-abort', 'lost');
    const taking = takeVolume(world.env, world.b, B, { victimKey: A, drainMs: DRAIN_MS });
    const failed = expect(taking).rejects.toThrow(/was removed by somebody else/);
    await world.env.clock.advance(5000);
    await world.env.clock.run(world.c.register(C));
    await world.env.clock.run(world.c.preemptAndAbort(C, B));
    await world.env.clock.advance(DRAIN_MS);
    await failed;
  });

  test('another registrant that does not hold is removed before the proof', async () => {
    const world = new FenceWorld();
    await world.take(world.a, A);
    await world.env.clock.run(world.c.register(C));
    await world.take(world.b, B, { victimKey: A });
    expect((await world.env.clock.run(world.a.report())).registrants).toEqual([B]);
  });

  test('gives up after a bounded time when nothing is answered, at once when nothing ever can be', async () => {
    const world = new FenceWorld();
    world.reservations.decide = () => 'dropped';
    await expect(world.take(world.a, A, {}, 20_000)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const unsupported = new ReservationError('UNSUPPORTED', 'no reservations here');
    const host = { ...world.a, report: () => Promise.reject(unsupported) };
    await expect(world.take(host, A)).rejects.toBe(unsupported);
  });
});

describe('watchReservation', () => {
  async function watched(): Promise<{ world: FenceWorld; lost: Error[]; stop: () => void }> {
    const world = new FenceWorld();
    await world.take(world.a, A);
    const lost: Error[] = [];
    const watch = watchReservation(world.env, world.a, A, (error) => lost.push(error));
    await world.env.clock.advance(60_000);
    expect(lost).toEqual([]);
    return { world, lost, stop: () => watch.stop() };
  }

  test('T7: tells once, within 5 s, that the reservation vanished with a detach', async () => {
    const { world, lost } = await watched();
    world.reservations.detach('a');
    await world.env.clock.advance(5100);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toBeInstanceOf(FencedError);
    await world.env.clock.advance(60_000);
    expect(lost).toHaveLength(1);
    expect(world.env.clock.pendingTimers).toBe(0);
  });

  test('tells that somebody else holds', async () => {
    const { world, lost } = await watched();
    await world.take(world.b, B, { victimKey: A });
    await world.env.clock.advance(5100);
    expect(lost[0]?.message).toMatch(/held by \d+ \(node 2, epoch 11\)/);
  });

  test('bears two reports without an answer, not three', async () => {
    const { world, lost } = await watched();
    let asked = 0;
    world.reservations.decide = () => (++asked % 3 === 0 ? 'given' : 'dropped');
    await world.env.clock.advance(60_000);
    expect(asked).toBeGreaterThan(9);
    expect(lost).toEqual([]);
    world.reservations.decide = () => 'dropped';
    await world.env.clock.advance(20_100);
    expect(lost[0]?.message).toMatch(/3 reports in a row failed/);
  });

  test('a watch that was stopped tells nothing', async () => {
    const { world, lost, stop } = await watched();
    stop();
    world.reservations.detach('a');
    await world.env.clock.advance(60_000);
    expect(lost).toEqual([]);
  });
});
