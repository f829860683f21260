import { describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { clientBatch, COMPACTED, DEFAULT_CONFIG, HOUR_MS, openRig, put, readAll, type Rig } from './kit.ts';

const SIZE = clientBatch().length;

/** One range in an object for each batch, written an hour apart. */
async function hourly(rig: Rig, batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    put(rig, { timestampMs: rig.env.clock.wallMs() });
    rig.data.upload();
    await rig.env.clock.advance(HOUR_MS);
  }
}

describe('retention', () => {
  test('by time: leading ranges whose newest record is too old go', async () => {
    const rig = await openRig({ config: { retentionMs: 2 * HOUR_MS } });
    await hourly(rig, 4);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(2);
    expect((await readAll(rig.partition)).map(({ offset }) => offset)).toEqual([2, 3]);
  });

  test('by time: everything in objects may go, the end of the log stays', async () => {
    const rig = await openRig({ config: { retentionMs: 1000 } });
    await hourly(rig, 3);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(3);
    expect(rig.partition.logEndOffset).toBe(3);
    expect(put(rig).baseOffset).toBe(3);
  });

  test('by time: what is only in the WAL stays', async () => {
    const rig = await openRig({ config: { retentionMs: 1000 } });
    put(rig);
    await rig.env.clock.advance(HOUR_MS);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(0);
  });

  test('by time: a young range keeps older ones behind it', async () => {
    const rig = await openRig({ config: { retentionMs: HOUR_MS } });
    put(rig, { timestampMs: rig.env.clock.wallMs() + HOUR_MS });
    rig.data.upload();
    put(rig, { timestampMs: 0 });
    rig.data.upload();
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(0);
  });

  test('by time: records without a timestamp age from when they were written', async () => {
    const rig = await openRig({ config: { retentionMs: HOUR_MS } });
    put(rig, { timestampMs: -1 });
    rig.data.upload();
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(0);
    await rig.env.clock.advance(HOUR_MS + 1);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(1);
  });

  test.each([
    [SIZE * 4, 0],
    [SIZE * 4 - 1, 0],
    [SIZE * 3, 1],
    [SIZE * 2 + 1, 1],
    [0, 4],
  ])('by size: %i bytes of four batches are kept from offset %i on', async (retentionBytes, startOffset) => {
    const rig = await openRig({ config: { retentionBytes } });
    await hourly(rig, 4);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(startOffset);
  });

  test('failure class: bytes that were only in the WAL counted as kept, and too much went', async () => {
    const rig = await openRig({ config: { retentionBytes: SIZE * 2 } });
    await hourly(rig, 2);
    for (let batch = 0; batch < 4; batch++) put(rig);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(0);
    rig.data.upload();
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(2);
  });

  test('without limits, and on topics that are only compacted, nothing goes', async () => {
    for (const config of [{}, { ...COMPACTED, retentionMs: 1, retentionBytes: 0 }]) {
      const rig = await openRig({ config });
      await hourly(rig, 3);
      await rig.run(rig.partition.maintain());
      expect(rig.partition.logStartOffset).toBe(0);
    }
  });

  test('compact,delete: what is compacted is deleted too', async () => {
    const cleanupPolicy = { compact: true, delete: true };
    const rig = await openRig({ config: { ...COMPACTED, cleanupPolicy, retentionMs: 2 * HOUR_MS } });
    await hourly(rig, 4);
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(2);
    expect((await readAll(rig.partition)).map(({ offset }) => offset)).toEqual([3]);
  });

  test('follows a change of settings', async () => {
    const rig = await openRig();
    await hourly(rig, 3);
    rig.partition.reconfigure({ ...DEFAULT_CONFIG, retentionMs: 2 * HOUR_MS });
    await rig.run(rig.partition.maintain());
    expect(rig.partition.logStartOffset).toBe(1);
  });
});

describe('DeleteRecords', () => {
  test('moves the log start, also into a batch, and answers it', async () => {
    const rig = await openRig();
    put(rig, { records: 5 });
    expect(await rig.run(rig.partition.deleteRecordsBefore(3))).toEqual({
      error: Errors.NONE,
      logStartOffset: 3,
    });
    expect((await readAll(rig.partition)).map(({ offset }) => offset)).toEqual([3, 4]);
    expect(await rig.run(rig.partition.deleteRecordsBefore(1))).toEqual({
      error: Errors.NONE,
      logStartOffset: 3,
    });
  });

  test('-1 means the high watermark, not the log end', async () => {
    const rig = await openRig();
    put(rig, { records: 5 });
    rig.partition.append(clientBatch(), { origin: 'client' });
    expect(await rig.run(rig.partition.deleteRecordsBefore(-1))).toEqual({
      error: Errors.NONE,
      logStartOffset: 5,
    });
  });

  test('above the high watermark: OFFSET_OUT_OF_RANGE', async () => {
    const rig = await openRig();
    put(rig, { records: 5 });
    rig.partition.append(clientBatch(), { origin: 'client' });
    for (const offset of [6, 100, -2]) {
      expect(await rig.partition.deleteRecordsBefore(offset)).toEqual({
        error: Errors.OFFSET_OUT_OF_RANGE,
        logStartOffset: -1,
      });
    }
    expect(rig.partition.logStartOffset).toBe(0);
  });

  test('on a compacted topic: POLICY_VIOLATION', async () => {
    const rig = await openRig({ config: COMPACTED });
    put(rig);
    expect((await rig.partition.deleteRecordsBefore(1)).error).toBe(Errors.POLICY_VIOLATION);
  });
});

test('the size of the log counts what is in objects and what is not yet, also after a replay of both', async () => {
  const rig = await openRig();
  put(rig);
  put(rig);
  expect(rig.partition.sizeBytes).toBe(2 * SIZE);
  rig.data.upload();
  expect(rig.partition.sizeBytes).toBe(2 * SIZE);
  put(rig);
  expect(rig.partition.sizeBytes).toBe(3 * SIZE);
  const again = await rig.crash();
  expect(again.partition.sizeBytes).toBe(3 * SIZE);
  await again.run(again.partition.deleteRecordsBefore(2));
  expect(again.partition.sizeBytes).toBe(SIZE);
});
