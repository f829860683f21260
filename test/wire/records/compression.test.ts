import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  lz4Compress,
  lz4Decompress,
  snappyCompress,
  snappyDecompress,
} from '@platformatic/wasm-utils/bundled';
import fc from 'fast-check';
import { CompressionType } from '../../../broker-runtime/src/wire/records/batch-header.ts';
import {
  DecompressionError,
  InflatesTooFarError,
  compress,
  decompress,
} from '../../../broker-runtime/src/wire/records/compression.ts';

const { gzip, snappy, lz4, zstd } = CompressionType;
const ALL = [gzip, snappy, lz4, zstd];

/** Text with repetition near and far, and noise: what makes literals, short and overlapping matches. */
const anyPayload = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 400, size: 'max' }),
      fc
        .tuple(fc.nat(255), fc.integer({ min: 1, max: 70_000 }))
        .map(([byte, count]) => Buffer.alloc(count, byte)),
      fc.string({ maxLength: 20 }).map((text) => Buffer.from(text.repeat(200))),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts));

const RUNS = { numRuns: 40, endOnFailure: true } as const;
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

describe('compression', () => {
  test.each(ALL)('type %i inflates to what was compressed', (type) => {
    fc.assert(
      fc.property(anyPayload, (payload) => same(decompress(type, compress(type, payload)), payload)),
      RUNS,
    );
  });

  test('LZ4 frames and Snappy blocks of another implementation inflate, and theirs reads our frames', () => {
    fc.assert(
      fc.property(anyPayload, (payload) => {
        expect(same(decompress(lz4, lz4Compress(payload)), payload)).toBe(true);
        expect(same(lz4Decompress(Buffer.from(compress(lz4, payload))), payload)).toBe(true);
        expect(same(decompress(snappy, snappyCompress(payload)), payload)).toBe(true);
        // The framing of snappy-java: 16 bytes of header, then size and block.
        const framed = Buffer.from(compress(snappy, payload));
        const first = framed.subarray(20, 20 + (payload.length > 0 ? framed.readInt32BE(16) : 0));
        if (payload.length > 0) {
          expect(same(snappyDecompress(first), payload.subarray(0, 32 * 1024))).toBe(true);
        }
      }),
      RUNS,
    );
  });

  test('LZ4: stored blocks, block and content checksums, content size, linked blocks, skippable frames', () => {
    const frame = (flags: number, ...rest: string[]): Buffer =>
      Buffer.from(`04224d18${flags.toString(16)}4000${rest.join('')}`, 'hex');
    const inflate = (bytes: Buffer): string => Buffer.from(decompress(lz4, bytes)).toString();
    expect(inflate(frame(0x60, '03000080', '616263', '00000000'))).toBe('abc');
    expect(inflate(frame(0x74, '03000080', '616263', 'eeeeeeee', '00000000', 'cccccccc'))).toBe('abc');
    const sized = Buffer.from(
      '04224d1868400300000000000000' + '00' + '03000080' + '616263' + '00000000',
      'hex',
    );
    expect(inflate(sized)).toBe('abc');
    // The second block repeats 5 bytes of the first: token 0 literals, match 1+4, distance 3, then one literal.
    expect(
      inflate(frame(0x40, '03000080', '616263', '05000000', '01' + '0300' + '10' + '21', '00000000')),
    ).toBe('abcabcab!');
    const skippable = Buffer.from('512a4d18' + '02000000' + 'ffff', 'hex');
    expect(inflate(Buffer.concat([skippable, frame(0x60, '03000080', '616263', '00000000')]))).toBe('abc');
  });
});

describe('a bomb', () => {
  const limit = 1024 * 1024;
  const zeros = Buffer.alloc(8 * limit);
  const xerial = Buffer.concat([Buffer.from('82534e41505059000000000100000001', 'hex'), Buffer.alloc(4)]);

  test.each([
    ['gzip', gzip, gzipSync(zeros)],
    ['lz4', lz4, lz4Compress(zeros)],
    ['zstd', zstd, zstdCompressSync(zeros)],
    ['snappy', snappy, snappyCompress(zeros)],
    ['framed snappy', snappy, Buffer.from(compress(snappy, zeros))],
  ])('of %s is refused at the limit', (_name, type, bytes) => {
    expect(bytes.length).toBeLessThan(zeros.length / 10);
    const before = process.memoryUsage().arrayBuffers;
    expect(() => decompress(type, bytes, limit)).toThrow(InflatesTooFarError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * limit);
    expect(decompress(type, bytes, zeros.length)).toHaveLength(zeros.length);
  });

  test.each([
    ['a snappy block that claims 4 GiB', Buffer.from('ffffffff0f00', 'hex')],
    ['a framed snappy block of size 0', xerial],
    [
      'a framed snappy block of 2^31-1',
      Buffer.concat([xerial.subarray(0, 16), Buffer.from('7fffffff00', 'hex')]),
    ],
    ['a snappy copy before the start', Buffer.from('0401ff', 'hex')],
    ['snappy literals cut short', Buffer.from('100c6161', 'hex')],
    ['a snappy block that ends too early', Buffer.from('0500' + '61', 'hex')],
    ['nothing', Buffer.alloc(0)],
  ])('%s is refused', (_what, bytes) => {
    expect(() => decompress(snappy, bytes)).toThrow(DecompressionError);
  });

  test('a snappy block longer than it says is broken, not too large', () => {
    const decode = () => decompress(snappy, Buffer.from('0104' + '6161', 'hex'));
    expect(decode).toThrow(DecompressionError);
    expect(decode).not.toThrow(InflatesTooFarError);
  });

  test('an unknown compression type is refused', () => {
    expect(() => decompress(5, Buffer.from('00', 'hex'))).toThrow(DecompressionError);
  });

  test.each(ALL)(
    'type %i cut at any byte inflates to less, or is refused: it never hangs or crashes',
    (type) => {
      const payload = Buffer.from('the quick brown fox '.repeat(30));
      const whole = compress(type, payload);
      for (let length = 0; length < whole.length; length++) {
        try {
          expect(decompress(type, whole.subarray(0, length)).length).toBeLessThan(payload.length);
        } catch (error) {
          if (!(error instanceof DecompressionError)) throw error;
        }
      }
    },
  );
});
