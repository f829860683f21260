import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { recoverBlockWal, WalCorruptionError } from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../../broker-runtime/src/wal/fence.ts';
import { writeGroupHeader } from '../../broker-runtime/src/wal/block/group-layout.ts';
import { appendOne, describeEntry, KIB, payload, WalWorld } from './block-wal-world.ts';

const RING_START = 8 * KIB;
const MAGIC = 'MRWG';

/** Where groups of any lap or epoch stand on a disk. */
function groupOffsets(bytes: Uint8Array): number[] {
  const offsets = [];
  for (let at = RING_START; at < bytes.length; at += 4 * KIB) {
    if (Buffer.from(bytes.subarray(at, at + 4)).toString() === MAGIC) offsets.push(at);
  }
  return offsets;
}

function rewriteHeaderCrc(bytes: Uint8Array, at: number): void {
  new DataView(bytes.buffer, at).setUint32(64, crc32c(bytes.subarray(at, at + 64)));
}

/** A log of `count` acknowledged groups, one 8 KiB block pair each; the process dies right after the last. */
async function crashedLog(
  count: number,
  options: { disks?: number; idleMs?: number; superblockIntervalMs?: number } = {},
): Promise<WalWorld> {
  const world = new WalWorld({ disks: options.disks ?? 1 });
  const { wal } = await world.open({ superblockIntervalMs: options.superblockIntervalMs ?? 3_600_000 });
  for (let offset = 0; offset < count; offset++) {
    const group = await appendOne(wal, offset, payload(offset, 5000));
    await world.env.clock.run(group.durable);
  }
  await world.env.clock.advance(options.idleMs ?? 0);
  world.crash();
  return world;
}

/** How many groups come back, or the error. */
async function outcome(world: WalWorld): Promise<number | WalCorruptionError> {
  try {
    return (await world.recover()).length;
  } catch (error) {
    if (error instanceof WalCorruptionError) return error;
    throw error;
  }
}

