import { describe, expect, test } from '@jest/globals';
import type { ObjectWal } from '../../broker-runtime/src/wal/object-wal.ts';
import { WalClosedError, type WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { describeEntry, KIB, payload } from './block-wal-world.ts';
import { ObjectWalWorld } from './object-wal-world.ts';

/** Appends so that each entry is a group. */
function appendGroups(wal: ObjectWal, count: number, firstOffset = 0): WalGroup[] {
  return Array.from({ length: count }, (_, n) =>
    wal.append(1, firstOffset + n, 1, -1, payload(firstOffset + n, 12 * KIB)),
  );
}

function durable(groups: readonly WalGroup[]): Promise<unknown> {
  return Promise.all(groups.map((group) => group.durable));
}

describe('Trimming the object WAL', () => {
  test('says in the fence how far before the first object goes, and deletes in few requests', async () => {
    const world = new ObjectWalWorld();
    const { wal, store } = await world.open();
    await world.run(durable(appendGroups(wal, 30)));
    const seen: string[] = [];
    store.onRequest = (operation, key) => seen.push(`${operation} ${key.split('/')[0] ?? ''}`);
    let saidBefore: unknown;
    world.bucket.onDelete = () => {
      saidBefore ??= world.fence()['trimmedUpTo'];
    };
    await world.run(Promise.all([wal.trim(5), wal.trim(10), wal.trim(25)]));
    expect(saidBefore).toBe(25);
    expect(world.walKeys()).toHaveLength(5);
    expect(seen).toEqual(['get walfence', 'put walfence', 'delete wal']);
    await world.run(wal.close());
  });

  test('a delete that may have failed is repeated; what is left by a crash is not read again, and goes with the next epoch', async () => {
    const world = new ObjectWalWorld();
    const { wal, store } = await world.open();
    await world.run(durable(appendGroups(wal, 10)));
    store.inner.failNext('delete', { kind: 'lose-answer' });
    store.inner.failNext('delete', { kind: 'fail' });
    await world.run(wal.trim(4));
    expect(world.walKeys()).toHaveLength(6);
    store.onRequest = (operation) => {
      if (operation === 'delete') store.die();
    };
    void wal.trim(8);
    await world.env.clock.advance(1000);
    // A crash in the middle of a batch: any of its keys may be gone.
    const [first, second] = world.walKeys();
    if (first === undefined || second === undefined) throw new Error('some are left');
    world.bucket.objects.delete(second);
    const next = await world.open();
    expect(next.recovered.map((group) => group.sequence)).toEqual([9, 10]);
    await world.env.clock.advance(1000);
    expect(world.walKeys()).toEqual([]);
    await world.run(next.wal.close());
  });

  test('P4: a put that lands after its object was trimmed is below the trim point, where nobody looks', async () => {
    const world = new ObjectWalWorld();
    const { wal, store } = await world.open();
    store.inner.failNext('put', { kind: 'land-late', afterMs: 60_000 });
    await world.run(durable(appendGroups(wal, 3)));
    await world.run(wal.trim(3));
    expect(world.walKeys()).toEqual([]);
    await world.env.clock.advance(120_000);
    expect(world.walKeys()).toHaveLength(1);
    const { recovered } = await world.run(world.takeOver({ epoch: 10, recoverer: 8, attempt: 1 }));
    expect(recovered).toEqual([]);
  });

  test('a log full of small objects lets appends wait: recovery reads objects, not bytes', async () => {
    const world = new ObjectWalWorld();
    const { wal, listener } = await world.open({ capacityBytes: 640 * KIB });
    let appended = 0;
    let waiting = wal.admit(100, 1);
    for (; waiting === undefined; waiting = wal.admit(100, 1)) {
      await world.run(wal.append(1, appended, 1, -1, payload(appended, 100)).durable);
      appended++;
    }
    expect(appended).toBe(10);
    await world.run(wal.trim(listener.durable.at(-1) ?? 0));
    await world.run(waiting);
    expect(wal.usedBytes).toBe(0);
    await world.run(wal.close());
  });
});

describe('Closing the object WAL', () => {
  test('writes what waits, and says in the fence how far all was acknowledged', async () => {
    const world = new ObjectWalWorld();
    const { wal, listener } = await world.open({ groupDelayMs: 60_000 });
    await world.run(durable(appendGroups(wal, 1)));
    appendGroups(wal, 1, 1);
    await world.run(wal.close());
    expect(listener.durable).toEqual([1, 2]);
    expect(world.fence()).toMatchObject({ state: 'SELF', ackedUpTo: 2, trimmedUpTo: 0 });
    expect(world.env.clock.pendingTimers).toBe(0);
    const next = await world.open();
    expect(next.recovered.flatMap((group) => group.entries.map(describeEntry))).toHaveLength(2);
    await world.run(next.wal.close());
  });

  test('ends although the store is down, and what was not acknowledged fails', async () => {
    const world = new ObjectWalWorld();
    const { wal, store } = await world.open();
    store.inner.unavailable = true;
    const [group] = appendGroups(wal, 1);
    await world.run(wal.close());
    await expect(group?.durable).rejects.toThrow(WalClosedError);
    await world.env.clock.advance(60_000);
    expect(world.env.clock.pendingTimers).toBe(0);
    await expect(wal.trim(0)).rejects.toThrow(WalClosedError);
  });
});
