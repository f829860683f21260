import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { CorruptionError } from '../../broker-runtime/src/base/errors.ts';
import { Block } from '../../broker-runtime/src/store/object-format/block.ts';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_REF_BYTES,
  FOOTER_BYTES,
  HEADER_BYTES,
  INDEX_HEADER_BYTES,
} from '../../broker-runtime/src/store/object-format/layout.ts';
import type { BlockRef, ObjectIdentity } from '../../broker-runtime/src/store/object-format/layout.ts';
import {
  ObjectIndex,
  readFooter,
  readHeader,
} from '../../broker-runtime/src/store/object-format/object-index.ts';
import { ObjectWriter } from '../../broker-runtime/src/store/object-format/object-writer.ts';
import { objectIdOfKey, objectKey } from '../../broker-runtime/src/store/object-key.ts';
import type { StreamEntry } from '../../broker-runtime/src/store/stream.ts';

const BIG = 2 ** 52;
const IDENTITY: ObjectIdentity = {
  clusterId: 'AbCdEfGhIjKlMnOpQrStUv',
  objectId: BIG + 7,
  writerNodeId: -1,
  writerEpoch: BIG + 1,
  createdAtWallMs: 1_767_225_600_123,
};

interface Stored {
  readonly streamId: number;
  readonly entry: StreamEntry;
}

function write(stored: readonly Stored[], blockBytes: number): Uint8Array {
  const writer = new ObjectWriter(IDENTITY, blockBytes);
  for (const { streamId, entry } of stored) writer.add(streamId, entry);
  const body = writer.finish();
  const bytes = Buffer.concat(body.pieces);
  expect(bytes.length).toBe(body.sizeBytes);
  return Uint8Array.from(bytes);
}

/** Reads a whole object as the readers do: footer, index, then every block. */
function readAll(bytes: Uint8Array): { stored: Stored[]; refs: BlockRef[] } {
  const footer = readFooter(bytes.subarray(-FOOTER_BYTES), IDENTITY.objectId, bytes.length);
  const { indexPosition, indexLength } = footer;
  const index = new ObjectIndex(
    bytes.subarray(indexPosition, indexPosition + indexLength),
    IDENTITY.objectId,
    footer,
  );
  const stored: Stored[] = [];
  const refs: BlockRef[] = [];
  for (let n = 0; n < index.blockCount; n++) {
    const ref = index.block(n);
    refs.push(ref);
    const block = new Block(bytes.subarray(ref.position, ref.position + ref.length), ref, IDENTITY.objectId);
    for (let e = 0; e < block.entryCount; e++) stored.push({ streamId: ref.streamId, entry: block.entry(e) });
  }
  return { stored, refs };
}

/** Streams in ascending order, entries with and without gaps, offsets far beyond 2^32. */
const storedArbitrary = fc
  .array(
    fc.record({
      streamStep: fc.nat(3),
      gap: fc.oneof(fc.constant(0), fc.nat(1000), fc.nat(2 ** 40)),
      count: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      maxTimestampMs: fc.oneof(fc.constant(-1), fc.nat(2 ** 45)),
      bytes: fc.uint8Array({ maxLength: 60 }),
    }),
    { maxLength: 30 },
  )
  .map((steps) => {
    let streamId = BIG;
    let offset = 0;
    return steps.map(({ streamStep, gap, count, maxTimestampMs, bytes }): Stored => {
      streamId += streamStep;
      const baseOffset = offset + gap;
      offset = baseOffset + count;
      return { streamId, entry: { baseOffset, count, maxTimestampMs, bytes } };
    });
  });

function sample(): Stored[] {
  return [1, 1, 1, 2, 5, 5].map((streamId, n) => ({
    streamId,
    entry: { baseOffset: n * 10, count: 3, maxTimestampMs: 1000 + n, bytes: new Uint8Array(20).fill(n + 1) },
  }));
}

