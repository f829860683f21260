import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { Errors, isRetriable } from '../../broker-runtime/src/wire/errors.ts';
import { BatchHeader } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { COMPACTED, HOUR_MS, clientBatch, openRig, put, readAll, type Rig } from './kit.ts';

const CLIENT = { origin: 'client' } as const;

function resign(batch: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  change(view);
  view.setUint32(17, new BatchHeader(batch).computeCrc());
  return batch;
}

async function refusal(
  batch: Uint8Array,
  config = {},
): Promise<{ error: number; rig: Rig; records?: readonly number[] }> {
  const rig = await openRig({ config });
  const result = rig.partition.append(batch, CLIENT);
  expect(result.baseOffset).toBe(-1);
  expect(result.durable).toBeUndefined();
  expect(rig.data.endOffset).toBe(0);
  const indices = result.recordErrors?.map(({ index }) => index);
  return { error: result.error, rig, ...(indices === undefined ? {} : { records: indices }) };
}

describe('what an append gives', () => {
  test('offsets follow one another, the batch keeps its CRC, and the epoch is the leader’s', async () => {
    const rig = await openRig({ leaderEpoch: 7 });
    const first = clientBatch({ records: 3 });
    const crc = new BatchHeader(first).crc;
    expect(rig.partition.append(first, CLIENT)).toMatchObject({
      error: 0,
      baseOffset: 0,
      logAppendTimeMs: -1,
    });
    expect(put(rig)).toMatchObject({ error: 0, baseOffset: 3 });
    const stored = new BatchHeader(rig.data.entries[0]?.bytes ?? new Uint8Array());
    expect(stored.partitionLeaderEpoch).toBe(7);
    expect(stored.crc).toBe(crc);
    expect(stored.computeCrc()).toBe(crc);
    expect(rig.partition.logEndOffset).toBe(4);
  });

  test.each(['CreateTime', 'LogAppendTime'] as const)(
    'large batches bring their CRC along, so that no byte is read twice; small ones are cheaper to read (%s)',
    async (messageTimestampType) => {
      const rig = await openRig({ config: { messageTimestampType } });
      const large = { key: null, value: new Uint8Array(20_000).fill(7), offset: 0, timestampMs: 1 };
      expect(rig.partition.append(buildBatch({ records: [large] }), CLIENT).error).toBe(0);
      expect(put(rig).error).toBe(0);
      const [first, second] = rig.data.entries;
      expect(first?.crc32c).toBe(crc32c(first?.bytes ?? new Uint8Array()));
      expect(second?.crc32c).toBeUndefined();
    },
  );

  test('nothing is acknowledged, nor served, before it is durable', async () => {
    const rig = await openRig();
    let acknowledged = false;
    const result = rig.partition.append(clientBatch(), CLIENT);
    void result.durable?.then(() => (acknowledged = true));
    await rig.env.clock.settle();
    expect(acknowledged).toBe(false);
    expect(rig.partition.highWatermark).toBe(0);
    expect(
      await rig.partition.read(0, 1000, { isolation: 'read_uncommitted', minOneBatch: true }),
    ).toMatchObject({
      error: Errors.NONE,
      sizeBytes: 0,
    });
    rig.data.settle();
    await rig.env.clock.settle();
    expect(acknowledged).toBe(true);
    expect(rig.partition.highWatermark).toBe(1);
  });

  test('after the WAL failed nothing is acknowledged and appends answer a storage error', async () => {
    const rig = await openRig();
    const waiting = rig.partition.append(clientBatch(), CLIENT);
    rig.data.fail(new Error('EIO'));
    await expect(waiting.durable).rejects.toThrow('EIO');
    expect(rig.partition.append(clientBatch(), CLIENT).error).toBe(Errors.KAFKA_STORAGE_ERROR);
    expect(rig.partition.highWatermark).toBe(0);
  });

  test('a closed partition sends its clients to look for the leader', async () => {
    const rig = await openRig();
    await rig.run(rig.partition.close());
    expect(rig.partition.append(clientBatch(), CLIENT).error).toBe(Errors.NOT_LEADER_OR_FOLLOWER);
  });

  test('LogAppendTime: the broker’s time in header and answer, signed anew', async () => {
    const rig = await openRig({ config: { messageTimestampType: 'LogAppendTime' } });
    const nowMs = rig.env.clock.wallMs();
    expect(put(rig, { records: 2, timestampMs: 5 })).toMatchObject({ error: 0, logAppendTimeMs: nowMs });
    const stored = new BatchHeader(rig.data.entries[0]?.bytes ?? new Uint8Array());
    expect(stored.isLogAppendTime).toBe(true);
    expect(stored.maxTimestampMs).toBe(nowMs);
    expect(stored.computeCrc()).toBe(stored.crc);
    expect((await readAll(rig.partition)).map((record) => record.timestampMs)).toEqual([nowMs, nowMs]);
  });
});

