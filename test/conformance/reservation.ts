import assert from 'node:assert/strict';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import type { Env } from '../../broker-runtime/src/ports/env.ts';
import { reservationKey, type Reservation } from '../../broker-runtime/src/ports/reservation.ts';
import { FencedError, takeVolume } from '../../broker-runtime/src/wal/fence.ts';

/** A volume that two hosts are attached to; nobody is registered. */
export interface SharedVolumeUnderTest {
  readonly env: Env;
  readonly a: SharedHost;
  readonly b: SharedHost;
  /** Lets a simulated world go on until the promise settles; the real one needs nothing. */
  settle<T>(work: Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

export interface SharedHost {
  readonly reservation: Reservation;
  /** While this host holds. */
  openToWrite(): Promise<BlockDevice>;
  /** After this host took the volume over. */
  openToRead(): Promise<BlockDevice>;
}

export interface ReservationCase {
  readonly name: string;
  readonly run: (subject: SharedVolumeUnderTest) => Promise<void>;
}

const A = reservationKey(1, 10);
const A_LATER = reservationKey(1, 12);
const B = reservationKey(2, 11);
const NOBODY = reservationKey(3, 99);
const BLOCK = 4096;
const PLACE = 64 * BLOCK;
const DRAIN_MS = 20;

/**
 * What `ports/reservation.ts` promises and `wal/fence.ts` makes of it, as cases that every adapter passes. Plain
 * functions: the real device is only reached in a guest that has no test framework.
 */
export const RESERVATION_CASES: readonly ReservationCase[] = [
  {
    name: 'nobody holds a new volume, nobody is registered',
    run: async ({ a }) => {
      await holds(a, undefined, []);
    },
  },
  {
    name: 'registering holds nothing, and may be repeated',
    run: async ({ a, b }) => {
      await a.reservation.register(A);
      await a.reservation.register(A);
      await holds(b, undefined, [A]);
    },
  },
  {
    name: 'who registered may acquire, and again; nobody else can then',
    run: async ({ a, b }) => {
      await refused(a.reservation.acquire(A));
      await a.reservation.register(A);
      await a.reservation.acquire(A);
      await a.reservation.acquire(A);
      await b.reservation.register(B);
      await refused(b.reservation.acquire(B));
      await holds(b, A, [A, B]);
    },
  },
  {
    name: 'a host that registers again replaces its key and keeps what it holds',
    run: async ({ a }) => {
      await a.reservation.register(A);
      await a.reservation.acquire(A);
      await a.reservation.register(A_LATER);
      await holds(a, A_LATER, [A_LATER]);
      await refused(a.reservation.release(A));
    },
  },
  {
    name: 'a release gives up reservation and registration, and the other may have it',
    run: async ({ a, b }) => {
      await a.reservation.register(A);
      await a.reservation.acquire(A);
      await b.reservation.register(B);
      await a.reservation.release(A);
      await holds(a, undefined, [B]);
      await refused(a.reservation.release(A));
      await b.reservation.acquire(B);
      await holds(a, B, [B]);
    },
  },
  {
    name: 'a registrant that does not hold releases only itself',
    run: async ({ a, b }) => {
      await a.reservation.register(A);
      await a.reservation.acquire(A);
      await b.reservation.register(B);
      await b.reservation.release(B);
      await holds(a, A, [A]);
    },
  },
  {
    name: 'a preempt of the holder moves the reservation, and the displaced cannot take it back',
    run: async ({ a, b }) => {
      await bothWithAHolding(a, b);
      await b.reservation.preemptAndAbort(B, A);
      await holds(a, B, [B]);
      await refused(a.reservation.acquire(A));
      await refused(a.reservation.preemptAndAbort(A, B));
      await holds(a, B, [B]);
    },
  },
  {
    name: 'a preempt names whom it displaces: a key that is not there is a conflict',
    run: async ({ a, b }) => {
      await bothWithAHolding(a, b);
      await refused(b.reservation.preemptAndAbort(B, NOBODY));
      await holds(a, A, [A, B]);
    },
  },
  {
    name: 'a preempt of who does not hold removes only that one',
    run: async ({ a, b }) => {
      await bothWithAHolding(a, b);
      await a.reservation.preemptAndAbort(A, B);
      await holds(a, A, [A]);
    },
  },
  {
    name: 'a preempt while nobody holds reserves nothing',
    run: async ({ a, b }) => {
      await a.reservation.register(A);
      await b.reservation.register(B);
      await b.reservation.preemptAndAbort(B, A);
      await holds(a, undefined, [B]);
    },
  },
  {
    name: 'what is no key is refused, also as a victim',
    run: async ({ a, b }) => {
      for (const key of [0, -1, 1.5, 2 ** 53, Number.NaN]) {
        await assert.rejects(a.reservation.register(key), { code: 'UNSUPPORTED' });
      }
      await holds(b, undefined, []);
    },
  },
  {
    name: 'only the holder writes, and a takeover reads what was written before',
    run: async ({ env, a, b }) => {
      await takeVolume(env, a.reservation, A, { drainMs: DRAIN_MS });
      const writer = await a.openToWrite();
      await write(writer, 1);
      const proof = await takeVolume(env, b.reservation, B, { victimKey: A, drainMs: DRAIN_MS });
      assert.equal(proof.drain, 'aborted');
      await fenced(write(writer, 2));
      await holds(a, B, [B]);
      const reader = await b.openToRead();
      assert.equal(await read(reader), 1);
      await reader.close();
      const heir = await b.openToWrite();
      await write(heir, 3);
      await fenced(write(writer, 4));
      assert.equal(await read(heir), 3);
      await heir.close();
      await writer.close();
    },
  },
  {
    name: 'a takeover leaves alone whom it does not expect',
    run: async ({ env, a, b }) => {
      await takeVolume(env, a.reservation, A, { drainMs: DRAIN_MS });
      const options = { victimKey: NOBODY, expectedHolders: [NOBODY], drainMs: DRAIN_MS };
      await assert.rejects(takeVolume(env, b.reservation, B, options), FencedError);
      await holds(a, A, [A]);
    },
  },
  {
    name: 'a takeover of a volume that its holder released waits for writes, and clears who is left',
    run: async ({ env, a, b }) => {
      await takeVolume(env, a.reservation, A, { drainMs: DRAIN_MS });
      await a.reservation.release(A);
      const proof = await takeVolume(env, b.reservation, B, { victimKey: A, drainMs: DRAIN_MS });
      assert.equal(proof.drain, 'waited');
      await holds(a, B, [B]);
    },
  },
];

async function bothWithAHolding(a: SharedHost, b: SharedHost): Promise<void> {
  await a.reservation.register(A);
  await a.reservation.acquire(A);
  await b.reservation.register(B);
}

async function holds(
  host: SharedHost,
  holder: number | undefined,
  registrants: readonly number[],
): Promise<void> {
  const report = await host.reservation.report();
  assert.equal(report.holder, holder);
  assert.deepEqual(
    report.registrants.toSorted((x, y) => x - y),
    registrants.toSorted((x, y) => x - y),
  );
}

function refused(command: Promise<void>): Promise<void> {
  return assert.rejects(command, { code: 'CONFLICT' });
}

function fenced(work: Promise<void>): Promise<void> {
  return assert.rejects(work, { code: 'FENCED' });
}

function write(device: BlockDevice, value: number): Promise<void> {
  return device.write(PLACE, device.allocate(BLOCK).fill(value));
}

async function read(device: BlockDevice): Promise<number | undefined> {
  const into = device.allocate(BLOCK);
  await device.read(PLACE, into);
  return into[BLOCK - 1];
}
