import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LogConfig } from '../../broker-runtime/src/log/partition-log.ts';
import { compactLog } from '../../broker-runtime/src/log/compaction.ts';
import { OffsetMap } from '../../broker-runtime/src/log/offset-map.ts';
import { emptyState } from '../../broker-runtime/src/log/partition-state.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { BatchHeader, type CompressionType } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { COMPACTED, DEFAULT_CONFIG, HOUR_MS, openRig, put, readAll, type Rig } from './kit.ts';

type Pair = readonly [key: string, value: string | null];

/** Appends one batch of these pairs. */
function write(
  rig: Rig,
  pairs: readonly Pair[],
  header: object = {},
  compression: CompressionType = 0,
): number {
  const records = pairs.map(([key, value], offset) => ({
    offset,
    timestampMs: rig.env.clock.wallMs() + offset,
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: [{ key: 'h', value: Buffer.from(key) }],
  }));
  const result = rig.partition.append(buildBatch({ records, compression, ...header }), { origin: 'client' });
  expect(result.error).toBe(Errors.NONE);
  rig.data.settle();
  return result.baseOffset;
}

/** Moves everything into one object and lets the cleaner run. */
async function clean(rig: Rig): Promise<void> {
  rig.data.upload();
  await rig.run(rig.partition.maintain());
  expect(rig.data.slicesHeld).toBe(0);
}

async function contents(rig: Rig): Promise<string[]> {
  return (await readAll(rig.partition)).map(
    ({ offset, key, value }) => `${offset}:${key ?? ''}=${value ?? 'null'}`,
  );
}

function compacted(config: Partial<LogConfig> = {}): Promise<Rig> {
  return openRig({ config: { ...COMPACTED, ...config } });
}

