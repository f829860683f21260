import { describe, expect, test } from '@jest/globals';
import { encodeValue, headOf, parseHead, verifyValue } from '../../../drills/history/value.ts';

const identity = { topic: 'orders', partition: 3, producer: 'p1.2', counter: 42 };

describe('a value that says who it is', () => {
  test.each([0, 10, 41, 45, 64, 1_000])('survives the way through a broker, padded to %d bytes', (bytes) => {
    const value = encodeValue(identity, bytes);
    expect(value.length).toBe(Math.max(bytes, headOf(identity).length));
    expect(verifyValue(value)).toBe(headOf(identity));
    expect(parseHead(verifyValue(value))).toEqual(identity);
  });

  test('shows a change of any byte', () => {
    const value = encodeValue(identity, 100);
    for (let at = 0; at < value.length; at += 1) {
      const changed = Buffer.from(value);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(verifyValue(changed)).toMatch(/^damaged:/);
      expect(parseHead(verifyValue(changed))).toBeUndefined();
    }
  });

  test('shows bytes that were cut off, joined or never were a value', () => {
    const value = encodeValue(identity, 100);
    expect(parseHead(verifyValue(value.subarray(0, headOf(identity).length - 1)))).toBeUndefined();
    expect(parseHead(verifyValue(Buffer.concat([value, value])))).toBeUndefined();
    expect(parseHead(verifyValue(Buffer.alloc(0)))).toBeUndefined();
    expect(parseHead(verifyValue(null))).toBeUndefined();
    expect(parseHead('orders|3|p1.2|42')).toBeUndefined();
    expect(parseHead('orders|x|p1.2|42|000000000000')).toBeUndefined();
  });

  test('keeps no more of damaged bytes than evidence needs', () => {
    expect(verifyValue(Buffer.alloc(1_000_000)).length).toBeLessThan(200);
  });
});