test('huge-timestamp: one beyond 2^53 is stored where the topic allows it, and stops neither snapshot nor retention', async () => {
  const rig = await openRig({ config: { messageTimestampAfterMaxMs: 2 ** 63, retentionMs: 1 } });
  const batch = resign(clientBatch({ producerId: 1, producerEpoch: 0, baseSequence: 0 }), (view) => {
    view.setBigInt64(27, 2n ** 63n - 1n);
    view.setBigInt64(35, 2n ** 63n - 1n);
  });
  expect(rig.partition.append(batch, CLIENT).error).toBe(Errors.NONE);
  expect(Number.isSafeInteger(rig.data.entries[0]?.maxTimestampMs)).toBe(true);
  await rig.run(rig.partition.maintain());
  await rig.run(rig.partition.close());
  expect(rig.states.endOffset).toBe(1);
});

describe('what an append refuses, with nothing stored', () => {
  test('retried-for-ever: no whole batch is INVALID_RECORD, which producers do not send again', async () => {
    const batch = clientBatch();
    for (const bytes of [new Uint8Array(0), batch.subarray(0, 12), batch.subarray(0, -1)]) {
      const { error } = await refusal(bytes);
      expect(error).toBe(Errors.INVALID_RECORD);
      expect(isRetriable(error)).toBe(false);
    }
  });

  test('magic 0 and 1: INVALID_RECORD', async () => {
    const batch = clientBatch();
    batch[16] = 1;
    expect((await refusal(batch)).error).toBe(Errors.INVALID_RECORD);
  });

  test('two batches in one append: INVALID_RECORD', async () => {
    expect((await refusal(Buffer.concat([clientBatch(), clientBatch()]))).error).toBe(Errors.INVALID_RECORD);
  });

  test('one flipped bit anywhere the CRC covers: CORRUPT_MESSAGE', async () => {
    for (const at of [21, 30, 60, 65]) {
      const batch = clientBatch();
      batch[at] = (batch[at] ?? 0) ^ 1;
      expect((await refusal(batch)).error).toBe(Errors.CORRUPT_MESSAGE);
    }
  });

  test('larger than max.message.bytes, measured compressed: MESSAGE_TOO_LARGE, before the CRC is looked at', async () => {
    const text = 'x'.repeat(5000);
    const config = { maxMessageBytes: 500 };
    const rig = await openRig({ config });
    expect(put(rig, { value: text, compression: 1 }).error).toBe(Errors.NONE);
    const tooLarge = clientBatch({ value: text });
    tooLarge[300] = 0;
    expect((await refusal(tooLarge, config)).error).toBe(Errors.MESSAGE_TOO_LARGE);
  });

  test('a base offset other than 0: INVALID_RECORD', async () => {
    const batch = clientBatch();
    new DataView(batch.buffer).setInt32(4, 5);
    expect((await refusal(batch)).error).toBe(Errors.INVALID_RECORD);
  });

  test('no records, or a last offset delta that is not their count - 1: INVALID_RECORD', async () => {
    const empty = buildBatch({ records: [], baseOffset: 0, lastOffset: 0 });
    expect((await refusal(empty)).error).toBe(Errors.INVALID_RECORD);
    const gap = resign(clientBatch({ records: 2 }), (view) => view.setInt32(23, 7));
    expect((await refusal(gap)).error).toBe(Errors.INVALID_RECORD);
    const negative = resign(clientBatch(), (view) => view.setInt32(57, -1));
    expect((await refusal(negative)).error).toBe(Errors.INVALID_RECORD);
  });

  test('a control batch of a client: INVALID_RECORD', async () => {
    expect((await refusal(clientBatch({ isControl: true }))).error).toBe(Errors.INVALID_RECORD);
  });

  test('a producer id without epoch or sequence: INVALID_RECORD', async () => {
    const ids = [{ producerId: 5 }, { producerId: 5, producerEpoch: 0 }, { producerId: -2 }];
    for (const id of ids) expect((await refusal(clientBatch(id))).error).toBe(Errors.INVALID_RECORD);
  });

  test('a producer id no number can hold exactly: INVALID_RECORD, never mistaken for another', async () => {
    const batch = resign(clientBatch({ producerId: 1, producerEpoch: 0, baseSequence: 0 }), (view) =>
      view.setBigInt64(43, 2n ** 60n + 1n),
    );
    expect((await refusal(batch)).error).toBe(Errors.INVALID_RECORD);
  });

  test('a transactional batch of no known transaction: INVALID_TXN_STATE', async () => {
    const batch = clientBatch({ isTransactional: true, producerId: 1, producerEpoch: 0, baseSequence: 0 });
    expect((await refusal(batch)).error).toBe(Errors.INVALID_TXN_STATE);
  });

  test('compression types 5 to 7: UNSUPPORTED_COMPRESSION_TYPE', async () => {
    const batch = resign(clientBatch(), (view) => view.setInt16(21, 6));
    expect((await refusal(batch)).error).toBe(Errors.UNSUPPORTED_COMPRESSION_TYPE);
  });

  test('a delete horizon, or the LogAppendTime bit, set by a client', async () => {
    expect((await refusal(clientBatch({ deleteHorizonMs: 1 }))).error).toBe(Errors.INVALID_RECORD);
    expect((await refusal(clientBatch({ logAppendTimeMs: 1 }))).error).toBe(Errors.INVALID_TIMESTAMP);
  });

  test('a keyless record on a compacted topic: INVALID_RECORD, and which record (KIP-467)', async () => {
    const batch = buildBatch({
      records: ['a', null, 'c', null].map((key, offset) => ({
        offset,
        timestampMs: 0,
        key: key === null ? null : Buffer.from(key),
        value: null,
      })),
      compression: 4,
    });
    const refused = await refusal(batch, COMPACTED);
    expect(refused.error).toBe(Errors.INVALID_RECORD);
    expect(refused.records).toEqual([1, 3]);
    expect((await openRig()).partition.append(batch, CLIENT).error).toBe(Errors.NONE);
  });

  test('a timestamp more than message.timestamp.after.max.ms ahead: INVALID_TIMESTAMP', async () => {
    const rig = await openRig();
    const nowMs = rig.env.clock.wallMs();
    const refused = await refusal(clientBatch({ records: 2, timestampMs: nowMs + HOUR_MS + 1 }));
    expect(refused.error).toBe(Errors.INVALID_TIMESTAMP);
    expect(refused.records).toEqual([0, 1]);
    expect(put(rig, { timestampMs: nowMs + HOUR_MS }).error).toBe(Errors.NONE);
  });

  test('a timestamp older than message.timestamp.before.max.ms: INVALID_TIMESTAMP; no timestamp passes', async () => {
    const config = { messageTimestampBeforeMaxMs: HOUR_MS };
    const rig = await openRig({ config });
    const nowMs = rig.env.clock.wallMs();
    expect((await refusal(clientBatch({ timestampMs: nowMs - HOUR_MS - 1 }), config)).records).toEqual([0]);
    expect(put(rig, { timestampMs: nowMs - HOUR_MS }).error).toBe(Errors.NONE);
    expect(put(rig, { timestampMs: -1 }).error).toBe(Errors.NONE);
  });

  test('a compression bomb is not inflated beyond the cap: MESSAGE_TOO_LARGE, which ends it', async () => {
    const bomb = buildBatch({
      records: [
        { offset: 0, timestampMs: 0, key: Buffer.from('k'), value: new Uint8Array(65 * 1024 * 1024) },
      ],
      compression: 4,
    });
    expect(bomb.length).toBeLessThan(100_000);
    expect((await refusal(bomb, COMPACTED)).error).toBe(Errors.MESSAGE_TOO_LARGE);
  });

  test('compressed bytes that are broken under a right checksum: INVALID_RECORD, which nobody sends again', async () => {
    const broken = resign(
      buildBatch({
        records: [{ offset: 0, timestampMs: 0, key: Buffer.from('k'), value: new Uint8Array(1_000) }],
        compression: 4,
      }),
      (view) => view.setUint32(61, 0xffff_ffff),
    );
    expect((await refusal(broken, COMPACTED)).error).toBe(Errors.INVALID_RECORD);
  });

  test('records that are not what the header counts, where records are looked into: INVALID_RECORD', async () => {
    const lying = resign(clientBatch({ records: 2 }), (view) => {
      view.setInt32(57, 3);
      view.setInt32(23, 2);
    });
    expect((await refusal(lying, COMPACTED)).error).toBe(Errors.INVALID_RECORD);
  });

  test('offset-burning: more records than the bytes can hold', async () => {
    const claim = (batch: Uint8Array, count: number): Uint8Array =>
      resign(batch, (view) => {
        view.setInt32(57, count);
        view.setInt32(23, count - 1);
      });
    expect((await refusal(claim(clientBatch(), 2))).error).toBe(Errors.INVALID_RECORD);
    expect((await refusal(claim(clientBatch({ compression: 4 }), 2 ** 31 - 1))).error).toBe(
      Errors.INVALID_RECORD,
    );
    const smallest = clientBatch({ records: 9, key: null, value: null });
    expect((await openRig()).partition.append(smallest, CLIENT).error).toBe(Errors.NONE);
  });

  test('hundreds of bad records are refused with a short list', async () => {
    const refused = await refusal(clientBatch({ records: 500, key: null }), COMPACTED);
    expect(refused.records).toHaveLength(100);
  });
});

test('the coordinator may write control batches and is held to the same frame', async () => {
  const rig = await openRig();
  const control = buildBatch({
    records: [{ offset: 0, timestampMs: 0, key: new Uint8Array(4), value: new Uint8Array(6) }],
    isControl: true,
    isTransactional: true,
    producerId: 4,
    producerEpoch: 0,
  });
  expect(rig.partition.append(control, { origin: 'coordinator' }).error).toBe(Errors.NONE);
  const broken = clientBatch();
  broken[62] = (broken[62] ?? 0) ^ 1;
  expect(rig.partition.append(broken, { origin: 'coordinator' }).error).toBe(Errors.CORRUPT_MESSAGE);
});