describe('what stays', () => {
  test('the newest record of each key, at its offset and with its time and headers (I39)', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
    ]);
    write(rig, [
      ['b', '2'],
      ['c', '1'],
    ]);
    const before = await readAll(rig.partition);
    await clean(rig);
    expect(await contents(rig)).toEqual(['2:a=2', '3:b=2', '4:c=1']);
    expect(await readAll(rig.partition)).toEqual(before.filter(({ offset }) => offset >= 2));
  });

  test('offsets of batches, though records of them go: nothing moves, nothing is used again', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
    ]);
    await clean(rig);
    const kept = new BatchHeader(rig.data.entries[0]?.bytes ?? new Uint8Array());
    expect([kept.baseOffset, kept.lastOffset, kept.recordCount]).toEqual([0, 2, 2]);
    expect(kept.computeCrc()).toBe(kept.crc);
    expect(write(rig, [['z', '1']])).toBe(3);
  });

  test.each([0, 1, 2, 3, 4] as const)('the codec: compression type %i', async (compression) => {
    const rig = await compacted();
    write(
      rig,
      [
        ['a', '1'],
        ['b', 'x'.repeat(500)],
      ],
      {},
      compression,
    );
    write(rig, [['a', '2']], {}, compression);
    await clean(rig);
    expect(new BatchHeader(rig.data.entries[0]?.bytes ?? new Uint8Array()).compression).toBe(compression);
    expect((await contents(rig)).map((line) => line.slice(0, 3))).toEqual(['1:b', '2:a']);
  });

  test('a batch none of whose records goes: byte for byte, with its producer’s checksum', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', '1'],
      ['b', '1'],
    ]);
    write(rig, [
      ['c', '1'],
      ['c', '2'],
    ]);
    const untouched = rig.data.entries[0]?.bytes;
    await clean(rig);
    expect(Buffer.compare(rig.data.entries[0]?.bytes ?? Buffer.alloc(0), untouched ?? Buffer.alloc(0))).toBe(
      0,
    );
  });

  test('each producer’s last batch, even empty, so that its sequence survives a rebuild from the log alone', async () => {
    const rig = await compacted();
    write(rig, [['a', '1']], { producerId: 5, producerEpoch: 2, baseSequence: 0 });
    write(rig, [['a', '2']], { producerId: 5, producerEpoch: 2, baseSequence: 1 });
    write(rig, [['a', '3']]);
    await clean(rig);
    expect(await contents(rig)).toEqual(['2:a=3']);
    expect(rig.data.entries.map(({ baseOffset }) => baseOffset)).toEqual([1, 2]);
    rig.states.damage(0, 10);
    const again = await rig.crash();
    const retry = { key: 'a', value: '2', producerId: 5, producerEpoch: 2 };
    expect(put(again, { ...retry, baseSequence: 1 })).toMatchObject({ error: Errors.NONE, baseOffset: 1 });
    expect(put(again, { ...retry, baseSequence: 3 }).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(put(again, { ...retry, baseSequence: 2 }).baseOffset).toBe(3);
    // Once the producer has a newer batch, the empty one goes.
    await clean(again);
    expect(again.data.entries.map(({ baseOffset }) => baseOffset)).not.toContain(1);
  });

  test('the active part: what is only in the WAL', async () => {
    const rig = await compacted();
    write(rig, [['a', '1']]);
    rig.data.upload();
    write(rig, [['a', '2']]);
    await rig.run(rig.partition.maintain());
    expect(await contents(rig)).toEqual(['0:a=1', '1:a=2']);
  });

  test('the active part: what is younger than min.compaction.lag.ms, and all after it', async () => {
    const rig = await compacted({ minCompactionLagMs: HOUR_MS });
    write(rig, [
      ['a', '1'],
      ['a', '2'],
    ]);
    rig.data.upload();
    await rig.env.clock.advance(HOUR_MS / 2);
    write(rig, [
      ['a', '3'],
      ['a', '4'],
    ]);
    await clean(rig);
    expect(await contents(rig)).toHaveLength(4);
    await rig.env.clock.advance(HOUR_MS / 2 + 10);
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:a=2', '2:a=3', '3:a=4']);
  });

  test('keyless records of the time before the topic was compacted do not', async () => {
    const rig = await openRig();
    put(rig, { key: null });
    write(rig, [['a', '1']]);
    rig.partition.reconfigure(COMPACTED);
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:a=1']);
  });

  test('poison-batch: one whose records cannot be read stays as it is, and the rest is cleaned', async () => {
    const rig = await openRig();
    const lying = buildBatch({
      records: [{ offset: 0, timestampMs: 0, key: Buffer.from('a'), value: null }],
    });
    const view = new DataView(lying.buffer);
    view.setInt16(21, 4);
    view.setUint32(17, new BatchHeader(lying).computeCrc());
    expect(rig.partition.append(lying, { origin: 'client' }).error).toBe(Errors.NONE);
    write(rig, [
      ['a', '1'],
      ['a', '2'],
    ]);
    rig.partition.reconfigure(COMPACTED);
    await clean(rig);
    expect(rig.data.entries.map(({ baseOffset }) => baseOffset)).toEqual([0, 1]);
    expect(new BatchHeader(rig.data.entries[1]?.bytes ?? lying).recordCount).toBe(1);
  });

  test('stuck-at-compacted-end: the last batch of what was cleaned, if only empty, until another follows', async () => {
    const rig = await compacted({ deleteRetentionMs: 0 });
    write(rig, [['a', '1']]);
    write(rig, [['b', null]]);
    await clean(rig);
    await rig.env.clock.advance(1);
    await clean(rig);
    const batches = (): string[] =>
      rig.data.entries.map(({ bytes }) => {
        const { baseOffset, recordCount } = new BatchHeader(bytes);
        return `${baseOffset}: ${recordCount} records`;
      });
    expect(batches()).toEqual(['0: 1 records', '1: 0 records']);
    expect(await contents(rig)).toEqual(['0:a=1']);
    write(rig, [['c', '1']]);
    await clean(rig);
    expect(batches()).toEqual(['0: 1 records', '2: 1 records']);
    // Whoever stands in the hole is given what comes behind it, and does not wait for more.
    expect(rig.partition.availableBytes(1, 1, 'read_uncommitted')).toBeGreaterThan(0);
    const read = await rig.partition.read(1, 1000, { isolation: 'read_uncommitted', minOneBatch: true });
    expect(new BatchHeader(read.pieces[0] ?? new Uint8Array()).baseOffset).toBe(2);
  });

  test('an empty batch where a whole stretch is gone', async () => {
    const rig = await compacted();
    write(rig, [['a', '1']]);
    rig.data.upload();
    write(rig, [['a', '2']]);
    await rig.run(rig.partition.maintain());
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:a=2']);
    expect(rig.partition.logStartOffset).toBe(0);
  });
});

