import { describe, expect, test } from '@jest/globals';
import { reservationKey } from '../../broker-runtime/src/ports/reservation.ts';
import {
  BlockWal,
  formatBlockWal,
  recoverBlockWal,
  type MayAcknowledge,
} from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited, takeVolume, type WriterIsGone } from '../../broker-runtime/src/wal/fence.ts';
import { collect, KIB, OWNER, payload, RecordingListener, SMALL } from '../wal/block-wal-world.ts';
import { SimDisk } from './world/sim-block-device.ts';
import { simEnv, type SimEnv } from './world/sim-env.ts';
import { SimReservations, type AnswerFate } from './world/sim-reservation.ts';

const A = reservationKey(1, 10);
const B = reservationKey(2, 11);
const LEASE_MS = 500;
/** Longer than any write takes. */
const DRAIN_MS = 1000;
const SEEDS = 150;

/**
 * How host B gets at the log of host A, which knows nothing of it.
 *   - fence: takeVolume, and every command may lose its answer
 *   - preempt: the canary B1, a plain preempt
 *   - preempt-lease: B3, a plain preempt and a wait for lease and drain, with the lease checked after each write
 *   - read-first: the canary B6
 */
type Variant = 'fence' | 'preempt' | 'preempt-lease' | 'read-first';

/** A node lease as host A sees it: renewed until the takeover begins, and then never again. */
function leaseOf(env: SimEnv, isRenewed: () => boolean): MayAcknowledge {
  let validUntilMs = LEASE_MS;
  const never = new Promise<void>(() => undefined);
  return () => {
    const nowMs = env.clock.monotonicMs();
    if (isRenewed()) validUntilMs = nowMs + LEASE_MS;
    return nowMs < validUntilMs || never;
  };
}

/** Offsets that A acknowledged and B did not read. */
async function lostBy(variant: Variant, env: SimEnv): Promise<number[]> {
  const disk = new SimDisk({
    capacityBytes: 520 * KIB,
    clock: env.clock,
    random: env.random.fork(),
    latencyMs: [0.1, 400],
  });
  const reservations = new SimReservations(disk, env.clock);
  const [a, b] = [reservations.host('a'), reservations.host('b')];
  let isTakenOver = false;
  const acked: number[] = [];

  const proof = await takeVolume(env, a, A, { drainMs: 0 });
  const writer = disk.open('a');
  await formatBlockWal([writer], OWNER, env);
  const first = await recoverBlockWal([writer], OWNER, env, [proof]);
  await collect(first);
  const lease = leaseOf(env, () => !isTakenOver);
  const mayAcknowledge: MayAcknowledge = variant === 'preempt-lease' ? lease : (): true => true;
  const listener = new RecordingListener();
  const wal = await BlockWal.open(first, { ...SMALL, nodeEpoch: 10, mayAcknowledge }, env, listener);
  const append = (offset: number): void => {
    if (listener.failures.length > 0 || offset >= 60) return;
    if (wal.usedBytes < 200 * KIB) {
      const group = wal.append(1, offset, 1, 0, payload(offset, 100));
      group.durable.then(
        () => acked.push(offset),
        () => undefined,
      );
    }
    env.clock.timer(env.random.below(60), () => append(offset + 1));
  };
  append(0);

  await env.clock.sleep(300 + env.random.below(800));
  isTakenOver = true;
  const reader = disk.open('b');
  const read = async (gone: WriterIsGone): Promise<number[]> => {
    const groups = await collect(await recoverBlockWal([reader], OWNER, env, gone));
    return groups.flatMap((group) => group.entries.map((entry) => entry.baseOffset));
  };
  let recovered: number[];
  if (variant === 'fence') {
    const fates: readonly AnswerFate[] = ['lost', 'dropped'];
    reservations.decide = () => fates[env.random.below(8)] ?? 'given';
    recovered = await read([await takeVolume(env, b, B, { victimKey: A, drainMs: DRAIN_MS })]);
  } else if (variant === 'read-first') {
    recovered = await read(previousProcessExited([reader]));
    await takeVolume(env, b, B, { victimKey: A, drainMs: DRAIN_MS });
  } else {
    await b.register(B);
    await b.preempt(B, A);
    if (variant === 'preempt-lease') await env.clock.sleep(Math.max(LEASE_MS, DRAIN_MS));
    recovered = await read(previousProcessExited([reader]));
  }
  // The zombie goes on for as long as it likes.
  await env.clock.sleep(5000);
  return acked.filter((offset) => !recovered.includes(offset));
}

async function seedsThatLose(variant: Variant): Promise<number[]> {
  const losing: number[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const env = simEnv(seed);
    if ((await env.clock.run(lostBy(variant, env))).length > 0) losing.push(seed);
  }
  return losing;
}

describe('a log that is taken over while its owner writes', () => {
  test.each(['fence', 'preempt-lease'] as const)(
    '%s loses nothing that was acknowledged',
    async (variant) => {
      expect(await seedsThatLose(variant)).toEqual([]);
    },
  );

  test.each(['preempt', 'read-first'] as const)(
    'canary: %s loses records, and these tests see it',
    async (variant) => {
      expect((await seedsThatLose(variant)).length).toBeGreaterThan(0);
    },
  );
});
