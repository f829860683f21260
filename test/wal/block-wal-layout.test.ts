import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { appendOne, KIB, payload, WalWorld } from './block-wal-world.ts';

/** The tables above `writeGroupHeader`, `writeEntryHeader` and `writeSuperblock`, once more, by hand. */
describe('The layout of the block WAL', () => {
  test('a group is what its table says', async () => {
    const world = new WalWorld({ disks: 2 });
    const { wal } = await world.open();
    await world.env.clock.run((await appendOne(wal, 0, payload(0, 10))).durable);
    const one = payload(1, 5000);
    const two = payload(2, 3);
    const streamId = 2 ** 40 + 5;
    const baseOffset = 2 ** 52 + 1;
    wal.append(streamId, baseOffset, 17, 1_767_225_600_123, one);
    const group = wal.append(3, 4, 1, -1, two);
    await world.env.clock.run(group.durable);

    const [, secondDisk] = world.disks;
    const superblock = new DataView(world.disk.bytes.buffer);
    const bytes = Buffer.from(secondDisk?.bytes.subarray(8 * KIB) ?? []);
    expect(bytes.toString('latin1', 0, 4)).toBe('MRWG');
    expect(bytes.readUInt16BE(4)).toBe(1);
    expect(bytes.readUInt16BE(6)).toBe(1); // the second device
    expect(bytes.readBigUInt64BE(8)).toBe(superblock.getBigUint64(16)); // log id
    expect(bytes.readInt32BE(16)).toBe(7); // node id
    expect(bytes.readUInt32BE(20)).toBe(2); // entries
    expect(bytes.readBigInt64BE(24)).toBe(1n); // node epoch
    expect(bytes.readBigInt64BE(32)).toBe(2n); // sequence
    expect(bytes.readBigInt64BE(40)).toBe(BigInt(512 * KIB)); // position: one lap on, since the log was opened once
    expect(bytes.readBigInt64BE(48)).toBe(1n); // acked up to
    const payloadBytes = 32 + 5000 + 32 + 3;
    expect(bytes.readUInt32BE(56)).toBe(payloadBytes);
    expect(bytes.readUInt32BE(60)).toBe(crc32c(bytes.subarray(68, 68 + payloadBytes)));
    expect(bytes.readUInt32BE(64)).toBe(crc32c(bytes.subarray(0, 64)));

    expect(bytes.readBigInt64BE(68)).toBe(BigInt(streamId));
    expect(bytes.readBigInt64BE(76)).toBe(BigInt(baseOffset));
    expect(bytes.readBigInt64BE(84)).toBe(1_767_225_600_123n);
    expect(bytes.readUInt32BE(92)).toBe(17);
    expect(bytes.readUInt32BE(96)).toBe(5000);
    expect(bytes.subarray(100, 5100).equals(one)).toBe(true);
    expect(bytes.readBigInt64BE(5100)).toBe(3n);
    expect(bytes.readBigInt64BE(5116)).toBe(-1n); // no timestamp
    expect(bytes.subarray(5132, 5135).equals(two)).toBe(true);
    expect(bytes.subarray(5135, 8 * KIB).every((byte) => byte === 0)).toBe(true);
    expect(group.sizeBytes).toBe(8 * KIB);
    await world.env.clock.run(wal.close());
  });

  test('checksums that callers know make the same group as reading the bytes again', async () => {
    const entries = [payload(1, 3000), payload(2, 5000), payload(3, 7), payload(4, 2000)];
    const groupWith = async (
      known: (bytes: Uint8Array, n: number) => number | undefined,
    ): Promise<Buffer> => {
      const world = new WalWorld();
      const { wal } = await world.open();
      const groups = entries.map((bytes, n) => wal.append(1, n, 1, -1, bytes, known(bytes, n)));
      await world.env.clock.run(groups[3]?.durable ?? Promise.reject(new Error('no group')));
      await world.env.clock.run(wal.close());
      return Buffer.from(world.disk.bytes.subarray(8 * KIB + 56, 8 * KIB + 64));
    };
    const lengthAndCrc = await groupWith(() => undefined);
    expect(await groupWith((bytes) => crc32c(bytes))).toEqual(lengthAndCrc);
    expect(await groupWith((bytes, n) => (n % 2 === 0 ? crc32c(bytes) : undefined))).toEqual(lengthAndCrc);
    expect(await groupWith((bytes, n) => (n % 2 === 1 ? crc32c(bytes) : undefined))).toEqual(lengthAndCrc);
  });

  test('bytes whose checksum is known are not read again: what was damaged in memory does not pass as whole', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    const bytes = payload(1, 5000);
    const known = crc32c(bytes);
    bytes[1234] = (bytes[1234] ?? 0) ^ 1;
    await world.env.clock.run(wal.append(1, 0, 1, -1, bytes, known).durable);
    await world.env.clock.run(wal.close());
    const group = Buffer.from(world.disk.bytes.subarray(8 * KIB));
    expect(group.readUInt32BE(60)).not.toBe(crc32c(group.subarray(68, 68 + group.readUInt32BE(56))));
  });

  test('padding is zeros, also in memory that other records stood in before', async () => {
    const world = new WalWorld();
    const { wal } = await world.open();
    await world.env.clock.run((await appendOne(wal, 0, payload(1, 12 * KIB).fill(0xee))).durable);
    let padding: Uint8Array | undefined;
    world.disk.onWrite = (write) => {
      padding ??= write.copy.subarray(68 + 32 + 10);
    };
    await world.env.clock.run((await appendOne(wal, 1, payload(2, 10))).durable);
    expect(padding?.length).toBe(4 * KIB - 110);
    expect(padding?.every((byte) => byte === 0)).toBe(true);
    await world.env.clock.run(wal.close());
  });

  test('a superblock is what its table says', async () => {
    const world = new WalWorld({ disks: 2 });
    const { wal } = await world.open({ writesInFlight: 3 });
    for (let offset = 0; offset < 5; offset++) {
      await world.env.clock.run((await appendOne(wal, offset, payload(offset, 10))).durable);
    }
    await world.env.clock.run(wal.trim(3));
    await world.env.clock.run(wal.close());
    const [, secondDisk] = world.disks;
    const slots = [0, 4 * KIB].map((at) => Buffer.from(secondDisk?.bytes.subarray(at, at + 4 * KIB) ?? []));
    const newest = slots.sort((a, b) => Number(b.readBigInt64BE(24) - a.readBigInt64BE(24)))[0];
    if (newest === undefined) throw new Error('there are two slots');
    expect(newest.toString('latin1', 0, 4)).toBe('MRWS');
    expect(newest.readUInt16BE(4)).toBe(1);
    expect(newest.readUInt16BE(6)).toBe(1); // device index
    expect(newest.readUInt16BE(8)).toBe(2); // device count
    expect(newest.readInt32BE(12)).toBe(7);
    expect(newest.readBigInt64BE(32)).toBe(1n); // node epoch
    expect(newest.readBigInt64BE(40)).toBe(BigInt(512 * KIB + 8 * KIB)); // capacity
    expect(newest.readBigInt64BE(48)).toBe(BigInt(512 * KIB + 4 * KIB)); // start: behind group 2, its only trimmed one
    expect(newest.readBigInt64BE(56)).toBe(4n); // first group not trimmed
    expect(newest.readBigInt64BE(64)).toBe(5n); // acked up to
    expect(newest.readUInt32BE(72)).toBe(6); // window: two devices, three writes each
    expect(newest.readUInt32BE(76)).toBe(28 * KIB); // the largest group: an entry of 24 KiB and headers
    expect(newest.readUInt16BE(80)).toBe('wal-test-cluster'.length);
    expect(newest.toString('utf8', 82, 98)).toBe('wal-test-cluster');
    expect(newest.readUInt32BE(508)).toBe(crc32c(newest.subarray(0, 508)));
    expect(newest.subarray(512).every((byte) => byte === 0)).toBe(true);
    // The other slot is one generation behind and names the same epoch.
    expect(slots[1]?.readBigInt64BE(24)).toBe(newest.readBigInt64BE(24) - 1n);
    expect(slots[1]?.readBigInt64BE(32)).toBe(1n);
  });
});
