import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ByteReader, ByteWriter, TruncatedError } from '../../broker-runtime/src/base/bytes.ts';

describe('ByteReader and ByteWriter', () => {
  test('a safe integer comes back from its 64 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const writer = new ByteWriter(1);
        writer.safeInt64(value);
        expect(new ByteReader(writer.finish()).safeInt64()).toBe(value);
        expect(new ByteReader(writer.finish()).int64()).toBe(BigInt(value));
      }),
    );
  });

  test('a length beyond the end is refused before anything is read', () => {
    const reader = new ByteReader(new Uint8Array(4));
    expect(() => reader.slice(5)).toThrow(TruncatedError);
    expect(() => reader.slice(-1)).toThrow(TruncatedError);
    expect(reader.position).toBe(0);
  });

  test('writing across the end of the first memory: growth replaces it before the field is written', () => {
    const writer = new ByteWriter(1);
    writer.uint8(1);
    writer.uint16(0x0203);
    writer.int32(0x0405_0607);
    writer.float64(1.5);
    writer.raw(Uint8Array.of(8, 9, 10));
    const reader = new ByteReader(writer.finish());
    expect([reader.uint8(), reader.uint16(), reader.int32(), reader.float64()]).toEqual([
      1, 0x0203, 0x0405_0607, 1.5,
    ]);
    expect([...reader.slice(3)]).toEqual([8, 9, 10]);
  });
});
