import { describe, expect, test } from '@jest/globals';
import { objectKey } from '../../broker-runtime/src/store/object-key.ts';
import { StreamReadError } from '../../broker-runtime/src/store/stream.ts';
import type { StreamSlice } from '../../broker-runtime/src/store/stream.ts';
import { describeEntry, each, KIB, MIB, payload, StoreWorld } from './store-world.ts';

async function started(options: ConstructorParameters<typeof StoreWorld>[0] = {}): Promise<StoreWorld> {
  const world = new StoreWorld(options);
  await world.start();
  return world;
}

/** Data objects only: the journal lives in the same bucket. */
const isData = (key: string): boolean => key.startsWith('data/');

describe('uploads', () => {
  test('a lost answer is recognised as our own success by reading back', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 10, 500);
    let lost = 0;
    world.objects.faults = (operation, key) =>
      operation === 'put' && isData(key) && lost++ === 0 ? { kind: 'lose-answer' } : undefined;
    await world.run(stream.flush());
    expect([lost, world.manifest.committedOffset(stream.id)]).toEqual([2, 10]);
    expect(world.failures).toEqual([]);
  });

  test('a read-back that was damaged on its way does not make our own object foreign', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 10, 500);
    let faults = 0;
    world.objects.faults = (operation, key) => {
      if (!isData(key) || faults === 4) return undefined;
      faults++;
      return { kind: operation === 'get' ? 'corrupt' : 'lose-answer' };
    };
    await world.run(stream.flush());
    expect([world.failures, world.manifest.committedOffset(stream.id)]).toEqual([[], 10]);
  });

  test('a conflict and a failure are repeated with the same key until they succeed', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 10, 500);
    const keys: string[] = [];
    world.objects.faults = (operation, key) => {
      if (operation !== 'put' || !isData(key)) return undefined;
      keys.push(key);
      return keys.length > 6 ? undefined : { kind: keys.length % 2 === 0 ? 'conflict' : 'fail' };
    };
    await world.run(stream.flush());
    expect([keys.length, new Set(keys).size]).toEqual([7, 1]);
    expect(world.store.status()).toMatchObject({ uploadTrouble: undefined, uploadedObjects: 1 });
  });

  test('trouble-overwritten: what the object store answered is told, not that it takes long', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 10, 500);
    world.objects.faults = (operation, key) =>
      operation === 'put' && isData(key) ? { kind: 'fail' } : undefined;
    const flushed = stream.flush();
    // At every moment: the next answer would set right what a timer said in between.
    for (let second = 1; second < 30; second++) {
      await world.env.clock.advance(1000);
      expect(world.store.status().uploadTrouble).toContain('unknown outcome');
    }
    world.objects.faults = undefined;
    await world.run(flushed);
  });

  test('an id that expires during an outage is given up, and the cut goes up under another', async () => {
    const world = await started({ store: { prepareTtlMs: 60_000, deleteDelayMs: 1000 } });
    const stream = await world.createStream();
    await world.fill(stream, 10, 500);
    const keys = new Set<string>();
    world.objects.faults = (operation, key) => {
      if (operation !== 'put' || !isData(key)) return undefined;
      keys.add(key);
      return world.env.clock.monotonicMs() < 150_000 ? { kind: 'fail' } : undefined;
    };
    await world.run(stream.flush());
    expect(keys.size).toBe(3);
    expect(world.failures).toEqual([]);
    expect((await world.readAll(stream)).length).toBe(10);
  });

  test('a denied request is a misconfiguration: the store fails once and says so', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 3, 500);
    world.objects.faults = (operation, key) =>
      operation === 'put' && isData(key) ? { kind: 'denied' } : undefined;
    await expect(world.run(stream.flush())).rejects.toMatchObject({ code: 'CLOSED' });
    expect(world.failures.map((error) => (error as Error & { code: string }).code)).toEqual(['DENIED']);
  });

  test('foreign bytes at a prepared key are never taken for ours', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 3, 500);
    for (let id = 1; id < 10; id++) {
      world.bucket.objects.set(objectKey(id), { body: new Uint8Array(2000), etag: '"x"' });
    }
    await expect(world.run(stream.flush())).rejects.toMatchObject({ code: 'CLOSED' });
    expect(world.failures.map((error) => error.message)).toEqual([expect.stringContaining('I23')]);
  });

  test('commits stay in order when a later upload is faster', async () => {
    const world = await started({ store: { uploadBytes: 8 * KIB } });
    const stream = await world.createStream();
    let puts = 0;
    world.objects.faults = (operation, key) =>
      operation === 'put' && isData(key) && puts++ < 2 ? { kind: 'fail' } : undefined;
    await world.fill(stream, 60, 1000);
    await world.run(stream.flush());
    expect(world.manifest.committedOffset(stream.id)).toBe(60);
    expect(stream.ranges().length).toBeGreaterThan(3);
    expect(world.failures).toEqual([]);
  });

  test('a stream with enough in one cut has its own object, the others share one', async () => {
    const world = await started({ ringBytes: 4 * MIB, store: { uploadBytes: MIB } });
    const streams = [await world.createStream(), await world.createStream(), await world.createStream()];
    const [big, a, b] = streams;
    if (big === undefined || a === undefined || b === undefined) throw new Error('three streams');
    await world.fill(a, 2, 100);
    await world.fill(big, 17, 1000);
    await world.fill(b, 2, 100);
    await world.run(b.flush());
    const objects = streams.map((stream) => stream.ranges().map((range) => range.objectId));
    expect(objects[1]).toEqual(objects[2]);
    expect(objects[0]).not.toEqual(objects[1]);
    expect(world.store.status().uploadedObjects).toBe(2);
  });

  test('what is old enough goes up without being asked', async () => {
    const world = await started({ store: { uploadIntervalMs: 5000 } });
    const stream = await world.createStream();
    await world.fill(stream, 1, 100);
    await world.env.clock.advance(4000);
    expect(world.manifest.committedOffset(stream.id)).toBe(0);
    await world.env.clock.advance(2000);
    expect(world.manifest.committedOffset(stream.id)).toBe(1);
  });
});

