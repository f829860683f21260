import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FileLock } from '../../broker-runtime/src/adapters/file-lock.ts';
import { FileReservation } from '../../broker-runtime/src/adapters/file-reservation.ts';
import { openSharedFile } from '../../broker-runtime/src/adapters/shared-file.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { DEVICE_BLOCK_BYTES, type BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import { reservationKey } from '../../broker-runtime/src/ports/reservation.ts';
import { takeVolume } from '../../broker-runtime/src/wal/fence.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';
import { killChildren, startChild } from './child.ts';

const A = reservationKey(1, 10);
const B = reservationKey(2, 11);
const C = reservationKey(1, 12);
const BYTES = 256 * 1024;
const env = systemEnv({ minLevel: 'error' });
let folder: string;
let file: string;
let reservations: FileReservation[];

function host(): FileReservation {
  const reservation = new FileReservation(env.clock, file);
  reservations.push(reservation);
  return reservation;
}

async function claim(reservation: FileReservation, ownKey: number): Promise<BlockDevice> {
  await takeVolume(env, reservation, ownKey, { drainMs: 0 });
  return openSharedFile(env, file, { fresh: true, reservation, ownKey, createBytes: BYTES });
}

/** Both calls do their work before they return: nothing of this process runs between. */
function takeOverAtOnce(reservation: FileReservation, ownKey: number, victimKey: number): void {
  void reservation.register(ownKey);
  void reservation.preemptAndAbort(ownKey, victimKey);
}

async function firstNumber(device: BlockDevice): Promise<number> {
  const block = device.allocate(DEVICE_BLOCK_BYTES);
  await device.read(0, block);
  return new DataView(block.buffer, block.byteOffset).getUint32(0);
}

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-shared-'));
  file = path.join(folder, 'volume');
  reservations = [];
});
afterEach(() => {
  killChildren();
  for (const reservation of reservations) reservation.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('a file shared by processes as if by hosts', () => {
  test('a write that was under way at the takeover lands, and is not acknowledged', async () => {
    const device = await claim(host(), A);
    const block = device.allocate(DEVICE_BLOCK_BYTES).fill(1);
    const pending = device.write(0, block);
    takeOverAtOnce(host(), B, A);
    await expect(pending).rejects.toMatchObject({ code: 'FENCED' });
    // That it landed is why the check stands behind the write, and why nobody uses this file again.
    expect(readFileSync(file)[0]).toBe(1);
    await device.close();
  });

  test('the next owner writes another file: a late write of the one before does not touch it', async () => {
    const zombie = await claim(host(), A);
    const late = zombie.allocate(BYTES).fill(0xee);
    const owner = await claim(host(), C);
    await owner.write(0, owner.allocate(BYTES).fill(7));
    await expect(zombie.write(0, late)).rejects.toMatchObject({ code: 'FENCED' });
    expect(readFileSync(file).every((byte) => byte === 7)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.includes('fresh'))).toEqual([]);
    await owner.close();
    await zombie.close();
  });

  test.each([
    ['it', () => rmSync(file)],
    ['its folder', () => rmSync(folder, { recursive: true })],
  ])(
    'failure class: acknowledged-into-a-deleted-file: a write after somebody deleted %s is an I/O error',
    async (_, lose) => {
      const device = await claim(host(), A);
      lose();
      await expect(device.write(0, device.allocate(BYTES))).rejects.toThrow(
        /the file was deleted while it was in use/,
      );
      await device.close();
    },
  );

  test('other hosts that come and go do not disturb the owner', async () => {
    const device = await claim(host(), A);
    const other = host();
    const block = device.allocate(DEVICE_BLOCK_BYTES).fill(3);
    for (let round = 0; round < 3; round++) {
      await other.register(B);
      await device.write(0, block);
      await other.release(B);
      await device.write(0, block);
    }
    await device.close();
  });

  test('a claimant that was displaced while it made its file does not put it in place', async () => {
    const slow = host();
    await takeVolume(env, slow, A, { drainMs: 0 });
    const opening = openSharedFile(env, file, {
      fresh: true,
      reservation: slow,
      ownKey: A,
      createBytes: BYTES,
    });
    takeOverAtOnce(host(), B, A);
    await expect(opening).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(existsSync(file)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('fresh'))).toEqual([]);
  });

  test('a reader never writes, and needs nobody to let go', async () => {
    const owner = await claim(host(), A);
    await owner.write(0, owner.allocate(DEVICE_BLOCK_BYTES).fill(5));
    const reader = await openSharedFile(env, file, { fresh: false });
    expect(reader.isExclusive).toBe(false);
    expect(await firstNumber(reader)).toBe(0x05050505);
    await expect(reader.write(0, reader.allocate(DEVICE_BLOCK_BYTES))).rejects.toMatchObject({ code: 'IO' });
    await reader.close();
    await owner.close();
  });

  test('a process stopped while it writes and woken after the takeover acknowledges nothing that was not read', async () => {
    for (let round = 0; round < 3; round++) {
      const [zombieKey, recovererKey, nextKey] = [1, 2, 3].map((node) => reservationKey(node, 20 + round));
      const zombie = startChild('write-shared-file.ts', file, String(zombieKey), String(BYTES));
      await zombie.printed(20);
      zombie.process.kill('SIGSTOP');
      const recoverer = host();
      await takeVolume(env, recoverer, recovererKey ?? 0, { victimKey: zombieKey ?? 0, drainMs: 0 });
      const reader = await openSharedFile(env, file, { fresh: false });
      const recovered = await firstNumber(reader);
      await reader.close();
      const owner = await claim(host(), nextKey ?? 0);
      await owner.write(0, owner.allocate(BYTES).fill(7));
      const printedBefore = zombie.lines.length;
      zombie.process.kill('SIGCONT');
      await zombie.printed(printedBefore + 1);
      while (zombie.process.exitCode === null) await env.clock.sleep(10);
      const numbers = zombie.lines.slice(0, -1).map(Number);
      expect(zombie.lines.at(-1)).toBe('FENCED');
      expect(Math.max(...numbers)).toBeLessThanOrEqual(recovered);
      expect(readFileSync(file).every((byte) => byte === 7)).toBe(true);
      await owner.close();
    }
  }, 60_000);
});

describe('FileReservation', () => {
  test('says UNAVAILABLE when a process was stopped in the middle of a change', async () => {
    const clock = new SimClock();
    const reservation = new FileReservation(clock, file);
    reservations.push(reservation);
    const stopped = new FileLock(`${file}.reservation.lock`);
    stopped.tryAcquire();
    const failed = expect(reservation.register(A)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(6000);
    await failed;
    stopped.close();
    await reservation.register(A);
  });

  test.each([
    '',
    '{',
    '[]',
    '{"registrants":["1"],"generation":1}',
    '{"registrants":[1],"generation":1,"holder":0}',
  ])('does not take %j for a report', async (text) => {
    writeFileSync(`${file}.reservation`, text);
    await expect(host().report()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('has room for as many hosts as a volume may be attached to', async () => {
    for (let node = 1; node <= 16; node++) await host().register(reservationKey(node, 1));
    await expect(host().register(reservationKey(17, 1))).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});
