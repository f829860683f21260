import { describe, expect, test } from '@jest/globals';
import { recoverBlockWal, type MayAcknowledge } from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited, takeVolume, type WriterIsGone } from '../../broker-runtime/src/wal/fence.ts';
import { WalClosedError } from '../../broker-runtime/src/wal/wal.ts';
import { SimReservations } from '../simulation/world/sim-reservation.ts';
import { appendOne, KIB, OWNER, payload, WalWorld, type OpenLog } from './block-wal-world.ts';

/** A lease that the test gives and takes. */
class Lease {
  isValid = true;
  asked = 0;
  #next = Promise.withResolvers<undefined>();

  readonly mayAcknowledge: MayAcknowledge = () => {
    this.asked++;
    return this.isValid || this.#next.promise;
  };

  /** A heartbeat was answered; the lease may have run out again before anybody looks. */
  renew(isValid = true): void {
    this.isValid = isValid;
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve(undefined);
  }

  refuse(): void {
    this.#next.reject(new Error('the controller fenced this node'));
  }
}

async function openWith(lease: Lease, world = new WalWorld()): Promise<OpenLog & { world: WalWorld }> {
  const log = await world.open({ mayAcknowledge: lease.mayAcknowledge });
  return { ...log, world };
}

describe('acknowledgements and the fence proof', () => {
  test('wait while there is none, and come in order when there is', async () => {
    const lease = new Lease();
    const { wal, listener, world } = await openWith(lease);
    lease.isValid = false;
    const groups = [];
    for (let offset = 0; offset < 6; offset++) {
      groups.push(await appendOne(wal, offset, payload(offset, 12 * KIB)));
    }
    await world.env.clock.advance(60_000);
    expect(listener.durable).toEqual([]);
    expect(wal.durableSequence).toBe(0);
    lease.renew();
    await world.env.clock.run(Promise.all(groups.map((group) => group.durable)));
    expect(listener.durable).toEqual(groups.map((group) => group.sequence));
    await world.env.clock.run(wal.close());
  });

  test('are asked about once while they wait, and again when the proof comes: it may be gone already', async () => {
    const lease = new Lease();
    const { wal, listener, world } = await openWith(lease);
    lease.isValid = false;
    const first = await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.advance(100);
    const second = await appendOne(wal, 1, payload(1, 100));
    await world.env.clock.advance(100);
    expect(lease.asked).toBe(1);
    lease.renew(false);
    await world.env.clock.advance(100);
    expect(lease.asked).toBe(2);
    expect(listener.durable).toEqual([]);
    lease.renew();
    await world.env.clock.run(Promise.all([first.durable, second.durable]));
    await world.env.clock.run(wal.close());
  });

  test('a write that completed while the lease was valid is not acknowledged on the strength of that', async () => {
    const lease = new Lease();
    const { wal, listener, world } = await openWith(lease);
    // Valid when the write is issued, not when it completed (B4).
    world.disk.onWrite = () => {
      lease.isValid = false;
    };
    await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.advance(1000);
    expect(listener.durable).toEqual([]);
    lease.renew();
    await world.env.clock.advance(1000);
    expect(listener.durable).toEqual([1]);
    world.disk.onWrite = () => undefined;
    await world.env.clock.run(wal.close());
  });

  test('hold back writing and appending too, so that what waits is bounded', async () => {
    const lease = new Lease();
    const { wal, world } = await openWith(lease);
    lease.isValid = false;
    const writesBefore = world.disk.writes;
    let admitted = 0;
    let waiting: Promise<void> | undefined;
    for (; (waiting = wal.admit(12 * KIB, 1)) === undefined; admitted++) {
      wal.append(1, admitted, 1, -1, payload(admitted, 12 * KIB));
      await world.env.clock.advance(10);
      expect(admitted).toBeLessThan(100);
    }
    // The window of two writes in flight, whatever else waits in memory.
    expect(world.disk.writes - writesBefore).toBe(2);
    lease.renew();
    // The ring or the memory is full, which only uploads change: it ends with the WAL.
    waiting.catch(() => undefined);
    await world.env.clock.advance(1000);
    expect(wal.durableSequence).toBe(admitted);
    await world.env.clock.run(wal.close());
  });

  test('a proof that is refused fails the WAL, and what was written is not acknowledged', async () => {
    const lease = new Lease();
    const { wal, listener, world } = await openWith(lease);
    lease.isValid = false;
    const group = await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.advance(100);
    const failed = expect(group.durable).rejects.toThrow(/may be fenced/);
    lease.refuse();
    await world.env.clock.advance(100);
    await failed;
    expect(listener.failures).toHaveLength(1);
    expect(() => wal.admit(1, 1)).toThrow(WalClosedError);
    await world.env.clock.run(wal.close());
    expect(await world.recover()).toHaveLength(1);
  });

  test('a close waits for the proof, but not for ever', async () => {
    for (const comes of [true, false]) {
      const lease = new Lease();
      const { wal, listener, world } = await openWith(lease);
      lease.isValid = false;
      const group = await appendOne(wal, 0, payload(0, 100));
      const outcome = group.durable.then(
        () => 'acknowledged',
        () => 'failed',
      );
      if (comes) world.env.clock.timer(5000, () => lease.renew());
      await world.env.clock.run(wal.close());
      expect(await outcome).toBe(comes ? 'acknowledged' : 'failed');
      expect(listener.failures).toHaveLength(comes ? 0 : 1);
      // Too late: nothing may happen any more.
      lease.renew();
      await world.env.clock.advance(1000);
      expect(listener.durable).toEqual(comes ? [1] : []);
    }
  });

  test('a WAL that is told that it is fenced fails', async () => {
    const { wal, listener, world } = await openWith(new Lease());
    world.disk.isHeld = true;
    const group = await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.advance(1);
    wal.fence(new Error('the reservation is gone'));
    await expect(group.durable).rejects.toThrow(/the reservation is gone/);
    world.disk.isHeld = false;
    for (const write of world.disk.pending) write.finish('stored');
    await world.env.clock.run(wal.close());
    expect(listener.durable).toEqual([]);
    expect(listener.failures).toHaveLength(1);
  });
});

describe('I30: reading a log demands that its writer is gone', () => {
  test('by an exclusive hold of these devices, or a proof for each of them', async () => {
    const world = new WalWorld({ disks: 2 });
    await world.env.clock.run((await world.open()).wal.close());
    const devices = world.devices();
    const proofs = await Promise.all(
      world.disks.map((disk) => {
        const reservation = new SimReservations(disk, world.env.clock).host('host-0');
        return world.env.clock.run(takeVolume(world.env, reservation, 5, { drainMs: 1 }));
      }),
    );
    const recover = (writer: WriterIsGone): Promise<unknown> =>
      world.env.clock.run(recoverBlockWal(devices, OWNER, world.env, writer));
    await recover(proofs);
    await recover(previousProcessExited(devices));
    for (const writer of [[], proofs.slice(0, 1), proofs.toReversed(), previousProcessExited([])]) {
      await expect(recover(writer)).rejects.toThrow(/I30/);
    }
    const shared = devices.map((device) => ({ ...device, isExclusive: false }));
    expect(() => previousProcessExited(shared)).toThrow(/I30/);
  });
});
