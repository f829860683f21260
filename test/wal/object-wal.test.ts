import { describe, expect, test } from '@jest/globals';
import { ObjectWal } from '../../broker-runtime/src/wal/object-wal.ts';
import { WalClosedError, WalOptionsError, type WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { appendOne, KIB, OWNER, payload, RecordingListener } from './block-wal-world.ts';
import { FENCE_KEY, ObjectWalWorld } from './object-wal-world.ts';

/** Appends so that each entry is a group. */
function appendGroups(wal: ObjectWal, count: number, firstOffset = 0): WalGroup[] {
  return Array.from({ length: count }, (_, n) =>
    wal.append(1, firstOffset + n, 1, -1, payload(firstOffset + n, 12 * KIB)),
  );
}

function durable(groups: readonly WalGroup[]): Promise<unknown> {
  return Promise.all(groups.map((group) => group.durable));
}

const isWal = (key: string): boolean => key.startsWith('wal/');

describe('A put of the object WAL', () => {
  test('whose answer is lost is repeated, and its own object there counts as written (P1)', async () => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open();
    store.inner.failNext('put', { kind: 'lose-answer' }, 3);
    await world.run(durable(appendGroups(wal, 3)));
    expect(listener.durable).toEqual([1, 2, 3]);
    expect(world.walKeys()).toHaveLength(3);
    await world.run(wal.close());
  });

  test('that may have failed is repeated at the same key until it is decided, with no other step (R3)', async () => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open();
    const asked: string[] = [];
    store.onRequest = (operation, key) => {
      if (isWal(key)) asked.push(`${operation} ${key.slice(-2)}`);
    };
    store.inner.failNext('put', { kind: 'fail' }, 4);
    store.inner.failNext('put', { kind: 'conflict' }, 2);
    const [group] = appendGroups(wal, 1);
    await world.env.clock.advance(10);
    expect(listener.durable).toEqual([]);
    await world.run(durable(group === undefined ? [] : [group]));
    expect(asked).toEqual(Array.from({ length: 7 }, () => 'put 01'));
    await world.run(wal.close());
  });

  test('whose key holds what another process wrote ends the WAL', async () => {
    const world = new ObjectWalWorld();
    const { wal, listener } = await world.open();
    const key = `wal/7/${'10'.padStart(20, '0')}/${'1'.padStart(20, '0')}`;
    world.bucket.objects.set(key, { body: payload(1, 100), etag: '"other"' });
    const [group] = appendGroups(wal, 1);
    await expect(world.run(group?.durable ?? Promise.resolve())).rejects.toThrow(WalClosedError);
    expect(listener.failures[0]?.message).toContain('another process writes as this node and epoch');
    expect(listener.durable).toEqual([]);
  });

  test('that is denied ends the WAL', async () => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open();
    store.inner.failNext('put', { kind: 'denied' });
    const groups = appendGroups(wal, 3);
    const outcomes = await world.run(Promise.allSettled(groups.map((group) => group.durable)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(listener.failures).toHaveLength(1);
    expect(() => wal.admit(1, 1)).toThrow(WalClosedError);
    await world.run(wal.close());
  });

  test('runs beside others up to the limit, and is acknowledged in order', async () => {
    const world = new ObjectWalWorld(5);
    const { wal, store, listener } = await world.open({ putsInFlight: 3 });
    let underWay = 0;
    let most = 0;
    const finished: string[] = [];
    const put = store.put.bind(store);
    store.put = async (key, body, condition) => {
      most = Math.max(most, ++underWay);
      const outcome = await put(key, body, condition);
      underWay--;
      finished.push(key);
      return outcome;
    };
    await world.run(durable(appendGroups(wal, 20)));
    expect(most).toBe(3);
    expect(finished).not.toEqual([...finished].sort());
    expect(listener.durable).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    await world.run(wal.close());
  });
});

