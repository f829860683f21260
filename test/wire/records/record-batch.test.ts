import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Errors } from '../../../broker-runtime/src/wire/errors.ts';
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  CompressionType,
  wholeBatches,
} from '../../../broker-runtime/src/wire/records/batch-header.ts';
import {
  buildBatch,
  type NewBatch,
  type NewRecord,
} from '../../../broker-runtime/src/wire/records/build-batch.ts';
import {
  ControlRecordType,
  encodeControlRecord,
  readControlRecord,
} from '../../../broker-runtime/src/wire/records/control-record.ts';
import { DecompressionError } from '../../../broker-runtime/src/wire/records/compression.ts';
import {
  InvalidRecordsError,
  RecordCursor,
  recordsOf,
} from '../../../broker-runtime/src/wire/records/read-records.ts';
import { checkBatch } from '../../../broker-runtime/src/wire/records/validate-batch.ts';

const NOW_MS = 1_700_000_000_000;

function record(offset: number, value = 'v'): NewRecord {
  return { offset, timestampMs: NOW_MS + offset, key: Buffer.from(`k${offset}`), value: Buffer.from(value) };
}

function readAll(batch: Uint8Array): NewRecord[] {
  const cursor = recordsOf(new BatchHeader(batch));
  const found: NewRecord[] = [];
  while (cursor.next()) {
    const { offset, timestampMs, key, value } = cursor;
    found.push({ offset, timestampMs, key, value, headers: cursor.headers() });
  }
  return found;
}

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 300, size: 'max' }));
const anyRecords = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 1000 }),
      timestampMs: fc.integer({ min: -1, max: 2 ** 45 }),
      key: bytesOrNull,
      value: bytesOrNull,
      headers: fc.array(
        fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 9 }), value: bytesOrNull }),
        {
          maxLength: 3,
        },
      ),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((rows) => {
    let offset = 2 ** 40;
    return rows.map(({ gap, ...rest }): NewRecord => ({ offset: (offset += gap), ...rest }));
  });
const anyCompression = fc.constantFrom(...Object.values(CompressionType));

