import { describe, expect, test } from '@jest/globals';
import {
  fenceObjectWal,
  ObjectWal,
  recoverObjectWal,
  WalFenceLostError,
  type FencedBy,
  type ObjectWalRecovery,
} from '../../broker-runtime/src/wal/object-wal.ts';
import { WalClosedError, WalMismatchError, type WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { KIB, OWNER, payload, RecordingListener } from './block-wal-world.ts';
import { collectGroups, FENCE_KEY, ObjectWalWorld, SMALL_OBJECTS } from './object-wal-world.ts';

/** A log of epoch 10 with `count` groups, whose process is still there. */
async function usedLog(count: number): Promise<{ world: ObjectWalWorld; wal: ObjectWal }> {
  const world = new ObjectWalWorld();
  const { wal } = await world.open();
  await world.run(Promise.all(appendGroups(wal, count).map((group) => group.durable)));
  return { world, wal };
}

function appendGroups(wal: ObjectWal, count: number): WalGroup[] {
  return Array.from({ length: count }, (_, n) => wal.append(1, n, 1, -1, payload(n, 12 * KIB)));
}

function by(epoch: number, recoverer: number, attempt: number): FencedBy {
  return { epoch, recoverer, attempt };
}

function openAs(
  world: ObjectWalWorld,
  recovery: ObjectWalRecovery,
  nodeEpoch: number,
  store = world.process(),
) {
  const options = { ...SMALL_OBJECTS, nodeEpoch };
  return world.run(ObjectWal.open(recovery, store, options, world.env, new RecordingListener()));
}

describe('The fence of an object WAL', () => {
  test('is set by the later attempt, and by the later epoch; never taken back (I22)', async () => {
    const { world } = await usedLog(1);
    await world.run(world.takeOver(by(10, 8, 2)));
    await expect(world.run(world.takeOver(by(10, 9, 1)))).rejects.toThrow(WalFenceLostError);
    await expect(world.run(world.takeOver(by(10, 9, 2)))).rejects.toThrow('epoch 10 FENCED by 8, attempt 2');
    await world.run(world.takeOver(by(10, 9, 3)));
    await expect(world.run(world.takeOver(by(10, 8, 2)))).rejects.toThrow(WalFenceLostError);
    await world.run(world.takeOver(by(12, 8, 1)));
    await expect(world.run(world.takeOver(by(11, 8, 9)))).rejects.toThrow(WalFenceLostError);
    expect(world.fence()).toMatchObject({
      epoch: 12,
      state: 'FENCED',
      recoverer: 8,
      attempt: 1,
      logEpoch: 10,
    });
  });

  test('set again by the same attempt is the same fence, without a write', async () => {
    const { world } = await usedLog(1);
    await world.run(world.takeOver(by(10, 8, 1)));
    const before = world.fence();
    const store = world.process();
    await world.run(world.takeOver(by(10, 8, 1), store));
    expect(world.fence()).toEqual(before);
    expect(store.inner.requests.put).toBe(0);
  });

  test('its put is repeated until it is decided, and our own record there is ours (P1, P2)', async () => {
    for (const fault of ['lose-answer', 'fail', 'conflict'] as const) {
      const { world } = await usedLog(1);
      const store = world.process();
      store.inner.failNext('put', { kind: fault }, 3);
      const { recovered } = await world.run(world.takeOver(by(10, 8, 1), store));
      expect(recovered).toHaveLength(1);
      expect(world.fence()).toMatchObject({ state: 'FENCED', recoverer: 8 });
    }
  });

  test('P8: whoever always loses the swap gives up with an error', async () => {
    const { world } = await usedLog(1);
    const store = world.process();
    store.onRequest = (operation, key) => {
      const stored = world.bucket.objects.get(FENCE_KEY);
      if (operation !== 'put' || key !== FENCE_KEY || stored === undefined) return;
      world.bucket.objects.set(FENCE_KEY, { body: stored.body, etag: world.bucket.nextEtag() });
    };
    await expect(world.run(world.takeOver(by(10, 8, 1), store))).rejects.toThrow('8 times in a row');
  });

  test('of another cluster is refused', async () => {
    const { world } = await usedLog(1);
    const medium = { env: world.env, objects: world.process() };
    const foreign = { clusterId: 'another-cluster', nodeId: 7 };
    await expect(world.run(fenceObjectWal(medium, foreign, by(10, 8, 1)))).rejects.toThrow(WalMismatchError);
  });

  test('of an epoch that never claimed its log guards the log of the epoch before', async () => {
    const { world, wal } = await usedLog(3);
    // Epoch 15 was registered, died before it recovered epoch 10, and is fenced now.
    const { recovery, recovered } = await world.run(world.takeOver(by(15, 8, 1)));
    expect(recovered.map((group) => group.sequence)).toEqual([1, 2, 3]);
    expect(recovery.nodeEpoch).toBe(10);
    const [late] = appendGroups(wal, 1);
    await expect(world.run(late?.durable ?? Promise.resolve())).rejects.toThrow(WalClosedError);
    await expect(openAs(world, recovery, 15)).rejects.toThrow('node epoch 15 is not above 15');
    await world.run((await openAs(world, recovery, 16)).close());
  });

  test('of a node that never had a log is there before its first claim, so an epoch can be kept out', async () => {
    const world = new ObjectWalWorld();
    const self = await world.run(world.takeOver(by(4, 7, 1)));
    await world.run(world.takeOver(by(5, 8, 1)));
    await expect(openAs(world, self.recovery, 5)).rejects.toThrow(WalMismatchError);
    expect(world.fence()).toMatchObject({ epoch: 5, state: 'FENCED', logEpoch: 0 });
  });

  test('fenced by another since the recovery, it cannot be claimed', async () => {
    const { world } = await usedLog(2);
    const { recovery } = await world.run(world.takeOver(by(19, 7, 1)));
    await world.run(world.takeOver(by(19, 8, 2)));
    await expect(openAs(world, recovery, 20)).rejects.toThrow(WalFenceLostError);
    expect(world.walKeys()).toHaveLength(2);
  });

  test('a claim whose answer is lost is ours; the log goes on with the next number', async () => {
    const { world } = await usedLog(2);
    const { recovery } = await world.run(world.takeOver(by(19, 7, 1)));
    const store = world.process();
    store.inner.failNext('put', { kind: 'lose-answer' });
    const wal = await openAs(world, recovery, 20, store);
    const [group] = appendGroups(wal, 1);
    await world.run(group?.durable ?? Promise.resolve());
    expect(group?.sequence).toBe(3);
    await world.run(wal.close());
  });

  test('is given up only by who read the log to its end', async () => {
    const { world } = await usedLog(2);
    const medium = { env: world.env, objects: world.process() };
    const recovery = await world.run(
      fenceObjectWal(medium, OWNER, by(10, 8, 1)).then((proof) => recoverObjectWal(proof, medium)),
    );
    await expect(openAs(world, recovery, 20)).rejects.toThrow('I28');
    await expect(recovery.discard()).rejects.toThrow('I28');
    await world.run(collectGroups(recovery));
    await world.run((await openAs(world, recovery, 20)).close());
  });

  test('waits while the store is down, until its signal aborts', async () => {
    const { world } = await usedLog(1);
    const objects = world.process();
    objects.inner.unavailable = true;
    const abort = new AbortController();
    const fencing = fenceObjectWal({ env: world.env, objects, signal: abort.signal }, OWNER, by(10, 8, 1));
    fencing.catch(() => undefined);
    await world.env.clock.advance(60_000);
    abort.abort(new Error('the recovery was given to another'));
    await expect(world.run(fencing)).rejects.toThrow('given to another');
  });
});