describe('Damage in a block WAL', () => {
  test('a bit in an acknowledged group that a later one vouches for stops recovery and names the place', async () => {
    // Everywhere in the header (0 to 67), and in the entries.
    for (const at of [0, 5, 7, 8, 19, 23, 31, 39, 47, 55, 59, 63, 67, 68, 90, 4000, 5099]) {
      const world = await crashedLog(6);
      const [, , third] = groupOffsets(world.disk.bytes);
      world.disk.flipBit((third ?? 0) + at, 3);
      const error = await outcome(world);
      expect(error).toBeInstanceOf(WalCorruptionError);
      expect((error as WalCorruptionError).damage).toMatchObject({
        device: 'disk-0',
        deviceOffset: third,
        lengthBytes: 8 * KIB,
      });
      expect((error as WalCorruptionError).message).toContain('group 3 is missing, but group 6 says');
    }
  });

  test('a bit in the padding of a group hurts nobody', async () => {
    const world = await crashedLog(6);
    const [, , third] = groupOffsets(world.disk.bytes);
    world.disk.flipBit((third ?? 0) + 8 * KIB - 1);
    expect(await outcome(world)).toBe(6);
  });

  test('the groups before the damage are handed out before recovery stops', async () => {
    const world = await crashedLog(6);
    const [, , third] = groupOffsets(world.disk.bytes);
    world.disk.flipBit((third ?? 0) + 100);
    const seen: number[] = [];
    const read = (async () => {
      const devices = world.devices();
      const recovery = await recoverBlockWal(
        devices,
        { clusterId: 'wal-test-cluster', nodeId: 7 },
        world.env,
        previousProcessExited(devices),
      );
      for await (const group of recovery.groups()) seen.push(group.sequence);
    })();
    await expect(world.env.clock.run(read)).rejects.toThrow(WalCorruptionError);
    expect(seen).toEqual([1, 2]);
  });

  test('every group but the last is vouched for', async () => {
    for (let damaged = 0; damaged < 6; damaged++) {
      const world = await crashedLog(6);
      world.disk.flipBit((groupOffsets(world.disk.bytes)[damaged] ?? 0) + 100);
      const result = await outcome(world);
      if (damaged < 5) expect(result).toBeInstanceOf(WalCorruptionError);
      else expect(result).toBe(5);
    }
  });

  test('the last group of a log that just stopped cannot be told from a torn tail; after an idle interval it can', async () => {
    const fresh = await crashedLog(6);
    fresh.disk.flipBit((groupOffsets(fresh.disk.bytes).at(-1) ?? 0) + 100);
    expect(await outcome(fresh)).toBe(5);

    const idle = await crashedLog(6, { superblockIntervalMs: 1000, idleMs: 1100 });
    idle.disk.flipBit((groupOffsets(idle.disk.bytes).at(-1) ?? 0) + 100);
    const error = await outcome(idle);
    expect(error).toBeInstanceOf(WalCorruptionError);
    expect((error as WalCorruptionError).message).toContain('a superblock says');
  });

  test('a closed log proves all of itself', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    await appendOne(wal, 0, payload(0, 100));
    await world.env.clock.run(wal.close());
    world.disk.flipBit(RING_START + 80);
    expect(await outcome(world)).toBeInstanceOf(WalCorruptionError);
  });

  test('a write that the device acknowledged and lost is found, on one device and on a stripe', async () => {
    for (const disks of [1, 3]) {
      const world = new WalWorld({ disks });
      const { wal } = await world.open();
      for (let offset = 0; offset < 12; offset++) {
        if (offset === 4) for (const disk of world.disks) disk.decide = () => 'lost';
        if (offset === 5) for (const disk of world.disks) disk.decide = () => 'stored';
        const group = await appendOne(wal, offset, payload(offset, 5000));
        await world.env.clock.run(group.durable);
      }
      world.crash();
      const error = await outcome(world);
      expect(error).toBeInstanceOf(WalCorruptionError);
      expect((error as WalCorruptionError).message).toContain('group 5 is missing');
    }
  });

  test('an unacknowledged hole is a torn tail: what landed behind it is dropped', async () => {
    const world = new WalWorld();
    const { wal, listener } = await world.open({ writesInFlight: 4 });
    await world.env.clock.run((await appendOne(wal, 0, payload(0, 5000))).durable);
    world.disk.isHeld = true;
    for (let offset = 1; offset < 5; offset++) {
      await appendOne(wal, offset, payload(offset, 12 * KIB));
      await world.env.clock.settle();
    }
    const [second, ...later] = [...world.disk.pending];
    expect(later).toHaveLength(3);
    for (const write of later) write.finish('stored');
    await world.env.clock.settle();
    expect(listener.durable).toEqual([1]);
    // None of the sectors of the second.
    if (second !== undefined) world.disk.pending.delete(second);
    world.crash();
    expect(await outcome(world)).toBe(1);
  });

  test('a group beyond the window proves a hole even when no header says what was acknowledged', async () => {
    const world = await crashedLog(6);
    const offsets = groupOffsets(world.disk.bytes);
    for (const at of offsets) {
      // Acked up to: 0, with the checksum of the header made right again.
      new DataView(world.disk.bytes.buffer, at).setBigInt64(48, 0n);
      rewriteHeaderCrc(world.disk.bytes, at);
    }
    const before = world.disk.bytes.slice();
    world.disk.flipBit((offsets[4] ?? 0) + 100);
    expect(await outcome(world)).toBe(4);
    world.disk.bytes.set(before);
    world.disk.flipBit((offsets[3] ?? 0) + 100);
    const error = await outcome(world);
    expect((error as WalCorruptionError).message).toContain('at most 2 are ever under way');
  });

  test('a group of an older epoch is none of this log, even at the right position', async () => {
    const world = await crashedLog(1);
    const [first = 0] = groupOffsets(world.disk.bytes);
    expect(await outcome(world)).toBe(1);
    new DataView(world.disk.bytes.buffer, first).setBigInt64(24, 0n);
    rewriteHeaderCrc(world.disk.bytes, first);
    expect(await outcome(world)).toBe(0);
  });

  test('bytes of an earlier lap or epoch that come back are not taken for new', async () => {
    const world = new WalWorld({ ringBytes: 256 * KIB });
    const laps: Uint8Array[] = [];
    const written: string[] = [];
    for (let life = 0; life < 3; life++) {
      const { wal, listener } = await world.open({ superblockIntervalMs: 1 });
      for (let offset = 0; offset < 45; offset++) {
        const group = await world.env.clock.run(appendOne(wal, offset, payload(life * 100 + offset, 7000)));
        await world.env.clock.run(group.durable);
        laps.push(world.disk.bytes.slice());
        const isLast = life === 2 && offset === 44;
        if (isLast) written.push(...group.entries.map(describeEntry));
        else void wal.trim(group.sequence);
      }
      expect(listener.failures).toEqual([]);
      await world.env.clock.advance(10);
      world.crash();
    }
    const newest = world.disk.bytes.slice();
    const offsets = groupOffsets(newest);
    expect(offsets.length).toBeGreaterThan(20);
    const sequenceAt = (at: number): bigint => Buffer.from(newest.subarray(at)).readBigInt64BE(32);
    const live = offsets.reduce((a, b) => (sequenceAt(a) > sequenceAt(b) ? a : b));
    for (const old of laps) {
      // The whole ring as it was once, except for the one live group and the superblocks.
      world.disk.bytes.set(old.subarray(RING_START), RING_START);
      world.disk.bytes.set(newest.subarray(live, live + 8 * KIB), live);
      const recovered = await world.recover();
      expect(recovered.flatMap((group) => group.entries).map(describeEntry)).toEqual(written);
    }
  });

  test('groups of an epoch that no superblock knows: superblock writes were lost', async () => {
    const world = new WalWorld();
    const first = await world.open();
    await world.env.clock.run((await appendOne(first.wal, 0, payload(0, 100))).durable);
    await world.env.clock.run(first.wal.close());
    const superblocks = world.disk.bytes.slice(0, RING_START);
    const second = await world.open();
    await world.env.clock.run((await appendOne(second.wal, 1, payload(1, 100))).durable);
    await world.env.clock.run(second.wal.close());
    world.disk.bytes.set(superblocks);
    const error = await outcome(world);
    expect((error as WalCorruptionError).message).toContain('group of node epoch 2');
  });

  test('a device of a stripe whose superblocks fell back an epoch does not pass for one that was not opened yet', async () => {
    const world = new WalWorld({ disks: 2 });
    const first = await world.open();
    await world.env.clock.run(first.wal.close());
    const [, second] = world.disks;
    const superblocks = second?.bytes.slice(0, RING_START) ?? new Uint8Array();
    const { wal } = await world.open();
    await world.env.clock.run((await appendOne(wal, 0, payload(0, 100))).durable);
    world.crash();
    second?.bytes.set(superblocks);
    const error = await outcome(world);
    expect((error as WalCorruptionError).message).toContain('before all superblocks of the set name epoch 2');
  });

  test('records of a client that look like groups are not taken for groups when their own group is torn', async () => {
    const groupInside = (logId: Uint8Array): Uint8Array => {
      const bytes = payload(9, 8 * KIB);
      // The second block of the group: header and entry header stand before the bytes.
      const at = 4 * KIB - 68 - 32;
      writeGroupHeader(bytes.subarray(at), {
        deviceIndex: 0,
        logId,
        nodeId: 7,
        entryCount: 0,
        nodeEpoch: 1,
        sequence: 9,
        position: 512 * KIB + 4 * KIB,
        ackedUpTo: 8,
        payloadBytes: 0,
        payloadCrc: 0,
      });
      return bytes;
    };
    const outcomeOf = async (secret: boolean): Promise<number | WalCorruptionError> => {
      const world = new WalWorld();
      const { wal } = await world.open();
      const logId = secret ? payload(1, 8) : world.disk.bytes.slice(16, 24);
      await world.env.clock.run((await appendOne(wal, 0, groupInside(logId))).durable);
      world.crash();
      world.disk.flipBit(RING_START);
      return outcome(world);
    };
    expect(await outcomeOf(true)).toBe(0);
    // Whoever could read the log id off the device could do harm: the test above is not vacuous.
    expect(await outcomeOf(false)).toBeInstanceOf(WalCorruptionError);
  });
});