describe('back-pressure', () => {
  test('store down: the WAL fills, admission waits, healing goes on with nothing lost', async () => {
    const world = await started({ ringBytes: 256 * KIB });
    const stream = await world.createStream();
    world.objects.unavailable = true;
    let admitted = 0;
    const producer = (async () => {
      for (let n = 0; n < 300; n++) {
        const group = await world.append(stream, payload(stream.id, n, 4000));
        admitted++;
        if (n % 4 === 0) await group.durable;
      }
    })();
    await world.env.clock.advance(60_000);
    const stuckAt = admitted;
    expect(stuckAt).toBeGreaterThan(10);
    expect(stuckAt).toBeLessThan(64);
    await world.env.clock.advance(60_000);
    expect(admitted).toBe(stuckAt);
    const status = world.store.status();
    expect(status.uploadTrouble).toContain('does not answer');
    expect(status.tailCacheBytes).toBeLessThanOrEqual(512 * KIB);
    world.objects.unavailable = false;
    await world.run(producer);
    await world.run(stream.flush());
    const entries = await world.readAll(stream);
    expect(entries.map(describeEntry)).toEqual(
      Array.from({ length: 300 }, (_, n) =>
        describeEntry({
          baseOffset: n,
          count: 1,
          maxTimestampMs: 1000 + n,
          bytes: payload(stream.id, n, 4000),
        }),
      ),
    );
    expect(world.failures).toEqual([]);
    expect(world.store.status().uploadTrouble).toBeUndefined();
  });

  test('memory held by slices is not reused, and waits for their release (I34)', async () => {
    const world = await started({ wal: { memoryBytes: 192 * KIB } });
    const stream = await world.createStream();
    await world.fill(stream, 10, 3000);
    const slice = stream.read(0, 100 * KIB) as StreamSlice;
    const before = slice.entries.map(describeEntry);
    await world.fill(stream, 200, 3000);
    expect(slice.entries.map(describeEntry)).toEqual(before);
    slice.release();
    expect(() => {
      slice.release();
    }).toThrow(/I34/);
  });

  test('block memory is bounded while many readers hold slices; those who wait get theirs later', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 100, 1000);
    await world.stop();
    await world.start();
    const again = world.store.stream(stream.id);
    const options = { purpose: 'history' } as const;
    const reads = Array.from({ length: 25 }, (_, n) => Promise.resolve(again.read(n * 4, 4 * KIB, options)));
    await world.env.clock.advance(100);
    for (const share of world.running.memory.shares)
      expect(share.usedBytes).toBeLessThanOrEqual(share.limitBytes);
    let served = 0;
    for (const read of reads) {
      const slice = await world.run(read);
      expect(slice?.entries[0]?.baseOffset).toBe(served * 4);
      for (const entry of slice?.entries ?? []) {
        expect(Buffer.compare(entry.bytes, payload(stream.id, entry.baseOffset, 1000))).toBe(0);
      }
      slice?.release();
      served++;
    }
    expect(served).toBe(25);
  });
});