describe('The ack rule of the object WAL', () => {
  test('a read of the fence that started before the put finished proves nothing', async () => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open();
    store.inner.delayMs = (operation) => (operation === 'get' ? 100 : 10);
    const [first] = appendGroups(wal, 1);
    await world.env.clock.advance(15); // put 1 finished at 10, the read runs until 110
    const [second] = appendGroups(wal, 1, 1);
    await world.env.clock.advance(30); // put 2 finished at 25
    await world.env.clock.advance(70);
    expect(listener.durable).toEqual([first?.sequence]);
    await world.env.clock.advance(90);
    expect(listener.durable).toEqual([first?.sequence]);
    await world.env.clock.advance(10); // the read from 110 to 210
    expect(listener.durable).toEqual([first?.sequence, second?.sequence]);
    await world.run(wal.close());
  });

  test('one read proves all that was finished before; never more than one is under way', async () => {
    const world = new ObjectWalWorld();
    const { wal, store } = await world.open({ putsInFlight: 20, memoryBytes: 2048 * KIB });
    let underWay = 0;
    let most = 0;
    const get = store.get.bind(store);
    store.get = async (key, ...rest) => {
      most = Math.max(most, ++underWay);
      return get(key, ...rest).finally(() => underWay--);
    };
    const before = store.inner.requests.get;
    await world.run(durable(appendGroups(wal, 20)));
    expect(most).toBe(1);
    expect(store.inner.requests.get - before).toBeLessThanOrEqual(5);
    await world.run(wal.close());
  });

  test('while the fence cannot be read acknowledgements wait, memory fills, producers wait; then all goes on', async () => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open({ capacityBytes: 64 * 1024 * KIB });
    store.inner.faults = (operation, key) =>
      operation === 'get' && key === FENCE_KEY ? { kind: 'fail' } : undefined;
    let appended = 0;
    let waiting = wal.admit(12 * KIB, 1);
    for (; waiting === undefined; waiting = wal.admit(12 * KIB, 1)) {
      wal.append(1, appended, 1, -1, payload(appended, 12 * KIB));
      appended++;
      await world.env.clock.advance(5);
    }
    const wasAdmitted = { yet: false };
    const late = waiting.then(() => {
      wasAdmitted.yet = true;
    });
    await world.env.clock.advance(60_000);
    expect(listener.durable).toEqual([]);
    expect(wasAdmitted.yet).toBe(false);
    expect(world.walKeys()).toHaveLength(appended);
    expect(wal.trouble).toContain('get walfence/7');

    store.inner.faults = undefined;
    await world.run(late);
    await world.env.clock.advance(10_000);
    expect(listener.durable).toHaveLength(appended);
    await world.run(wal.close());
  });

  test('a fenced log acknowledges nothing, although the put succeeded, and says so once', async () => {
    const world = new ObjectWalWorld();
    const { wal, listener } = await world.open();
    await world.run(durable(appendGroups(wal, 1)));
    await world.run(world.takeOver({ epoch: 10, recoverer: 8, attempt: 1 }));
    const [late] = appendGroups(wal, 1, 1);
    await expect(world.run(late?.durable ?? Promise.resolve())).rejects.toThrow(WalClosedError);
    expect(world.walKeys()).toHaveLength(2);
    expect(listener.durable).toEqual([1]);
    expect(listener.failures).toHaveLength(1);
    expect(listener.failures[0]?.message).toContain('epoch 10 FENCED by 8, attempt 1');
    await world.run(wal.close());
  });

  test('a fence that vanished or is damaged never passes for ours', async () => {
    for (const damage of ['vanished', 'damaged'] as const) {
      const world = new ObjectWalWorld();
      const { wal, listener } = await world.open();
      if (damage === 'vanished') world.bucket.objects.delete(FENCE_KEY);
      else world.bucket.objects.set(FENCE_KEY, { body: payload(1, 300), etag: '"x"' });
      const [group] = appendGroups(wal, 1);
      await expect(world.run(group?.durable ?? Promise.resolve())).rejects.toThrow(WalClosedError);
      expect(listener.durable).toEqual([]);
    }
  });
});

describe('The group commit window of the object WAL', () => {
  const puts = async (appends: number, everyMs: number, bytes: number): Promise<number> => {
    const world = new ObjectWalWorld();
    const { wal, store, listener } = await world.open({ groupDelayMs: 100 });
    listener.onDurableGroup = (group) => {
      void wal.trim(group.sequence);
    };
    let count = 0;
    store.onRequest = (operation, key) => {
      if (operation === 'put' && isWal(key)) count++;
    };
    for (let offset = 0; offset < appends; offset++) {
      await world.run(appendOne(wal, offset, payload(offset, bytes)));
      await world.env.clock.advance(everyMs);
    }
    await world.run(wal.close());
    return count;
  };

  test('an idle log writes at once, and at most ten small groups a second', async () => {
    expect(await puts(10, 150, 100)).toBe(10);
    const busy = await puts(1000, 2, 100);
    // Two seconds, the first at once, and what waits when it is closed.
    expect(busy).toBeLessThanOrEqual(22);
    expect(busy).toBeGreaterThanOrEqual(19);
  });

  test('a full group does not wait', async () => {
    expect(await puts(100, 2, 8 * KIB)).toBeGreaterThanOrEqual(50);
  });
});

test('All sizes of an object WAL that do not fit together are named at once', async () => {
  const world = new ObjectWalWorld();
  const { recovery } = await world.run(world.takeOver({ epoch: 1, recoverer: OWNER.nodeId, attempt: 1 }));
  const options = {
    nodeEpoch: 2,
    groupBytes: 1,
    groupDelayMs: -1,
    putsInFlight: 0,
    slabBytes: 5000,
    memoryBytes: 5000,
    capacityBytes: 1,
    trimIntervalMs: 0,
  };
  const opening = ObjectWal.open(recovery, world.process(), options, world.env, new RecordingListener());
  const error: unknown = await world.run(opening).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(WalOptionsError);
  for (const name of Object.keys(options).slice(1)) {
    expect(error instanceof Error ? error.message : '').toContain(`${name} is `);
  }
});
