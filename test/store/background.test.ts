import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { planCompaction } from '../../broker-runtime/src/store/compaction-plan.ts';
import { objectKey } from '../../broker-runtime/src/store/object-key.ts';
import type { Stream, StreamRange } from '../../broker-runtime/src/store/stream.ts';
import { describeEntry, KIB, MIB, payload, StoreWorld } from './store-world.ts';

const HOUR_MS = 3_600_000;

async function started(options: ConstructorParameters<typeof StoreWorld>[0] = {}): Promise<StoreWorld> {
  const world = new StoreWorld(options);
  await world.start();
  return world;
}

/** Rounds of uploads and compaction beside a scrub. */
const MAX_TURNS = 6;
const DELETE_DELAY_MS = 1_000;

const dataKeys = (world: StoreWorld): string[] =>
  [...world.bucket.objects.keys()].filter((key) => key.startsWith('data/'));

/** Several streams with a range each in every one of `rounds` shared objects. */
async function withSharedObjects(
  rounds: number,
  options: ConstructorParameters<typeof StoreWorld>[0] = {},
): Promise<{ world: StoreWorld; streams: Stream[] }> {
  const world = await started(options);
  const streams: Stream[] = [];
  for (const id of await world.createStreams(3)) streams.push(world.store.stream(id));
  for (let round = 0; round < rounds; round++) {
    for (const stream of streams) await world.fill(stream, 2, 200);
    await world.run(Promise.all(streams.map((stream) => stream.flush())));
  }
  return { world, streams };
}