describe('reads from objects', () => {
  async function withHistory(): Promise<{ world: StoreWorld; streamId: number }> {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 30, 1000);
    await world.stop();
    await world.start();
    return { world, streamId: stream.id };
  }

  test('a damaged answer is asked for again and never served', async () => {
    const { world, streamId } = await withHistory();
    world.objects.failNext('get', { kind: 'corrupt' }, 3);
    const entries = await world.readAll(world.store.stream(streamId));
    expect(entries.every((e) => Buffer.compare(e.bytes, payload(streamId, e.baseOffset, 1000)) === 0)).toBe(
      true,
    );
    // A flipped bit may also lie where nobody looks.
    expect(world.env.events.named('store.damaged-answer').length).toBeGreaterThanOrEqual(1);
  });

  test('bytes that rotted in the store end in a corruption error', async () => {
    const { world, streamId } = await withHistory();
    const [range] = world.store.stream(streamId).ranges();
    const stored = world.bucket.objects.get(objectKey(range?.objectId ?? 0));
    if (stored !== undefined) stored.body[300] = (stored.body[300] ?? 0) ^ 1;
    await expect(world.read(world.store.stream(streamId), 0)).rejects.toMatchObject({ code: 'CORRUPTION' });
  });

  test('a missing object raises the alarm', async () => {
    const { world, streamId } = await withHistory();
    for (const key of [...world.bucket.objects.keys()].filter(isData)) world.bucket.objects.delete(key);
    await expect(world.read(world.store.stream(streamId), 0, 10)).rejects.toMatchObject({
      code: 'CORRUPTION',
    });
    expect(world.env.events.named('store.object-missing')).toHaveLength(1);
  });

  test('an object that vanished because it was replaced is looked for in its new place', async () => {
    const { world, streamId } = await withHistory();
    const stream = world.store.stream(streamId);
    const all = await world.readAll(stream);
    await world.stop();
    await world.start();
    const again = world.store.stream(streamId);
    const [range] = again.ranges();
    const end = again.endOffset;
    let raced = false;
    world.objects.delayMs = (operation) => {
      if (operation === 'get' && !raced) {
        raced = true;
        void again.replace(0, end, each(all)).then(() => {
          world.bucket.objects.delete(objectKey(range?.objectId ?? 0));
        });
        return 500;
      }
      return 0;
    };
    const slice = await world.read(again, 0);
    expect(slice?.entries[0]?.baseOffset).toBe(0);
    slice?.release();
    expect(raced).toBe(true);
    expect(world.env.events.named('store.object-missing')).toHaveLength(0);
  });

  test('a store that stays down fails the read in time, and it may be retried', async () => {
    const { world, streamId } = await withHistory();
    world.objects.unavailable = true;
    const beganMs = world.env.clock.monotonicMs();
    await expect(world.read(world.store.stream(streamId), 0)).rejects.toThrow(StreamReadError);
    expect(world.env.clock.monotonicMs() - beganMs).toBeLessThanOrEqual(world.options.readDeadlineMs);
    world.objects.unavailable = false;
    expect(await world.readAll(world.store.stream(streamId))).toHaveLength(30);
  });

  test('many readers of one place share one GET', async () => {
    const { world, streamId } = await withHistory();
    const stream = world.store.stream(streamId);
    world.objects.delayMs = () => 10;
    const before = world.objects.requests.get;
    const slices = await world.run(
      Promise.all(Array.from({ length: 20 }, async () => stream.read(0, 1500, { purpose: 'history' }))),
    );
    for (const slice of slices) slice?.release();
    // Footer, index, blocks.
    expect(world.objects.requests.get - before).toBeLessThanOrEqual(3);
  });
});

describe('recovery', () => {
  test('waits for the object store and loses nothing', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 40, 500);
    await world.crash();
    let failing = 12;
    world.prepareObjects = (objects) => {
      objects.faults = (operation, key) =>
        operation === 'put' && isData(key) && failing-- > 0
          ? { kind: failing % 2 === 0 ? 'fail' : 'lose-answer' }
          : undefined;
    };
    const store = await world.start();
    expect(await world.readAll(store.stream(stream.id))).toHaveLength(40);
  });

  test('a gap between the objects and the WAL stops the start', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 5, 500);
    const lost = world.bucket.objects;
    await world.crash();
    // The metadata of another, younger bucket: the stream exists there, with less in it than the WAL presumes.
    const disk = Uint8Array.from(world.disk.bytes);
    const store = await world.start();
    await world.fill(store.stream(stream.id), 5, 500);
    await world.crash();
    const younger = Uint8Array.from(world.disk.bytes);
    world.disk.bytes.set(disk);
    lost.clear();
    await world.start();
    await world.createStreams(1);
    await world.crash();
    world.disk.bytes.set(younger);
    await expect(world.start()).rejects.toThrow(/\[0, 5\) is lost/);
  });
});