describe('tombstones', () => {
  test('live delete.retention.ms after the clean that saw them first, then go, with no new traffic', async () => {
    const rig = await compacted({ deleteRetentionMs: HOUR_MS });
    write(rig, [
      ['a', '1'],
      ['b', '1'],
    ]);
    write(rig, [['a', null]]);
    await rig.env.clock.advance(10 * HOUR_MS);
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:b=1', '2:a=null']);
    const cleanedAtMs = rig.env.clock.wallMs();
    const tombstone = new BatchHeader(rig.data.entries.at(-1)?.bytes ?? new Uint8Array());
    expect(tombstone.deleteHorizonMs).toBe(cleanedAtMs + HOUR_MS);

    await rig.env.clock.advance(HOUR_MS - 1);
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:b=1', '2:a=null']);
    await rig.env.clock.advance(1);
    await clean(rig);
    expect(await contents(rig)).toEqual(['1:b=1']);
  });

  test('the delete horizon leaves timestamps of records as they were', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', null],
      ['b', '1'],
    ]);
    const before = await readAll(rig.partition);
    await clean(rig);
    expect(new BatchHeader(rig.data.entries[0]?.bytes ?? new Uint8Array()).deleteHorizonMs).toBeDefined();
    expect(await readAll(rig.partition)).toEqual(before);
  });

  test('a later value replaces the tombstone', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', '1'],
      ['a', null],
    ]);
    await clean(rig);
    write(rig, [['a', '2']]);
    await clean(rig);
    expect(await contents(rig)).toEqual(['2:a=2']);
  });

  test('the wait survives a crash: it stands in the batch and in the checkpoint', async () => {
    const rig = await compacted({ deleteRetentionMs: HOUR_MS });
    write(rig, [['a', null]]);
    await clean(rig);
    const again = await rig.crash();
    await again.env.clock.advance(HOUR_MS);
    await clean(again);
    expect(await contents(again)).toEqual([]);
  });
});

describe('when', () => {
  test('only when min.cleanable.dirty.ratio is reached', async () => {
    const rig = await compacted({ minCleanableDirtyRatio: 0.5 });
    write(rig, [['a', 'x'.repeat(300)]]);
    write(rig, [['b', 'x'.repeat(300)]]);
    await clean(rig);
    write(rig, [['a', 'y']]);
    await clean(rig);
    expect((await contents(rig)).map((line) => line.slice(0, 3))).toEqual(['0:a', '1:b', '2:a']);
    write(rig, [['c', 'x'.repeat(800)]]);
    await clean(rig);
    expect((await contents(rig)).map((line) => line.slice(0, 3))).toEqual(['1:b', '2:a', '3:c']);
  });

  test('or when something has been dirty for max.compaction.lag.ms', async () => {
    const rig = await compacted({ minCleanableDirtyRatio: 0.9, maxCompactionLagMs: HOUR_MS });
    write(rig, [
      ['a', '1'],
      ['b', 'x'.repeat(500)],
    ]);
    await clean(rig);
    write(rig, [['a', '2']]);
    await clean(rig);
    expect(await contents(rig)).toHaveLength(3);
    await rig.env.clock.advance(HOUR_MS + 1);
    await clean(rig);
    expect(await contents(rig)).toHaveLength(2);
  });

  test('not at all on a topic that only deletes', async () => {
    const rig = await openRig({ config: DEFAULT_CONFIG });
    write(rig, [
      ['a', '1'],
      ['a', '2'],
    ]);
    await clean(rig);
    expect(await contents(rig)).toHaveLength(2);
  });

  test('a round that changes nothing rewrites nothing', async () => {
    const rig = await compacted();
    write(rig, [
      ['a', '1'],
      ['b', '1'],
    ]);
    await clean(rig);
    const { objectId } = rig.data.ranges()[0] ?? {};
    write(rig, [['c', '1']]);
    await clean(rig);
    expect(rig.data.ranges().map((range) => range.objectId)).toContain(objectId);
  });

  test('closing stops it between two batches, with the log as good as before', async () => {
    const rig = await compacted();
    for (let batch = 0; batch < 20; batch++) write(rig, [['a', 'x'.repeat(100_000)]]);
    rig.data.upload();
    const cleaning = rig.partition.maintain();
    cleaning.catch(() => undefined);
    await rig.run(rig.partition.close());
    await expect(cleaning).rejects.toMatchObject({ code: 'CLOSED' });
    const again = await openRig({
      env: rig.env,
      data: rig.data.crash(),
      states: rig.states.crash(),
      config: COMPACTED,
    });
    await clean(again);
    expect((await readAll(again.partition)).map(({ offset }) => offset)).toEqual([19]);
  });
});

