import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { appendOne, KIB, payload, WalWorld, type OpenLog } from './block-wal-world.ts';

const SIZES = {
  groupBytes: 256 * KIB,
  maxEntryBytes: 256 * KIB,
  slabBytes: 1024 * KIB,
  memoryBytes: 8192 * KIB,
};

/** When writes of groups were handed to the disks, in virtual milliseconds, and how large they were. */
function watchWrites(world: WalWorld): { atMs: number; bytes: number; disk: string }[] {
  const writes: { atMs: number; bytes: number; disk: string }[] = [];
  for (const disk of world.disks) {
    disk.onWrite = (write) => {
      if (write.position < 8 * KIB) return;
      writes.push({ atMs: world.env.clock.monotonicMs(), bytes: write.bytes.length, disk: disk.name });
    };
  }
  return writes;
}

/** Appends at a steady rate, trimming all that is durable, for `ms` of virtual time. */
async function load(
  world: WalWorld,
  { wal, listener }: OpenLog,
  options: { ms: number; appendsPerMs: number; bytes: number },
): Promise<void> {
  const bytes = payload(1, options.bytes);
  let offset = 0;
  listener.onDurableGroup = (group) => {
    void wal.trim(group.sequence);
  };
  for (let ms = 0; ms < options.ms; ms++) {
    for (let one = 0; one < options.appendsPerMs; one++) {
      const waiting = wal.admit(bytes.length, 1);
      if (waiting !== undefined) await world.env.clock.run(waiting);
      wal.append(1, offset++, 1, -1, bytes);
    }
    await world.env.clock.advance(1);
  }
}

describe('The pace of a block WAL', () => {
  test('an idle log writes at once', async () => {
    const world = new WalWorld({ ringBytes: 8192 * KIB });
    const { wal } = await world.open({ ...SIZES, budget: { iops: 100, bytesPerSecond: 10_000_000 } });
    const writes = watchWrites(world);
    for (let offset = 0; offset < 10; offset++) {
      await world.env.clock.advance(100);
      const startMs = world.env.clock.monotonicMs();
      const group = await appendOne(wal, offset, payload(offset, 100));
      await world.env.clock.settle();
      expect(writes.at(-1)?.atMs).toBe(startMs);
      await world.env.clock.run(group.durable);
    }
    await world.env.clock.run(wal.close());
  });

  test('under load no second holds more operations than were provisioned, and groups grow instead', async () => {
    const sizesByLoad: number[] = [];
    for (const appendsPerMs of [1, 20]) {
      const world = new WalWorld({ ringBytes: 16_384 * KIB });
      const log = await world.open({ ...SIZES, budget: { iops: 200, bytesPerSecond: 125_000_000 } });
      const writes = watchWrites(world);
      await load(world, log, { ms: 3000, appendsPerMs, bytes: 1000 });
      for (const { atMs } of writes) {
        const second = writes.filter((write) => write.atMs >= atMs && write.atMs < atMs + 1000).length;
        // 200, and what 10 ms of idleness save up.
        expect(second).toBeLessThanOrEqual(200 + 3);
      }
      expect(writes.length).toBeGreaterThan(550);
      sizesByLoad.push(writes.reduce((sum, write) => sum + write.bytes, 0) / writes.length);
      expect(Math.max(...writes.map((write) => write.bytes))).toBeLessThanOrEqual(256 * KIB);
      await world.env.clock.run(log.wal.close());
    }
    const [light = 0, heavy = 0] = sizesByLoad;
    expect(heavy).toBeGreaterThan(10 * light);
  });

  test('the bytes of a second stay within the budget too, also those of entries larger than a group', async () => {
    const world = new WalWorld({ ringBytes: 16_384 * KIB });
    const budget = { iops: 1000, bytesPerSecond: 4_000_000 };
    const log = await world.open({ ...SIZES, groupBytes: 64 * KIB, budget });
    const writes = watchWrites(world);
    await load(world, log, { ms: 300, appendsPerMs: 1, bytes: 100_000 });
    const elapsedMs = (writes.at(-1)?.atMs ?? 0) - (writes[0]?.atMs ?? 0);
    const bytes = writes.slice(0, -1).reduce((sum, write) => sum + write.bytes, 0);
    expect(writes.length).toBeGreaterThan(100);
    expect(bytes).toBeLessThanOrEqual((budget.bytesPerSecond * (elapsedMs + 10)) / 1000 + 110_000);
    expect(bytes).toBeGreaterThan((budget.bytesPerSecond * elapsedMs) / 1000 / 1.1);
    await world.env.clock.run(log.wal.close());
  });

  test('a stripe set uses the budget of every device, and reports in one order', async () => {
    const world = new WalWorld({ disks: 4, ringBytes: 8192 * KIB });
    const log = await world.open({ ...SIZES, budget: { iops: 100, bytesPerSecond: 125_000_000 } });
    const writes = watchWrites(world);
    await load(world, log, { ms: 1000, appendsPerMs: 10, bytes: 1000 });
    for (const disk of world.disks) {
      const own = writes.filter((write) => write.disk === disk.name).length;
      expect(own).toBeGreaterThan(90);
      expect(own).toBeLessThanOrEqual(102);
    }
    const { durable } = log.listener;
    expect(durable).toEqual(durable.map((_, index) => index + 1));
    await world.env.clock.run(log.wal.close());
  });

  test('superblocks are written once an interval, however often the log is trimmed', async () => {
    const world = new WalWorld({ ringBytes: 8192 * KIB });
    const log = await world.open({ ...SIZES, superblockIntervalMs: 500 });
    let superblocks = 0;
    world.disk.onWrite = (write) => {
      if (write.position < 8 * KIB) superblocks++;
    };
    await load(world, log, { ms: 5000, appendsPerMs: 1, bytes: 100 });
    expect(superblocks).toBeGreaterThanOrEqual(8);
    expect(superblocks).toBeLessThanOrEqual(10);
    await world.env.clock.advance(5000);
    const atRest = superblocks;
    await world.env.clock.advance(60_000);
    expect(superblocks).toBe(atRest);
    await world.env.clock.run(log.wal.close());
  });

  test('memory is taken once: nothing is allocated while it runs', async () => {
    const world = new WalWorld({ ringBytes: 8192 * KIB });
    const log = await world.open(SIZES);
    const before = world.disk.allocatedBytes;
    expect(before).toBeLessThan(SIZES.memoryBytes + 3000 * KIB);
    const memories = new Set<ArrayBufferLike>();
    for (let offset = 0; offset < 2000; offset++) {
      const group = await world.env.clock.run(appendOne(log.wal, offset, payload(offset, 3000)));
      for (const entry of group.entries) memories.add(entry.bytes.buffer);
      if (offset % 5 === 0) {
        await world.env.clock.run(group.durable);
        void log.wal.trim(group.sequence);
      }
    }
    expect(world.disk.allocatedBytes).toBe(before);
    expect(memories.size).toBeLessThanOrEqual(8);
    await world.env.clock.run(log.wal.close());
  });
});

