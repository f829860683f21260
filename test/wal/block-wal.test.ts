import { describe, expect, test } from '@jest/globals';
import { BlockDeviceError } from '../../broker-runtime/src/ports/block-device.ts';
import { EntryTooLargeError, WalClosedError, type WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { appendOne, describeEntry, KIB, payload, SMALL, WalWorld } from './block-wal-world.ts';

describe('A block WAL', () => {
  test('gives back after a restart what was appended, in order, byte for byte', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    const written = [];
    for (let offset = 0; offset < 40; offset++) {
      const bytes = payload(offset, 1 + ((offset * 977) % (9 * KIB)));
      written.push({
        streamId: offset % 3,
        baseOffset: offset,
        count: 1,
        maxTimestampMs: 1000 + offset,
        bytes,
      });
      const group = await world.env.clock.run(appendOne(wal, offset, bytes, offset % 3));
      if (offset % 7 === 0) await world.env.clock.run(group.durable);
    }
    await world.env.clock.run(wal.close());
    const { recovered } = await world.open();
    const entries = recovered.flatMap((group) => group.entries);
    expect(entries.map(describeEntry)).toEqual(written.map(describeEntry));
    expect(recovered.map((group) => group.sequence)).toEqual(recovered.map((_, index) => index + 1));
  });

  test('entries of one turn share a write, and its one promise', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    const before = world.disk.writes;
    const groups = Array.from({ length: 100 }, (_, offset) => {
      expect(wal.admit(100, 1)).toBeUndefined();
      return wal.append(1, offset, 1, -1, payload(offset, 100));
    });
    expect(new Set(groups.map((group) => group.durable)).size).toBe(1);
    await world.env.clock.run(Promise.all(groups.map((group) => group.durable)));
    expect(world.disk.writes - before).toBe(1);
  });

  test('continues sequences after a restart and hands out nothing that was trimmed', async () => {
    const world = new WalWorld();
    const first = await world.open();
    const a = await appendOne(first.wal, 0, payload(0, 100));
    await world.env.clock.run(a.durable);
    const b = await appendOne(first.wal, 1, payload(1, 100));
    await world.env.clock.run(b.durable);
    await world.env.clock.run(first.wal.trim(a.sequence));
    await world.env.clock.run(first.wal.close());
    const second = await world.open();
    expect(second.recovered.map((group) => group.sequence)).toEqual([b.sequence]);
    const c = await appendOne(second.wal, 2, payload(2, 100));
    expect(c.sequence).toBe(b.sequence + 1);
    await world.env.clock.run(second.wal.close());
  });

  test('refuses to trim what is not durable', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    const group = await appendOne(wal, 0, payload(0, 100));
    expect(() => wal.trim(group.sequence)).toThrow('I27');
    await world.env.clock.run(group.durable);
    await world.env.clock.run(wal.trim(group.sequence));
    expect(wal.usedBytes).toBe(0);
    await world.env.clock.run(wal.close());
  });

  test('runs many laps while it is trimmed', async () => {
    const world = new WalWorld({ ringBytes: 256 * KIB });
    const { wal, listener } = await world.open();
    listener.onDurableGroup = (group) => {
      void wal.trim(group.sequence);
    };
    for (let offset = 0; offset < 400; offset++) {
      await world.env.clock.run(appendOne(wal, offset, payload(offset, 12 * KIB)));
    }
    await world.env.clock.run(wal.close());
    expect(listener.durable).toEqual(listener.durable.map((_, index) => index + 1));
    expect(world.disk.writtenBytes).toBeGreaterThan(15 * 256 * KIB);
    expect(wal.usedBytes).toBe(0);
  });

  test('lets appends wait while the ring is full, in their order, until it is trimmed', async () => {
    const world = new WalWorld({ ringBytes: 256 * KIB });
    const { wal, listener } = await world.open();
    const order: number[] = [];
    let offset = 0;
    let waiting: Promise<void> | undefined;
    while ((waiting = wal.admit(12 * KIB, 1)) === undefined) {
      wal.append(1, offset, 1, -1, payload(offset, 12 * KIB));
      offset++;
      await world.env.clock.advance(5);
    }
    const late = Array.from({ length: 3 }, async (_, index) => {
      await (index === 0 ? waiting : wal.admit(12 * KIB, 1));
      order.push(index);
      wal.append(1, offset + index, 1, -1, payload(index, 12 * KIB));
    });
    await world.env.clock.advance(60_000);
    expect(order).toEqual([]);
    const durable = listener.durable.at(-1) ?? 0;
    await world.env.clock.run(wal.trim(durable));
    await world.env.clock.run(Promise.all(late));
    expect(order).toEqual([0, 1, 2]);
    await world.env.clock.run(wal.close());
  });

  test('lets appends wait while all memory is held and asks for it back', async () => {
    const world = new WalWorld();
    const { wal, listener } = await world.open({ memoryBytes: 128 * KIB });
    const held: { release: () => void }[] = [];
    listener.onDurableGroup = (group) => {
      group.retain();
      held.push(group);
    };
    listener.onWanted = () => {
      for (const group of held.splice(0)) group.release();
    };
    for (let offset = 0; offset < 60; offset++) {
      await world.env.clock.run(appendOne(wal, offset, payload(offset, 12 * KIB)));
      await world.env.clock.advance(3);
      if (offset % 9 === 8) await world.env.clock.run(wal.trim(listener.durable.at(-1) ?? 0));
    }
    expect(listener.memoryWanted.length).toBeGreaterThan(3);
    expect(world.disk.allocatedBytes).toBeLessThan(2000 * KIB);
    await world.env.clock.run(wal.close());
  });

  test('bug: a flood of tiny entries filled the heap, not the memory; now they wait when they are too many', async () => {
    const world = new WalWorld();
    const { wal, listener } = await world.open();
    const maxEntries = SMALL.memoryBytes / 512;
    const held: WalGroup[] = [];
    listener.onDurableGroup = (group) => {
      group.retain();
      held.push(group);
    };
    const tiny = payload(1, 100);
    let appended = 0;
    let waiting = wal.admit(tiny.length, 1);
    for (; waiting === undefined; waiting = wal.admit(tiny.length, 1)) {
      wal.append(1, appended++, 1, 0, tiny);
      if (appended % 100 === 0) await world.env.clock.advance(10);
    }
    await world.env.clock.advance(10);
    expect(appended).toBe(maxEntries);
    expect(listener.memoryWanted.length).toBeGreaterThan(0);
    expect(() => wal.admit(100, maxEntries + 1)).toThrow(EntryTooLargeError);

    held.shift()?.release();
    await world.env.clock.run(waiting);
    wal.append(1, appended, 1, 0, tiny);
    await world.env.clock.run(wal.close());
  });

  test('refuses what could never fit', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    expect(() => wal.admit(24 * KIB + 1, 1)).toThrow(EntryTooLargeError);
    expect(() => wal.admit(10_000 * KIB, 500)).toThrow(EntryTooLargeError);
    expect(wal.admit(24 * KIB, 1)).toBeUndefined();
    await world.env.clock.run(wal.close());
  });

  test('acknowledges nothing after a failed write, and says so once', async () => {
    const world = new WalWorld();
    const { wal, listener } = await world.open({ writesInFlight: 4 });
    let seen = 0;
    world.disk.decide = () => (++seen === 3 ? 'failed' : 'stored');
    const groups = Array.from({ length: 20 }, (_, offset) =>
      wal.append(1, offset, 1, -1, payload(offset, 12 * KIB)),
    );
    const outcomes = world.env.clock.run(Promise.allSettled(groups.map((group) => group.durable)));
    const failed = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    expect(failed.length).toBeGreaterThan(15);
    expect(failed.every((outcome) => outcome.reason instanceof WalClosedError)).toBe(true);
    const durableBefore = listener.durable.length;
    await world.env.clock.advance(10_000);
    expect(listener.durable.length).toBe(durableBefore);
    expect(listener.failures).toHaveLength(1);
    expect(() => wal.admit(1, 1)).toThrow(WalClosedError);
    expect(() => wal.append(1, 99, 1, -1, payload(0, 1))).toThrow(WalClosedError);
    await world.env.clock.run(wal.close());
  });

  test('acknowledges nothing once the fence proof fails, although the write succeeded', async () => {
    const world = new WalWorld();
    let isOwner = true;
    const { wal, listener } = await world.open({
      mayAcknowledge: () => isOwner || Promise.reject(new Error('somebody else has it')),
    });
    const first = await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.run(first.durable);
    world.disk.onWrite = () => {
      isOwner = false;
    };
    const second = await appendOne(wal, 1, payload(1, 100));
    await expect(world.env.clock.run(second.durable)).rejects.toThrow(WalClosedError);
    expect(listener.durable).toEqual([first.sequence]);
    expect(listener.failures).toHaveLength(1);
    await world.env.clock.run(wal.close());
    expect((await world.recover()).map((group) => group.sequence)).toEqual([1, 2]);
  });

  test('reads a long log back in large pieces, and no further than it must', async () => {
    const world = new WalWorld({ ringBytes: 8192 * KIB });
    const { wal } = await world.open();
    for (let offset = 0; offset < 300; offset++) {
      await world.env.clock.run((await appendOne(wal, offset, payload(offset, 14 * KIB))).durable);
    }
    world.crash();
    world.disk.reads = 0;
    world.disk.readBytes = 0;
    expect(await world.recover()).toHaveLength(300);
    expect(world.disk.reads).toBeLessThan(10);
    // 300 groups of 16 KiB, what is read twice where a piece ended within a group, and one piece too many.
    expect(world.disk.readBytes).toBeLessThan(1.1 * 300 * 16 * KIB + 1024 * KIB);
  });

  test('a device that cannot be read is an error, not an empty log', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    await world.env.clock.run((await appendOne(wal, 0, payload(0, 100))).durable);
    world.crash();
    world.disk.readError = 'IO';
    await expect(world.recover()).rejects.toThrow(BlockDeviceError);
    world.disk.readError = undefined;
    expect(await world.recover()).toHaveLength(1);
  });
});
