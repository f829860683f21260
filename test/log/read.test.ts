import { describe, expect, test } from '@jest/globals';
import { CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import type { LogRead } from '../../broker-runtime/src/log/partition-log.ts';
import { StreamReadError } from '../../broker-runtime/src/store/stream.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { clientBatch, openRig, put, recordsIn, type Rig } from './kit.ts';

const ONE = { isolation: 'read_uncommitted', minOneBatch: true } as const;
const FITTING = { isolation: 'read_uncommitted', minOneBatch: false } as const;

async function offsets(read: LogRead | Promise<LogRead>): Promise<number[]> {
  const answer = await read;
  expect(answer.error).toBe(Errors.NONE);
  const seen = recordsIn(answer.pieces).map((record) => record.offset);
  answer.release();
  return seen;
}

async function logOf(...batchSizes: number[]): Promise<Rig> {
  const rig = await openRig();
  for (const records of batchSizes) put(rig, { records });
  return rig;
}

describe('what a read returns', () => {
  test('the whole batch that contains the offset, even though it begins earlier', async () => {
    const rig = await logOf(5, 5);
    expect(await offsets(rig.partition.read(3, 1, ONE))).toEqual([0, 1, 2, 3, 4]);
    expect(await offsets(rig.partition.read(5, 1, ONE))).toEqual([5, 6, 7, 8, 9]);
  });

  test('KIP-74: at least one batch when asked to, none larger than the limit otherwise', async () => {
    const rig = await logOf(1, 1, 1);
    const size = clientBatch().length;
    expect(await offsets(rig.partition.read(0, 1, ONE))).toEqual([0]);
    expect(await offsets(rig.partition.read(0, 0, ONE))).toEqual([0]);
    expect(await offsets(rig.partition.read(0, size - 1, FITTING))).toEqual([]);
    expect(await offsets(rig.partition.read(0, 0, FITTING))).toEqual([]);
    expect(await offsets(rig.partition.read(0, 2 * size, FITTING))).toEqual([0, 1]);
    expect(rig.data.slicesHeld).toBe(0);
  });

  test('at the end nothing; beyond it, or below the start, OFFSET_OUT_OF_RANGE with the bounds', async () => {
    const rig = await logOf(1, 1, 1);
    await rig.run(rig.partition.deleteRecordsBefore(1));
    expect(await offsets(rig.partition.read(3, 1000, ONE))).toEqual([]);
    for (const offset of [0, 4, -1]) {
      expect(await rig.partition.read(offset, 1000, ONE)).toMatchObject({
        error: Errors.OFFSET_OUT_OF_RANGE,
        highWatermark: 3,
        lastStableOffset: 3,
        logStartOffset: 1,
        sizeBytes: 0,
      });
    }
  });

  test('between high watermark and log end nothing, and no error (I9)', async () => {
    const rig = await logOf(1);
    rig.partition.append(clientBatch({ records: 3 }), { origin: 'client' });
    for (const offset of [1, 2, 4]) expect(await offsets(rig.partition.read(offset, 1000, ONE))).toEqual([]);
    expect(await offsets(rig.partition.read(0, 1_000_000, ONE))).toEqual([0]);
  });

  test('a synchronous answer while the bytes are at hand, a promise when they are not', async () => {
    const rig = await logOf(1);
    expect(rig.partition.read(0, 1000, ONE)).not.toBeInstanceOf(Promise);
    rig.data.asynchronous = true;
    expect(await offsets(rig.partition.read(0, 1000, ONE))).toEqual([0]);
  });
});

describe('when the store cannot answer', () => {
  test.each([new StreamReadError('no answer from the object store'), new CorruptionError('bad block')])(
    'KAFKA_STORAGE_ERROR and an event: %s',
    async (failure) => {
      const rig = await logOf(1);
      rig.data.readError = failure;
      expect((await rig.partition.read(0, 1000, ONE)).error).toBe(Errors.KAFKA_STORAGE_ERROR);
      expect(rig.env.events.named('log.read-failed')[0]?.fields).toMatchObject({
        fromOffset: 0,
        code: failure.code,
      });
    },
  );

  test('damaged memory is not served: the checksum of the first batch of a sampled read (I33)', async () => {
    const rig = await logOf(1);
    rig.data.damage(0, 65);
    expect((await rig.partition.read(0, 1000, ONE)).error).toBe(Errors.KAFKA_STORAGE_ERROR);
    expect(rig.data.slicesHeld).toBe(0);
  });

  test('a batch that says another offset than where it is stored is not served, at any read (I32)', async () => {
    const rig = await logOf(1, 1);
    await offsets(rig.partition.read(0, 1000, ONE));
    rig.data.damage(1, 6);
    expect((await rig.partition.read(1, 1000, ONE)).error).toBe(Errors.KAFKA_STORAGE_ERROR);
  });

  test('an error nobody foresaw is not turned into an answer', async () => {
    const rig = await logOf(1);
    rig.data.readError = new TypeError('a bug');
    await expect(rig.partition.read(0, 1000, ONE)).rejects.toThrow('a bug');
  });
});

describe('available bytes', () => {
  const size = clientBatch().length;

  test('counts whole durable batches from the one containing the offset on, up to the limit', async () => {
    const rig = await logOf(1, 1, 1);
    rig.partition.append(clientBatch(), { origin: 'client' });
    const available = (from: number, limit = 1e9): number =>
      rig.partition.availableBytes(from, limit, 'read_uncommitted');
    expect([0, 1, 2, 3, 4].map((from) => available(from))).toEqual([3 * size, 2 * size, size, 0, 0]);
    expect(available(0, 10)).toBe(10);
    rig.data.settle();
    expect(available(0)).toBe(4 * size);
  });

  test('an offset older than the batches remembered counts as plenty, with no read', async () => {
    const rig = await logOf(...Array.from({ length: 200 }, () => 1));
    rig.data.readError = new Error('no read was expected');
    expect(rig.partition.availableBytes(10, 5000, 'read_uncommitted')).toBe(5000);
    expect(rig.partition.availableBytes(72, 1e9, 'read_uncommitted')).toBe(128 * size);
    expect(rig.partition.availableBytes(199, 1e9, 'read_uncommitted')).toBe(size);
  });

  test('after opening with everything in a snapshot an earlier offset counts as plenty, the end as nothing', async () => {
    const first = await logOf(1, 1);
    await first.run(first.partition.close());
    const second = await openRig({ env: first.env, data: first.data.crash(), states: first.states.crash() });
    expect(second.partition.availableBytes(0, 77, 'read_committed')).toBe(77);
    expect(second.partition.availableBytes(2, 77, 'read_committed')).toBe(0);
    put(second);
    expect(second.partition.availableBytes(2, 1e9, 'read_committed')).toBe(size);
  });
});

describe('who waits', () => {
  test('hears of every move of the high watermark and of the log start, until it stops listening', async () => {
    const rig = await openRig();
    const heard: string[] = [];
    const stop = rig.partition.onAdvance(() =>
      heard.push(`${rig.partition.logStartOffset}..${rig.partition.highWatermark}`),
    );
    put(rig, { records: 2 });
    await rig.run(rig.partition.deleteRecordsBefore(1));
    stop();
    put(rig);
    expect(heard).toEqual(['0..2', '1..2']);
  });

  test('hears of the close, and is then sent to look for the leader', async () => {
    const rig = await openRig();
    let heard = 0;
    rig.partition.onAdvance(() => heard++);
    await rig.run(rig.partition.close());
    expect(heard).toBe(1);
    expect((await rig.partition.read(0, 1000, ONE)).error).toBe(Errors.NOT_LEADER_OR_FOLLOWER);
  });
});