describe('compaction', () => {
  test('moves streams out of shared objects, which then die; nothing changes for readers', async () => {
    const { world, streams } = await withSharedObjects(8);
    expect(streams.map((stream) => stream.ranges().length)).toEqual([8, 8, 8]);
    const before = [];
    for (const stream of streams) before.push((await world.readAll(stream)).map(describeEntry));
    expect(await world.run(world.store.compact())).toBe(3);
    expect(streams.map((stream) => stream.ranges().length)).toEqual([1, 1, 1]);
    expect(world.manifest.destroyedObjects(world.env.clock.wallMs())).toHaveLength(8);
    await world.crash();
    await world.start();
    for (const [n, stream] of streams.entries()) {
      const entries = await world.readAll(world.store.stream(stream.id));
      expect(entries.map(describeEntry)).toEqual(before[n]);
    }
  });

  test('loses against a trim and against a deletion that come first', async () => {
    const { world, streams } = await withSharedObjects(6);
    const [trimmed, deleted, kept] = streams;
    if (trimmed === undefined || deleted === undefined || kept === undefined)
      throw new Error('three streams');
    world.objects.delayMs = (operation) => (operation === 'put' ? 200 : 0);
    const round = world.store.compact();
    await world.env.clock.advance(50);
    await world.run(trimmed.trim(5));
    await world.deleteStream(deleted.id);
    await world.run(round);
    expect(world.env.events.named('store.compaction-failed')).toEqual([]);
    expect((await world.readAll(trimmed)).map((entry) => entry.baseOffset)).toEqual([5, 6, 7, 8, 9, 10, 11]);
    expect((await world.readAll(kept)).length).toBe(12);
  });

  test('keeps to its rate', async () => {
    const world = await started({ store: { compactionBytesPerSecond: 4 * KIB } });
    const stream = await world.createStream();
    for (let round = 0; round < 4; round++) {
      await world.fill(stream, 1, 2000);
      await world.run(stream.flush());
    }
    const beganMs = world.env.clock.monotonicMs();
    await world.run(world.store.compact());
    expect(world.env.clock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(2000);
  });

  test('runs by itself', async () => {
    const { world, streams } = await withSharedObjects(5);
    await world.env.clock.advance(world.options.compactionIntervalMs + 10_000);
    expect(streams.map((stream) => stream.ranges().length)).toEqual([1, 1, 1]);
  });

  test('a plan takes neighbours only, fits one object, and comes to an end', () => {
    const options = { compactionFanIn: 4, compactionObjectBytes: 4096 };
    fc.assert(
      fc.property(fc.array(fc.nat(6000), { maxLength: 80 }), (sizes) => {
        let ranges: StreamRange[] = sizes.map((sizeBytes, n) => range(n, n + 1, sizeBytes));
        let rewrittenBytes = 0;
        for (let round = 0; ; round++) {
          const plan = planCompaction(ranges, options);
          if (plan.length === 0) break;
          expect(round).toBeLessThan(100);
          const first = ranges.findIndex((candidate) => candidate === plan[0]);
          expect(ranges.slice(first, first + plan.length)).toEqual(plan);
          const bytes = plan.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
          expect(bytes).toBeLessThanOrEqual(options.compactionObjectBytes);
          expect(plan.length).toBeGreaterThanOrEqual(options.compactionFanIn);
          rewrittenBytes += bytes;
          const merged = range(plan[0]?.startOffset ?? 0, plan.at(-1)?.endOffset ?? 0, bytes);
          ranges = [...ranges.slice(0, first), merged, ...ranges.slice(first + plan.length)];
        }
        // A byte is rewritten once per size class at most: log4(4096) of them, and one for the empty.
        expect(rewrittenBytes).toBeLessThanOrEqual(sizes.reduce((sum, size) => sum + size, 0) * 7);
      }),
      { numRuns: 200 },
    );
  });
});

function range(startOffset: number, endOffset: number, sizeBytes: number): StreamRange {
  return { startOffset, endOffset, sizeBytes, maxTimestampMs: 0, objectId: startOffset };
}

describe('garbage', () => {
  test('the dead are deleted after the delay, bytes first and record last', async () => {
    const { world, streams } = await withSharedObjects(8);
    await world.run(world.store.compact());
    const deadIds = world.manifest
      .destroyedObjects(world.env.clock.wallMs())
      .map((object) => object.objectId);
    expect(await world.run(world.store.collectGarbage())).toBe(0);
    world.objects.failNext('delete', { kind: 'lose-answer' });
    await world.env.clock.advance(world.options.deleteDelayMs + 3 * world.options.garbageIntervalMs);
    expect(dataKeys(world).filter((key) => deadIds.map(objectKey).includes(key))).toEqual([]);
    expect(deadIds.map((id) => world.manifest.object(id))).toEqual(deadIds.map(() => undefined));
    for (const stream of streams) expect(await world.readAll(stream)).toHaveLength(16);
  });

  test('every object is named or gone in the end, whatever was lost on the way (I25)', async () => {
    const world = await started({
      store: { prepareTtlMs: 60_000, rewriteTtlMs: 60_000, deleteDelayMs: 60_000 },
    });
    const { id } = await world.createStream();
    let puts = 0;
    world.objects.faults = (operation, key) => {
      if (operation !== 'put' || !key.startsWith('data/')) return undefined;
      puts++;
      if (puts % 3 === 0) return { kind: 'lose-answer' };
      // Lands when its id was given up and removed long ago.
      return puts < 40 ? { kind: 'land-late', afterMs: HOUR_MS } : undefined;
    };
    for (let round = 0; round < 6; round++) {
      const stream = world.store.stream(id);
      await world.fill(stream, 3, 500);
      await world.run(stream.flush());
      if (round === 3) {
        await world.crash();
        await world.start();
      }
    }
    const again = world.store.stream(id);
    await world.env.clock.advance(2 * HOUR_MS);
    const named = new Set(again.ranges().map(({ objectId }) => objectKey(objectId)));
    const unnamed = dataKeys(world).filter((key) => !named.has(key));
    expect(unnamed.length).toBeGreaterThan(0);
    const report = await world.run(world.store.scrub('report'));
    expect(report).toMatchObject({ orphans: [], youngOrphans: unnamed.toSorted(), strangers: [] });
    await world.env.clock.advance(world.options.orphanAgeMs);
    const cleaned = await world.run(world.store.scrub('delete'));
    expect(cleaned.orphans).toEqual(unnamed.toSorted());
    expect(dataKeys(world).toSorted()).toEqual([...named].toSorted());
    expect(await world.readAll(again)).toHaveLength(18);
  });

  test('a scrub deletes nothing that is not certainly an orphan of ours', async () => {
    const { world } = await withSharedObjects(2);
    const stranger = { body: new Uint8Array(500), etag: '"s"' };
    const keys = ['data/0000/notes.txt', objectKey(999_999), 'data/ffff/1'];
    for (const key of keys) world.bucket.objects.set(key, stranger);
    await world.env.clock.advance(world.options.orphanAgeMs * 2);
    const report = await world.run(world.store.scrub('delete'));
    expect(report.orphans).toEqual([]);
    expect(report.strangers.toSorted()).toEqual(keys.toSorted());
    for (const key of keys) expect(world.bucket.objects.has(key)).toBe(true);
  });

  test('T18: a listing that changes while a scrub turns its pages: every orphan is found, nothing named is', async () => {
    for (const pageKeys of [1, 2, 3]) {
      const { world, streams } = await withSharedObjects(8, { store: { deleteDelayMs: DELETE_DELAY_MS } });
      // Uploads that landed long after their ids were given up: files of ours under ids nobody knows any more.
      world.objects.faults = (operation, key) =>
        operation === 'put' && key.startsWith('data/') ? { kind: 'land-late', afterMs: HOUR_MS } : undefined;
      for (const stream of streams) {
        await world.fill(stream, 2, 200);
        void stream.flush();
      }
      await world.env.clock.advance(2 * HOUR_MS + world.options.prepareTtlMs + DELETE_DELAY_MS);
      world.objects.faults = undefined;
      await world.run(Promise.all(streams.map((stream) => stream.flush())));
      await world.env.clock.advance(world.options.orphanAgeMs);
      const { orphans } = await world.run(world.store.scrub('report'));
      expect(orphans.length).toBeGreaterThan(0);

      // Between the pages objects come, before and behind the place, and garbage goes.
      world.objects.pageKeys = pageKeys;
      let pages = 0;
      const turn = async (): Promise<void> => {
        for (const stream of streams) await world.append(stream, payload(stream.id, stream.endOffset, 200));
        await Promise.all(streams.map((stream) => stream.flush()));
        await world.store.compact();
        await world.env.clock.sleep(DELETE_DELAY_MS);
        await world.store.collectGarbage();
      };
      const turns: Promise<void>[] = [];
      const listMs = 2 * DELETE_DELAY_MS;
      world.objects.delayMs = (operation) => (operation === 'list' ? listMs : 1);
      world.objects.faults = (operation) => {
        if (operation === 'list' && pages++ < MAX_TURNS) turns.push(turn());
        return undefined;
      };
      let removed = 0;
      world.bucket.onDelete = () => removed++;
      const report = await world.run(world.store.scrub('delete'));
      await world.run(Promise.all(turns));
      expect(pages).toBeGreaterThan(2);
      expect(removed).toBeGreaterThan(orphans.length);
      expect(report.strangers).toEqual([]);
      expect(report.orphans.toSorted()).toEqual(orphans.toSorted());
      expect(dataKeys(world).filter((key) => orphans.includes(key))).toEqual([]);
      for (const stream of streams) await world.readAll(stream);
    }
  });

  test('memory comes back when streams go: no share is in use after everything was released', async () => {
    const { world, streams } = await withSharedObjects(6);
    for (const stream of streams) await world.readAll(stream, 0, 500);
    await world.run(world.store.compact());
    for (const stream of streams) await world.deleteStream(stream.id);
    await world.env.clock.advance(HOUR_MS);
    const rewrites = world.running.memory.shares.find((share) => share.name === 'store.rewrites');
    expect(rewrites?.usedBytes).toBe(0);
    expect(world.store.status().tailCacheBytes).toBeLessThanOrEqual(512 * KIB);
    expect(dataKeys(world)).toEqual([]);
  });
});

describe('requests cost money', () => {
  test('an idle store makes none', async () => {
    const world = await started();
    const stream = await world.createStream();
    await world.fill(stream, 5, 500);
    await world.env.clock.advance(HOUR_MS);
    const before = { ...world.objects.requests };
    await world.env.clock.advance(24 * HOUR_MS);
    expect(world.objects.requests).toEqual(before);
  });

  test('a MiB written costs one PUT of data and two of metadata per cut, and no other request', async () => {
    const world = await started({
      ringBytes: 16 * MIB,
      wal: { memoryBytes: 8 * MIB, slabBytes: 512 * KIB },
      store: { uploadBytes: MIB, uploadEntries: 1e6, ownObjectBytes: 64 * MIB, uploadIntervalMs: HOUR_MS },
    });
    const streams: Stream[] = [];
    for (const id of await world.createStreams(8)) streams.push(world.store.stream(id));
    const before = { ...world.objects.requests };
    for (let n = 0; n < 1024; n++) {
      const stream = streams[n % 8];
      if (stream === undefined) throw new Error('eight streams');
      const waiting = world.store.admit(8 * KIB, 1);
      if (waiting !== undefined) await world.run(waiting);
      stream.append(stream.endOffset, 1, 0, payload(stream.id, stream.endOffset, 8 * KIB));
      if (n % 16 === 0) await world.env.clock.advance(5);
    }
    await world.env.clock.advance(5000);
    await world.run(Promise.all(streams.map((stream) => stream.flush())));
    const { put, get, list } = world.objects.requests;
    const { uploadedObjects } = world.store.status();
    // Groups of one entry are padded to 12 KiB: 12 MiB of groups in cuts of 1 MiB, and the rest.
    expect(uploadedObjects).toBeLessThanOrEqual(14);
    expect(put - before.put).toBeLessThanOrEqual(3 * uploadedObjects);
    // The journal looks at its floor now and then; the store itself reads nothing.
    expect(get - before.get).toBeLessThanOrEqual(2 * uploadedObjects);
    expect(list - before.list).toBe(0);
  });

  test('a flush behind a backlog of the WAL makes one object, not one per group', async () => {
    const world = await started({ store: { uploadBytes: MIB }, ringBytes: 8 * MIB });
    const stream = await world.createStream();
    for (let n = 0; n < 60; n++) {
      await world.run(world.append(stream, payload(stream.id, n, 6000)));
      await world.env.clock.settle();
    }
    await world.run(stream.flush());
    expect(stream.durableOffset).toBe(60);
    expect(world.store.status().uploadedObjects).toBeLessThanOrEqual(2);
  });

  test('a cache that fills all memory does not turn every group into an object', async () => {
    const world = await started({
      ringBytes: 8 * MIB,
      store: { uploadBytes: 64 * KIB, tailCacheEntries: 1e6 },
    });
    const stream = await world.createStream();
    world.objects.delayMs = () => 5;
    await world.fill(stream, 600, 6000);
    await world.run(stream.flush());
    // 600 groups of 8 KiB in cuts of 64 KiB, and a few smaller ones while memory was short.
    expect(world.store.status().uploadedObjects).toBeLessThanOrEqual(120);
  });

  test('a sequential scan takes few large GETs, a random reader pays for nothing ahead', async () => {
    const world = await started({
      ringBytes: 16 * MIB,
      wal: { memoryBytes: 8 * MIB, slabBytes: 512 * KIB },
      store: {
        uploadBytes: 2 * MIB,
        uploadEntries: 1e6,
        blockBytes: 16 * KIB,
        getBytes: 256 * KIB,
        historyReadBytes: 2 * MIB,
        tailReadBytes: 2 * MIB,
        readAheadMinBytes: 32 * KIB,
        readAheadMaxBytes: 512 * KIB,
        indexGetBytes: 64 * KIB,
        indexCacheBytes: 256 * KIB,
      },
    });
    const stream = await world.createStream();
    for (let n = 0; n < 32; n++) await world.fill(stream, 16, 8 * KIB);
    await world.stop();
    await world.start();
    const again = world.store.stream(stream.id);
    world.objects.delayMs = () => 20;
    const before = world.objects.requests.get;
    expect(await world.readAll(again, 0, 64 * KIB)).toHaveLength(512);
    const scanned = world.objects.requests.get - before;
    // 4 MiB: 16 GETs of 256 KiB would be the least, and one for each index.
    expect(scanned).toBeLessThanOrEqual(16 + 2 * again.ranges().length + 12);

    await world.crash();
    await world.start();
    const fresh = world.store.stream(stream.id);
    const beforeRandom = world.objects.requests.get;
    for (const offset of [400, 10, 300, 120, 200]) {
      const slice = await world.read(fresh, offset, 8 * KIB, { purpose: 'history' });
      slice?.release();
    }
    expect(world.objects.requests.get - beforeRandom).toBeLessThanOrEqual(5 + 2 * fresh.ranges().length);
  });
});