describe('a batch that is built', () => {
  test('reads back record by record, whatever its compression', () => {
    fc.assert(
      fc.property(anyRecords, anyCompression, (records, compression) => {
        const batch = buildBatch({ records, compression });
        expect(checkBatch(batch)).toBeUndefined();
        expect(readAll(batch)).toEqual(records);
        const header = new BatchHeader(batch);
        expect(header.compression).toBe(compression);
        expect(header.recordCount).toBe(records.length);
        expect(header.baseOffset).toBe(records[0]?.offset);
        expect(header.lastOffset).toBe(records.at(-1)?.offset);
        expect(header.maxTimestampMs).toBe(Math.max(...records.map(({ timestampMs }) => timestampMs)));
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  test('keeps every field of its header', () => {
    const fields = {
      records: [record(12), record(15)],
      baseOffset: 10,
      lastOffset: 20,
      partitionLeaderEpoch: 7,
      producerId: 2 ** 40 + 1,
      producerEpoch: 3,
      baseSequence: 2 ** 31 - 1,
      isTransactional: true,
    } satisfies NewBatch;
    const header = new BatchHeader(buildBatch(fields));
    expect(header).toMatchObject({
      baseOffset: 10,
      lastOffset: 20,
      nextOffset: 21,
      lastOffsetDelta: 10,
      magic: 2,
    });
    expect(header).toMatchObject({ partitionLeaderEpoch: 7, producerId: 2 ** 40 + 1, producerEpoch: 3 });
    expect(header).toMatchObject({ baseSequence: 2 ** 31 - 1, isTransactional: true, isControl: false });
    expect(header.baseTimestampMs).toBe(NOW_MS + 12);
    expect(header.deleteHorizonMs).toBeUndefined();
  });

  test('may be left empty by compaction and keeps its place in the log', () => {
    const batch = buildBatch({ records: [], baseOffset: 5, lastOffset: 9, producerId: 1, baseSequence: 4 });
    expect(batch).toHaveLength(BATCH_HEADER_BYTES);
    expect(checkBatch(batch)).toBeUndefined();
    expect(new BatchHeader(batch)).toMatchObject({ baseOffset: 5, lastOffset: 9, recordCount: 0 });
    expect(readAll(batch)).toEqual([]);
  });

  test('carries the delete horizon in place of the base timestamp, and true times in its records', () => {
    const batch = buildBatch({ records: [record(1)], deleteHorizonMs: NOW_MS + 86_400_000 });
    expect(new BatchHeader(batch).deleteHorizonMs).toBe(NOW_MS + 86_400_000);
    expect(readAll(batch)[0]?.timestampMs).toBe(NOW_MS + 1);
  });
});

describe('a batch in place', () => {
  test('takes its offset and epoch without a new checksum', () => {
    const batch = buildBatch({ records: [record(0), record(1)] });
    const signed = Buffer.from(batch.subarray(17));
    const header = new BatchHeader(batch);
    header.assignOffset(2 ** 45 + 3, 12);
    expect(header).toMatchObject({
      baseOffset: 2 ** 45 + 3,
      lastOffset: 2 ** 45 + 4,
      partitionLeaderEpoch: 12,
    });
    expect(signed.equals(batch.subarray(17))).toBe(true);
    expect(checkBatch(batch)).toBeUndefined();
  });

  test('takes the append time into its signed part, and all records have it', () => {
    const batch = buildBatch({ records: [record(0), record(1)], compression: CompressionType.zstd });
    const header = new BatchHeader(batch);
    header.stampLogAppendTime(NOW_MS + 99);
    expect(header).toMatchObject({ isLogAppendTime: true, maxTimestampMs: NOW_MS + 99 });
    expect(checkBatch(batch)).toBeUndefined();
    expect(readAll(batch).map(({ timestampMs }) => timestampMs)).toEqual([NOW_MS + 99, NOW_MS + 99]);
  });

  test('is found within other bytes, at any alignment', () => {
    const batch = buildBatch({ records: [record(3)] });
    const around = new Uint8Array(batch.length + 20);
    around.set(batch, 13);
    const header = new BatchHeader(around, 13);
    expect(header.baseOffset).toBe(3);
    expect(Buffer.from(header.batch).equals(batch)).toBe(true);
    expect(header.computeCrc()).toBe(header.crc);
  });

  test('several are walked up to the last whole one', () => {
    const batches = [0, 1, 2].map((offset) => buildBatch({ records: [record(offset)] }));
    const joined = Buffer.concat(batches);
    const walk = (bytes: Uint8Array) => [...wholeBatches(bytes)].map(({ baseOffset }) => baseOffset);
    expect(walk(joined)).toEqual([0, 1, 2]);
    for (let cut = 1; cut < (batches[2]?.length ?? 0); cut++) {
      expect(walk(joined.subarray(0, joined.length - cut))).toEqual([0, 1]);
    }
    joined.writeInt32BE(-12, 8);
    expect(walk(joined)).toEqual([]);
  });
});

describe('checkBatch', () => {
  const good = buildBatch({ records: [record(0)] });
  const broken = (change: (batch: Buffer) => void, resign = false): Uint8Array => {
    const batch = Buffer.from(good);
    change(batch);
    if (resign) batch.writeUInt32BE(new BatchHeader(batch).computeCrc(), 17);
    return batch;
  };

  test('finds every single damaged byte of what the checksum covers', () => {
    for (let at = 21; at < good.length; at++) {
      const damaged = broken((batch) => (batch[at] = (batch[at] ?? 0) ^ 0x40));
      expect(checkBatch(damaged)?.error).toBe(Errors.CORRUPT_MESSAGE);
    }
  });

  test('refuses any cut', () => {
    for (let length = 0; length < good.length; length++) {
      expect(checkBatch(good.subarray(0, length))?.error).toBe(Errors.INVALID_RECORD);
    }
  });

  test.each([
    ['two batches', Buffer.concat([good, good]), Errors.INVALID_RECORD],
    ['message format 1', broken((batch) => batch.writeInt8(1, 16)), Errors.INVALID_RECORD],
    ['a negative length', broken((batch) => batch.writeInt32BE(-1, 8)), Errors.CORRUPT_MESSAGE],
    ['length 2^31-1', broken((batch) => batch.writeInt32BE(0x7fffffff, 8)), Errors.INVALID_RECORD],
    [
      'a length shorter than the header',
      broken((batch) => batch.writeInt32BE(30, 8)),
      Errors.CORRUPT_MESSAGE,
    ],
    ['a negative record count', broken((batch) => batch.writeInt32BE(-1, 57), true), Errors.INVALID_RECORD],
    ['a negative last offset', broken((batch) => batch.writeInt32BE(-1, 23), true), Errors.INVALID_RECORD],
    [
      'compression 5',
      broken((batch) => batch.writeInt16BE(5, 21), true),
      Errors.UNSUPPORTED_COMPRESSION_TYPE,
    ],
    ['producer id 2^62', broken((batch) => batch.writeInt32BE(0x40000000, 43), true), Errors.INVALID_RECORD],
  ])('refuses %s', (_what, batch, error) => {
    expect(checkBatch(batch)?.error).toBe(error);
  });
});

describe('records that are not what their batch says', () => {
  const withPayload = (payload: string, recordCount = 1): RecordCursor => {
    const header = new BatchHeader(buildBatch({ records: [record(0)] }));
    Buffer.from(header.bytes.buffer, header.bytes.byteOffset).writeInt32BE(recordCount, 57);
    return new RecordCursor(header, Buffer.from(payload.replaceAll(' ', ''), 'hex'));
  };

  test.each([
    ['a length of -1', '01'],
    ['a length beyond the payload', '7e 00'],
    ['a length of 6 bytes', 'ffffffffff 01'],
    ['a timestamp of 11 bytes', '1c 00 ffffffffffffffffffff 01 00 00'],
    ['a key length of -2', '0c 00 00 00 03 00 00'],
    ['a key beyond the record', '0c 00 00 00 7e 00 00'],
    ['a value beyond the record', '0c 00 00 00 01 0a 00'],
    ['a negative header count', '0c 00 00 00 01 01 01'],
    ['2^31-1 headers', '14 00 00 00 01 01 feffffff0f'],
    ['a header without key', '10 00 00 00 01 01 02 01 01'],
    ['bytes left over in the record', '0e 00 00 00 01 01 00 00'],
    ['bytes left over after it', '0c 00 00 00 01 01 00 00'],
  ])('%s', (_what, payload) => {
    const cursor = withPayload(payload);
    expect(() => {
      while (cursor.next());
    }).toThrow(InvalidRecordsError);
  });

  test('the smallest record is read', () => {
    const cursor = withPayload('0c 00 00 00 01 01 00');
    expect(cursor.next()).toBe(true);
    expect([cursor.hasKey, cursor.hasValue, cursor.sizeBytes]).toEqual([false, false, 7]);
    expect(cursor.next()).toBe(false);
  });

  test('more records than there are', () => {
    const cursor = withPayload('0c 00 00 00 01 01 00', 2);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.next()).toThrow(InvalidRecordsError);
  });

  test('damage anywhere gives records or an error of its own kind, in every compression', () => {
    const records = Array.from({ length: 5 }, (_, offset) => record(offset, 'abcabcabc'.repeat(4)));
    for (const compression of Object.values(CompressionType)) {
      const good = buildBatch({ records, compression });
      for (let at = BATCH_HEADER_BYTES; at < good.length; at++) {
        const damaged = Uint8Array.from(good);
        damaged[at] = (damaged[at] ?? 0) ^ 0xa5;
        try {
          readAll(damaged);
        } catch (error) {
          if (!(error instanceof InvalidRecordsError || error instanceof DecompressionError)) throw error;
        }
      }
    }
  });
});

describe('control records', () => {
  test('tell how a transaction ended', () => {
    const marker = { type: ControlRecordType.commit, coordinatorEpoch: 8 };
    const { key, value } = encodeControlRecord(marker);
    expect(Buffer.from(key).toString('hex')).toBe('00000001');
    expect(Buffer.from(value).toString('hex')).toBe('000000000008');
    const batch = buildBatch({ records: [{ offset: 4, timestampMs: NOW_MS, key, value }], isControl: true });
    expect(new BatchHeader(batch).isControl).toBe(true);
    const cursor = recordsOf(new BatchHeader(batch));
    cursor.next();
    expect(readControlRecord(cursor.key ?? key, cursor.value ?? value)).toEqual(marker);
  });
});