describe('Admission', () => {
  test('whatever was admitted can be appended, however the bytes are divided', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 0, max: 24 * KIB }), { minLength: 1, maxLength: 12 }), {
          minLength: 5,
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(1000),
        async (requests, disks, seed) => {
          const world = new WalWorld({ seed, disks, ringBytes: 512 * KIB });
          const { wal, listener } = await world.open({ memoryBytes: 640 * KIB });
          const held: WalGroup[] = [];
          listener.onDurableGroup = (group) => {
            group.retain();
            held.push(group);
            void wal.trim(group.sequence);
          };
          listener.onWanted = (bytes) => {
            for (let freed = 0; freed < bytes && held.length > 0;) {
              const oldest = held.shift();
              freed += oldest?.sizeBytes ?? 0;
              oldest?.release();
            }
          };
          let entries = 0;
          const order: number[] = [];
          const produce = async (sizes: readonly number[], index: number): Promise<void> => {
            const total = sizes.reduce((sum, size) => sum + size, 0);
            const waiting = wal.admit(total, sizes.length);
            if (waiting !== undefined) await waiting;
            order.push(index);
            for (const size of sizes) wal.append(1, entries++, 1, -1, payload(size, size));
          };
          // All at once: most wait for memory or ring space.
          await world.env.clock.run(Promise.all(requests.map(produce)));
          await world.env.clock.run(wal.close());
          expect(order).toEqual(requests.map((_, index) => index));
          expect(listener.failures).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('what was admitted and not appended is not lost to others', async () => {
    const world = new WalWorld();
    const { wal } = await world.open({ memoryBytes: 128 * KIB });
    for (let refused = 0; refused < 100; refused++) expect(wal.admit(24 * KIB, 1)).toBeUndefined();
    await world.env.clock.run((await appendOne(wal, 0, payload(0, 24 * KIB))).durable);
    await world.env.clock.run(wal.close());
  });

  test('a log that is closed or failed sends away those who wait', async () => {
    for (const how of ['close', 'fail'] as const) {
      const world = new WalWorld({ ringBytes: 256 * KIB });
      const { wal } = await world.open();
      let offset = 0;
      let waiting = wal.admit(20 * KIB, 1);
      while (waiting === undefined) {
        wal.append(1, offset, 1, -1, payload(offset++, 20 * KIB));
        await world.env.clock.advance(4);
        waiting = wal.admit(20 * KIB, 1);
      }
      const outcome = expect(waiting).rejects.toThrow('WAL');
      if (how === 'fail') {
        world.disk.decide = () => 'failed';
        void wal.trim(offset).catch(() => undefined);
      }
      await world.env.clock.run(how === 'close' ? wal.close() : world.env.clock.sleep(5000));
      await outcome;
      await world.env.clock.run(wal.close());
    }
  });
});