describe('an object', () => {
  test('gives back what was written, whatever the blocks', () => {
    fc.assert(
      fc.property(storedArbitrary, fc.integer({ min: 1, max: 200 }), (stored, blockBytes) => {
        const { stored: found, refs } = readAll(write(stored, blockBytes));
        expect(found).toEqual(stored);
        for (const [n, ref] of refs.entries()) {
          const before = refs[n - 1];
          if (before?.streamId === ref.streamId)
            expect(ref.startOffset).toBeGreaterThanOrEqual(before.endOffset);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('is the same whether checksums of entries are known or not, and notices bytes that are not theirs', () => {
    fc.assert(
      fc.property(storedArbitrary, fc.integer({ min: 1, max: 200 }), (stored, blockBytes) => {
        const known = stored.map(({ streamId, entry }, n) => ({
          streamId,
          entry: n % 3 === 0 ? entry : { ...entry, crc32c: crc32c(entry.bytes) },
        }));
        expect(write(known, blockBytes)).toEqual(write(stored, blockBytes));
      }),
    );
    const damaged = sample().map(({ streamId, entry }) => ({ streamId, entry: { ...entry, crc32c: 0 } }));
    expect(() => readAll(write(damaged, 50))).toThrow(CorruptionError);
  });

  test('has the layout the comment promises', () => {
    const bytes = write(sample(), 50);
    const text = (at: number): string => Buffer.from(bytes.subarray(at, at + 4)).toString('latin1');
    const { refs } = readAll(bytes);
    // Three entries of 20 bytes at 50 bytes a block: 2 + 1 of stream 1, one of stream 2, two of stream 5.
    expect(refs.map((ref) => [ref.streamId, ref.startOffset, ref.endOffset])).toEqual([
      [1, 0, 13],
      [1, 20, 23],
      [2, 30, 33],
      [5, 40, 53],
    ]);
    expect(text(0)).toBe('MRDO');
    expect(refs[0]?.position).toBe(HEADER_BYTES);
    expect(text(HEADER_BYTES)).toBe('MRDB');
    expect(refs[0]?.length).toBe(BLOCK_HEADER_BYTES + 2 * 24 + 40);
    const indexAt = bytes.length - FOOTER_BYTES - INDEX_HEADER_BYTES - 4 * BLOCK_REF_BYTES;
    expect([text(indexAt), text(bytes.length - FOOTER_BYTES)]).toEqual(['MRDI', 'MRDF']);
    // The payload of a block stands at its end, back to back.
    const [first] = refs;
    const payload = bytes.subarray((first?.position ?? 0) + (first?.length ?? 0) - 40);
    expect([...payload.subarray(0, 40)]).toEqual([
      ...Array<number>(20).fill(1),
      ...Array<number>(20).fill(2),
    ]);
    expect(readHeader(bytes, 'test')).toEqual(IDENTITY);
  });

  test('finds the blocks of a range without reading the others', () => {
    const bytes = write(sample(), 1);
    const footer = readFooter(bytes, IDENTITY.objectId, bytes.length);
    const index = new ObjectIndex(
      bytes.subarray(footer.indexPosition, footer.indexPosition + footer.indexLength),
      IDENTITY.objectId,
      footer,
    );
    const found = (streamId: number, from: number, until: number): number[] =>
      index.blocksOf(streamId, from, until).map((block) => block.startOffset);
    expect(found(1, 0, 100)).toEqual([0, 10, 20]);
    expect(found(1, 2, 11)).toEqual([0, 10]);
    expect(found(1, 3, 10)).toEqual([]);
    expect(found(1, 13, 100)).toEqual([20]);
    expect(found(5, 0, 41)).toEqual([40]);
    expect(found(3, 0, 100)).toEqual([]);
    expect(found(9, 0, 100)).toEqual([]);
  });

  test('without entries is an object all the same: a range in which compaction left nothing', () => {
    expect(readAll(write([], 100)).stored).toEqual([]);
  });

  test('cut short anywhere is corrupt', () => {
    const bytes = write(sample(), 50);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => readAll(bytes.subarray(0, length))).toThrow(CorruptionError);
    }
  });

  test('with one flipped bit anywhere is corrupt, except where no reader looks', () => {
    const bytes = write(sample(), 50);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      if (at < HEADER_BYTES) {
        expect(() => readHeader(damaged, 'test')).toThrow(CorruptionError);
        expect(readAll(damaged).stored).toEqual(sample());
      } else {
        expect(() => readAll(damaged)).toThrow(CorruptionError);
      }
    }
  });

  test('random bytes never pass and never throw anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => readAll(bytes)).toThrow(CorruptionError);
        expect(() => readHeader(bytes, 'test')).toThrow(CorruptionError);
      }),
      { numRuns: 200 },
    );
  });

  test('a whole block in the place of another is found out, though its own checksum is right', () => {
    const bytes = write(sample(), 1);
    const { refs } = readAll(bytes);
    const [first, second] = refs;
    if (first === undefined || second === undefined) throw new Error('two blocks are needed');
    const swapped = bytes.subarray(second.position, second.position + second.length);
    expect(() => new Block(swapped, first, IDENTITY.objectId)).toThrow(/not the one its index names/);
    expect(() => new Block(swapped, { ...first, crc: second.crc }, IDENTITY.objectId)).toThrow(
      CorruptionError,
    );
    expect(() => new Block(swapped, second, 1)).toThrow(/belongs to/);
  });
});

describe('keys', () => {
  test('spread over prefixes and give the id back', () => {
    const keys = Array.from({ length: 1000 }, (_, id) => objectKey(id));
    expect(new Set(keys.map((key) => key.split('/')[1])).size).toBeGreaterThan(900);
    for (const [id, key] of keys.entries()) expect(objectIdOfKey(key)).toBe(id);
  });

  test('of others give no id', () => {
    for (const key of [
      'data/',
      'data/0000/1',
      'data/x/abc',
      'meta/log/1',
      `${objectKey(5)}x`,
      `${objectKey(5)}/5`,
    ]) {
      expect(objectIdOfKey(key)).toBeUndefined();
    }
  });
});