describe('with little memory for keys', () => {
  const FOUR_KEYS = 6 * 24;

  test('several passes give what one would', async () => {
    const rig = await compacted();
    for (let round = 0; round < 5; round++) {
      write(rig, [
        ['a', `${round}`],
        [`k${round}`, '1'],
      ]);
      write(rig, [['b', `${round}`]]);
    }
    rig.data.upload();
    const state = emptyState();
    const { env } = rig;
    const { signal } = new AbortController();
    const config = COMPACTED;
    const job = { data: rig.data, state, config, untilOffset: rig.data.endOffset, env, signal };
    await rig.run(compactLog({ ...job, offsetMapBytes: FOUR_KEYS }));
    expect(state.cleaner.firstDirtyOffset).toBe(rig.data.endOffset);
    expect((await readAll(rig.partition)).map(({ key, value }) => `${key ?? ''}${value ?? ''}`)).toEqual([
      'k01',
      'k11',
      'k21',
      'k31',
      'a4',
      'k41',
      'b4',
    ]);
  });

  test('a batch with more keys than the map holds is passed over, and its tombstones never expire', async () => {
    const rig = await compacted();
    write(rig, [['a', '1']]);
    write(rig, [
      ['a', null],
      ['b', '1'],
      ['c', '1'],
      ['d', '1'],
      ['e', '1'],
    ]);
    write(rig, [['b', '2']]);
    rig.data.upload();
    const state = emptyState();
    const { env } = rig;
    const { signal } = new AbortController();
    const config = { ...COMPACTED, deleteRetentionMs: 0 };
    const job = { data: rig.data, state, config, env, signal };
    for (let round = 0; round < 3; round++) {
      const untilOffset = rig.data.endOffset;
      await rig.run(compactLog({ ...job, untilOffset, offsetMapBytes: FOUR_KEYS }));
      await rig.env.clock.advance(1000);
      write(rig, [['f', `${round}`]]);
      rig.data.upload();
    }
    expect(await contents(rig)).toContain('1:a=null');
    const [told] = env.events.named('log.compaction-passed-over');
    expect(told?.fields).toMatchObject({ baseOffset: 1, recordCount: 5, roomForKeys: 4 });
    expect(await contents(rig)).not.toContain('2:b=1');
  });

  test('the map itself tells keys apart and counts them', () => {
    const map = new OffsetMap(24 * 1000);
    expect(map.free).toBe(750);
    for (let key = 0; key < 750; key++) map.put(Buffer.from(`key-${key}`), key);
    for (let key = 0; key < 750; key += 3) map.put(Buffer.from(`key-${key}`), key + 10_000);
    expect([map.size, map.free]).toEqual([750, 0]);
    for (let key = 0; key < 750; key++) {
      expect(map.get(Buffer.from(`key-${key}`))).toBe(key % 3 === 0 ? key + 10_000 : key);
    }
    expect(map.get(Buffer.from('another'))).toBe(-1);
  });
});

test('whatever is written and whenever it is cleaned, the newest value of each key stays, in order (I39)', async () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd');
  const value = fc.option(fc.constantFrom('1', '2', '3'), { nil: null });
  const pairs = fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 4 });
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), pairs }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('clean' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      let rig = await compacted({ deleteRetentionMs: HOUR_MS });
      const written: { offset: number; key: string; value: string | null }[] = [];
      for (const action of steps) {
        if (action.kind === 'write') {
          const base = write(rig, action.pairs);
          action.pairs.forEach(([k, v], at) => written.push({ offset: base + at, key: k, value: v }));
        } else if (action.kind === 'clean') await clean(rig);
        else if (action.kind === 'wait') await rig.env.clock.advance(HOUR_MS);
        else rig = await rig.crash();
      }
      const seen = await readAll(rig.partition);
      expect(seen.map(({ offset }) => offset)).toEqual(
        [...seen].map(({ offset }) => offset).sort((x, y) => x - y),
      );
      for (const record of seen)
        expect(written[record.offset]).toMatchObject({ key: record.key, value: record.value });
      // A table built from what is left equals one built from everything.
      const table = (records: readonly { key: string | null; value: string | null }[]): string => {
        const rows = new Map<string | null, string>();
        for (const record of records) {
          if (record.value === null) rows.delete(record.key);
          else rows.set(record.key, record.value);
        }
        return JSON.stringify([...rows].sort());
      };
      expect(table(seen)).toBe(table(written));
      expect(rig.partition.logEndOffset).toBe(written.length);
    }),
    { numRuns: 100 },
  );
});
