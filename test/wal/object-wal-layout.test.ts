import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import { appendOne, OWNER, payload } from './block-wal-world.ts';
import { FENCE_KEY, ObjectWalWorld } from './object-wal-world.ts';

/** Key of group `n` of the first epoch. */
const keyOf = (n: number): string => `wal/7/${'10'.padStart(20, '0')}/${String(n).padStart(20, '0')}`;

async function written(entries: readonly Uint8Array[]): Promise<ObjectWalWorld> {
  const world = new ObjectWalWorld();
  const { wal } = await world.open();
  for (const [offset, bytes] of entries.entries()) {
    await world.run((await appendOne(wal, offset, bytes)).durable);
  }
  return world;
}

const neighbour = { epoch: 10, recoverer: 8, attempt: 1 };

/** The table above `encodeHead`, once more, by hand. */
describe('The layout of the object WAL', () => {
  test('an object is what its table says', async () => {
    const world = await written([payload(0, 10)]);
    await world.run(world.takeOver(neighbour));
    const { wal } = await world.run(world.start());
    await world.run((await appendOne(wal, 1, payload(1, 10))).durable);
    const one = payload(1, 5000);
    const two = payload(2, 3);
    const streamId = 2 ** 40 + 5;
    const baseOffset = 2 ** 52 + 1;
    wal.append(streamId, baseOffset, 17, 1_767_225_600_123, one, crc32c(one));
    const group = wal.append(3, 4, 1, -1, two);
    await world.run(group.durable);

    const key = `wal/7/${'20'.padStart(20, '0')}/${'3'.padStart(20, '0')}`;
    const bytes = Buffer.from(world.bucket.objects.get(key)?.body ?? []);
    expect(bytes.toString('latin1', 0, 4)).toBe('MRWO');
    expect(bytes.readUInt16BE(4)).toBe(1);
    expect(bytes.readUInt16BE(6)).toBe(OWNER.clusterId.length);
    expect(bytes.toString('hex', 8, 16)).toBe(world.fence()['logId']);
    expect(bytes.readInt32BE(16)).toBe(7); // node id
    expect(bytes.readUInt32BE(20)).toBe(2); // entries
    expect(bytes.readBigInt64BE(24)).toBe(20n); // node epoch
    expect(bytes.readBigInt64BE(32)).toBe(3n); // n goes on across epochs
    expect(bytes.readBigInt64BE(40)).toBe(2n); // acked up to
    const payloadBytes = 32 + 5000 + 32 + 3;
    const headBytes = 60 + OWNER.clusterId.length;
    expect(bytes.readUInt32BE(48)).toBe(payloadBytes);
    expect(bytes.readUInt32BE(52)).toBe(crc32c(bytes.subarray(headBytes)));
    expect(bytes.toString('utf8', 56, headBytes - 4)).toBe(OWNER.clusterId);
    expect(bytes.readUInt32BE(headBytes - 4)).toBe(crc32c(bytes.subarray(0, headBytes - 4)));
    expect(bytes.length).toBe(headBytes + payloadBytes);

    expect(bytes.readBigInt64BE(headBytes)).toBe(BigInt(streamId));
    expect(bytes.readBigInt64BE(headBytes + 8)).toBe(BigInt(baseOffset));
    expect(bytes.readBigInt64BE(headBytes + 16)).toBe(1_767_225_600_123n);
    expect(bytes.readUInt32BE(headBytes + 24)).toBe(17);
    expect(bytes.readUInt32BE(headBytes + 28)).toBe(5000);
    expect(bytes.subarray(headBytes + 32, headBytes + 5032).equals(one)).toBe(true);
    await world.run(wal.close());
  });

  test('the fence can be read by a person', async () => {
    const world = await written([payload(0, 10)]);
    expect(world.fence()).toMatchObject({
      format: 1,
      clusterId: 'wal-test-cluster',
      nodeId: 7,
      epoch: 10,
      state: 'SELF',
      recoverer: null,
      attempt: 0,
      logEpoch: 10,
      trimmedUpTo: 0,
    });
    await world.run(world.takeOver(neighbour));
    expect(world.fence()).toMatchObject({
      epoch: 10,
      state: 'FENCED',
      recoverer: 8,
      attempt: 1,
      logEpoch: 10,
    });
  });

  test('a flipped bit anywhere in an object is found and never handed out', async () => {
    const world = await written([payload(0, 40)]);
    const stored = world.bucket.objects.get(keyOf(1));
    if (stored === undefined) throw new Error('the group is there');
    for (let at = 0; at < stored.body.length; at++) {
      const body = stored.body.slice();
      body[at] = (body[at] ?? 0) ^ (1 << (at % 8));
      world.bucket.objects.set(keyOf(1), { body, etag: stored.etag });
      await expect(world.run(world.takeOver(neighbour))).rejects.toThrow(CorruptionError);
    }
  });

  test('a read that is damaged on its way is read again', async () => {
    const world = await written([payload(0, 40)]);
    const store = world.process();
    const damaged = { left: 0 };
    store.inner.faults = (operation, key) =>
      operation === 'get' && key.startsWith('wal/') && damaged.left-- > 0 ? { kind: 'corrupt' } : undefined;
    damaged.left = 2;
    expect((await world.run(world.takeOver(neighbour, store))).recovered).toHaveLength(1);
    damaged.left = 3;
    await expect(world.run(world.takeOver(neighbour, store))).rejects.toThrow(keyOf(1));
  });

  test('an object at the key of another, and one of another process, never pass', async () => {
    const world = await written([payload(0, 40), payload(1, 40)]);
    const [first, second] = [keyOf(1), keyOf(2)].map((key) => world.bucket.objects.get(key));
    if (first === undefined || second === undefined) throw new Error('both are there');
    world.bucket.objects.set(keyOf(2), first);
    await expect(world.run(world.takeOver(neighbour))).rejects.toThrow('it holds group 1 of epoch 10');

    const other = await written([payload(0, 40)]);
    const foreign = other.bucket.objects.get(keyOf(1));
    if (foreign === undefined) throw new Error('it is there');
    const forged = Buffer.from(foreign.body);
    forged.fill(0xee, 8, 16);
    forged.writeUInt32BE(crc32c(forged.subarray(0, 72)), 72);
    world.bucket.objects.set(keyOf(1), { body: forged, etag: first.etag });
    world.bucket.objects.set(keyOf(2), second);
    await expect(world.run(world.takeOver(neighbour))).rejects.toThrow('(log eeeeeeeeeeeeeeee)');
  });

  test('a flipped bit anywhere in the fence is found', async () => {
    const world = await written([]);
    const stored = world.bucket.objects.get(FENCE_KEY);
    if (stored === undefined) throw new Error('the fence is there');
    for (let at = 0; at < stored.body.length; at += 7) {
      const body = stored.body.slice();
      body[at] = (body[at] ?? 0) ^ 1;
      world.bucket.objects.set(FENCE_KEY, { body, etag: stored.etag });
      await expect(world.run(world.takeOver(neighbour))).rejects.toThrow(CorruptionError);
    }
  });
});
