import { describe, expect, test } from '@jest/globals';
import { BlockDeviceError } from '../../broker-runtime/src/ports/block-device.ts';
import { WalClosedError } from '../../broker-runtime/src/wal/wal.ts';
import { appendOne, KIB, payload, WalWorld } from './block-wal-world.ts';

/** What is the block WAL's own; what every WAL promises is in `test/conformance/wal.ts`. */
describe('A block WAL', () => {
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
