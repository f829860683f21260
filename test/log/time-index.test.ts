import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { openRig, put, type Rig } from './kit.ts';

/** Appends one batch whose records have these timestamps. */
function stamped(rig: Rig, timestamps: readonly number[], compression: 0 | 1 | 3 | 4 = 0): void {
  const records = timestamps.map((timestampMs, offset) => ({
    offset,
    timestampMs,
    key: null,
    value: Buffer.from('v'),
  }));
  const result = rig.partition.append(buildBatch({ records, compression }), { origin: 'client' });
  expect(result.error).toBe(0);
  rig.data.settle();
}

describe('the first record at or after a time', () => {
  test('is a record, not a batch, found compressed or not', async () => {
    for (const compression of [0, 1, 3, 4] as const) {
      const rig = await openRig({ leaderEpoch: 4 });
      stamped(rig, [100, 200, 300], compression);
      stamped(rig, [400, 500], compression);
      const at = (timestampMs: number) => rig.partition.offsetForTimestamp(timestampMs);
      expect(await at(0)).toEqual({ timestampMs: 100, offset: 0, leaderEpoch: 4 });
      expect(await at(101)).toEqual({ timestampMs: 200, offset: 1, leaderEpoch: 4 });
      expect(await at(500)).toEqual({ timestampMs: 500, offset: 4, leaderEpoch: 4 });
      expect(await at(501)).toBeUndefined();
    }
  });

  test('is never above the high watermark, nor below the log start', async () => {
    const rig = await openRig();
    stamped(rig, [100, 200, 300]);
    await rig.run(rig.partition.deleteRecordsBefore(1));
    rig.partition.append(buildBatch({ records: [{ offset: 0, timestampMs: 900, key: null, value: null }] }), {
      origin: 'client',
    });
    expect(await rig.partition.offsetForTimestamp(50)).toMatchObject({ offset: 1 });
    expect(await rig.partition.offsetForTimestamp(900)).toBeUndefined();
    expect(await rig.partition.maxTimestamp()).toMatchObject({ offset: 2, timestampMs: 300 });
  });

  test('in a LogAppendTime topic is the first of its batch', async () => {
    const rig = await openRig({ config: { messageTimestampType: 'LogAppendTime' } });
    const nowMs = rig.env.clock.wallMs();
    put(rig, { records: 3, timestampMs: 5 });
    expect(await rig.partition.offsetForTimestamp(nowMs)).toMatchObject({ offset: 0, timestampMs: nowMs });
  });

  test('poison-batch: one whose records cannot be read is passed over, not an error for ever', async () => {
    const rig = await openRig();
    const bad = buildBatch({ records: [{ offset: 0, timestampMs: 100, key: null, value: null }] });
    const lying = bad.slice();
    new DataView(lying.buffer).setInt16(21, 1);
    const { BatchHeader } = await import('../../broker-runtime/src/wire/records/batch-header.ts');
    new DataView(lying.buffer).setUint32(17, new BatchHeader(lying).computeCrc());
    expect(rig.partition.append(lying, { origin: 'client' }).error).toBe(0);
    rig.data.settle();
    stamped(rig, [200]);
    expect(await rig.partition.offsetForTimestamp(50)).toMatchObject({ offset: 1 });
    expect(await rig.partition.maxTimestamp()).toMatchObject({ offset: 1 });
  });

  test('reads only ranges whose newest timestamp reaches the target', async () => {
    const rig = await openRig();
    for (const base of [100, 200, 300]) {
      stamped(rig, [base]);
      rig.data.upload();
    }
    rig.data.damage(0, 36);
    expect(await rig.partition.offsetForTimestamp(250)).toMatchObject({ offset: 2 });
  });
});

test('time lookups agree with a scan of all records, wherever the records are', async () => {
  const batch = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(batch, fc.boolean()), { maxLength: 8 }), async (batches) => {
      const rig = await openRig();
      const all: number[] = [];
      for (const [timestamps, upload] of batches) {
        stamped(rig, timestamps);
        all.push(...timestamps);
        if (upload) rig.data.upload();
      }
      for (let target = 0; target <= 51; target++) {
        const offset = all.findIndex((timestampMs) => timestampMs >= target);
        expect((await rig.partition.offsetForTimestamp(target))?.offset ?? -1).toBe(offset);
      }
      const newest = await rig.partition.maxTimestamp();
      expect(newest?.offset ?? -1).toBe(all.indexOf(Math.max(...all)));
      expect(rig.data.slicesHeld).toBe(0);
    }),
    { numRuns: 40 },
  );
});
