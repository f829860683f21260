import { describe, expect, test } from '@jest/globals';
import { CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import {
  fenceObjectWal,
  ObjectWal,
  recoverObjectWal,
  WalFenceLostError,
} from '../../broker-runtime/src/wal/object-wal.ts';
import { WalMismatchError } from '../../broker-runtime/src/wal/wal.ts';
import { KIB, OWNER, payload, RecordingListener } from './block-wal-world.ts';
import { collectGroups, ObjectWalWorld, SMALL_OBJECTS, type OpenObjectLog } from './object-wal-world.ts';

/** A log of epoch 10 with `count` groups, whose process is still there. */
async function usedLog(count: number): Promise<OpenObjectLog & { world: ObjectWalWorld }> {
  const world = new ObjectWalWorld();
  const log = await world.open();
  const groups = Array.from({ length: count }, (_, n) => log.wal.append(1, n, 1, -1, payload(n, 12 * KIB)));
  await world.run(Promise.all(groups.map((group) => group.durable)));
  return { world, ...log };
}

const FIRST = { epoch: 10, recoverer: 8, attempt: 1 };
const SECOND = { epoch: 10, recoverer: 9, attempt: 2 };
const keyOf = (n: number): string => `wal/7/${'10'.padStart(20, '0')}/${String(n).padStart(20, '0')}`;

describe('The recovery of an object WAL', () => {
  test('ends at the first put that did not land, and leaves out what lands later, also when it is read again', async () => {
    const { world, wal, store } = await usedLog(2);
    store.inner.failNext('put', { kind: 'land-late', afterMs: 30_000 });
    for (let n = 2; n < 5; n++) wal.append(1, n, 1, -1, payload(n, 12 * KIB));
    await world.env.clock.advance(24);
    store.die();
    const { recovery, recovered } = await world.run(world.takeOver(FIRST));
    expect(recovered.map((group) => group.sequence)).toEqual([1, 2]);
    expect(world.walKeys()).not.toContain(keyOf(3));
    expect(world.walKeys()).toContain(keyOf(5));
    await world.env.clock.advance(60_000);
    expect(world.walKeys()).toContain(keyOf(3));
    const again = await world.run(collectGroups(recovery));
    expect(again).toEqual(recovered);
    expect(recovery.endSequence).toBe(2);
  });

  test('reads many objects, over pages, several at once, in order', async () => {
    const { world } = await usedLog(25);
    const store = world.process();
    const list = store.list.bind(store);
    store.list = (prefix, options) => list(prefix, { ...options, limit: 4 });
    let underWay = 0;
    let most = 0;
    const get = store.get.bind(store);
    store.get = (key, ...rest) => {
      most = Math.max(most, ++underWay);
      return get(key, ...rest).finally(() => underWay--);
    };
    const { recovered } = await world.run(world.takeOver(FIRST, store));
    expect(recovered.map((group) => group.sequence)).toEqual(Array.from({ length: 25 }, (_, n) => n + 1));
    expect(most).toBe(8);
    expect(store.inner.requests.list).toBe(7);
  });

  test('lists only after the fence is set (I30)', async () => {
    const { world } = await usedLog(2);
    const store = world.process();
    const asked: string[] = [];
    store.onRequest = (operation, key) => asked.push(`${operation} ${key.split('/')[0] ?? ''}`);
    await world.run(world.takeOver(FIRST, store));
    expect(asked).toEqual(['get walfence', 'put walfence', 'list wal', 'get walfence', 'get wal', 'get wal']);
  });

  test('stops when an acknowledged object is missing: a later one tells, or the fence of a closed log', async () => {
    const middle = await usedLog(5);
    for (let n = 5; n < 8; n++) middle.wal.append(1, n, 1, -1, payload(n, 12 * KIB));
    await middle.world.env.clock.advance(1000);
    middle.world.bucket.objects.delete(keyOf(2));
    const recovering = middle.world.run(middle.world.takeOver(FIRST));
    await expect(recovering).rejects.toThrow(CorruptionError);
    await expect(recovering).rejects.toThrow(
      /group 2 is missing .* says that groups up to \d were acknowledged/,
    );

    const last = await usedLog(5);
    await last.world.run(last.wal.close());
    last.world.bucket.objects.delete(keyOf(5));
    await expect(last.world.run(last.world.takeOver(FIRST))).rejects.toThrow('its fence says');
  });

  test('of a log whose recovery is committed hands out nothing, whatever lies there', async () => {
    const { world } = await usedLog(5);
    const medium = { env: world.env, objects: world.process() };
    const proof = await world.run(fenceObjectWal(medium, OWNER, { epoch: 19, recoverer: 7, attempt: 1 }));
    const recovery = await world.run(recoverObjectWal(proof, medium, { committedEnd: 5 }));
    expect(await world.run(collectGroups(recovery))).toEqual([]);
    expect(recovery.endSequence).toBe(5);
    const options = { ...SMALL_OBJECTS, nodeEpoch: 20 };
    const wal = await world.run(
      ObjectWal.open(recovery, world.process(), options, world.env, new RecordingListener()),
    );
    const group = wal.append(1, 0, 1, -1, payload(0, 10));
    await world.run(group.durable);
    expect(group.sequence).toBe(6);
    await world.run(wal.trim(6));
    await world.run(wal.close());
    const later = await world.run(fenceObjectWal(medium, OWNER, { epoch: 29, recoverer: 7, attempt: 1 }));
    const mixedUp = world.run(recoverObjectWal(later, medium, { committedEnd: 5 }));
    await expect(mixedUp).rejects.toThrow(WalMismatchError);
  });

  test('discards the log once it is committed; the next attempt finds it empty', async () => {
    const { world } = await usedLog(5);
    const { recovery } = await world.run(world.takeOver(FIRST));
    await world.run(recovery.discard());
    await world.run(recovery.discard());
    expect(world.walKeys()).toEqual([]);
    const again = await world.run(world.takeOver(SECOND));
    expect(again.recovered).toEqual([]);
    expect(again.recovery.endSequence).toBe(5);
    await expect(world.run(recovery.discard())).rejects.toThrow(WalFenceLostError);
  });

  test('that was overtaken notices it, and never takes deleted objects for the end of the log', async () => {
    const { world } = await usedLog(12);
    const medium = { env: world.env, objects: world.process() };
    const proof = await world.run(fenceObjectWal(medium, OWNER, FIRST));
    const slow = await world.run(recoverObjectWal(proof, medium));
    const later = await world.run(world.takeOver(SECOND));
    expect(later.recovered).toHaveLength(12);
    await world.run(later.recovery.discard());
    await expect(world.run(collectGroups(slow))).rejects.toThrow(WalFenceLostError);
    await expect(world.run(recoverObjectWal(proof, medium))).rejects.toThrow(WalFenceLostError);
  });

  test('an object that was listed and is gone, while the fence is ours, was lost', async () => {
    const { world } = await usedLog(3);
    const medium = { env: world.env, objects: world.process() };
    const proof = await world.run(fenceObjectWal(medium, OWNER, FIRST));
    const recovery = await world.run(recoverObjectWal(proof, medium));
    world.bucket.objects.delete(keyOf(2));
    await expect(world.run(collectGroups(recovery))).rejects.toThrow('was listed and is gone');
  });
});
