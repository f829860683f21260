import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { RpcFaultError } from '../../broker-runtime/src/rpc/errors.ts';
import { decodeFrame, encodeFrame } from '../../broker-runtime/src/rpc/frame.ts';
import type { RpcMessage } from '../../broker-runtime/src/rpc/frame.ts';
import { RPC_LIMITS } from '../../broker-runtime/src/rpc/limits.ts';

const correlationId = fc.integer({ min: 0, max: 0xffff_ffff });
const body = fc.record({
  json: fc.option(fc.jsonValue(), { nil: undefined }),
  blobs: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }),
});
const message: fc.Arbitrary<RpcMessage> = fc.oneof(
  fc.record({
    type: fc.constant('request' as const),
    correlationId,
    method: fc.string({ unit: 'binary' }),
    body,
  }),
  fc.record({ type: fc.constant('response' as const), correlationId, body }),
  fc.record({
    type: fc.constant('error' as const),
    correlationId,
    code: fc.string(),
    message: fc.string({ unit: 'binary' }),
  }),
);

const encode = (one: RpcMessage): Uint8Array => new Uint8Array(Buffer.concat(encodeFrame(one, RPC_LIMITS)));
const decode = (frame: Uint8Array): RpcMessage => decodeFrame(frame, RPC_LIMITS);

/** @returns undefined when it could be read */
function faultOf(frame: Uint8Array): string | undefined {
  try {
    decode(frame);
    return undefined;
  } catch (error) {
    if (error instanceof RpcFaultError) return error.fault;
    throw error;
  }
}

/** What JSON makes of a value: no -0. */
const asJson = (one: RpcMessage): unknown =>
  one.type === 'error' || one.body.json === undefined
    ? one
    : { ...one, body: { ...one.body, json: JSON.parse(JSON.stringify(one.body.json)) as unknown } };

/** A frame as its content says, with right length and checksum. */
function sealed(content: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(content.length + 8);
  frame.writeUInt32BE(content.length + 4);
  frame.set(content, 4);
  frame.writeUInt32BE(crc32c(frame.subarray(0, -4)), frame.length - 4);
  return frame;
}

function content(
  type: number,
  document: string | Uint8Array,
  blobCount = 0,
  rest = new Uint8Array(0),
): Buffer {
  const bytes = Buffer.from(document);
  const head = Buffer.alloc(9);
  head.writeUInt8(type);
  head.writeUInt32BE(7, 1);
  head.writeUInt32BE(bytes.length, 5);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(blobCount);
  return Buffer.concat([head, bytes, count, rest]);
}

const fault = (name: string, text: string | RegExp): unknown =>
  expect.objectContaining({
    name: 'RpcFaultError',
    fault: name,
    message: expect.stringMatching(text) as unknown,
  });

describe('a frame', () => {
  test('says what was put into it', () => {
    fc.assert(
      fc.property(message, (one) => {
        const frame = encode(one);
        expect(Buffer.from(frame).readUInt32BE()).toBe(frame.length - 4);
        const read = decode(frame);
        const bytes = (from: RpcMessage): unknown =>
          from.type === 'error' ? [] : from.body.blobs.map((blob) => [...blob]);
        expect(JSON.stringify(read)).toBe(JSON.stringify(asJson(one)));
        expect(bytes(read)).toEqual(bytes(one));
      }),
    );
  });

  test('is laid out as documented', () => {
    const frame = encode({
      type: 'request',
      correlationId: 0x01020304,
      method: 'm',
      body: { json: 5, blobs: [Uint8Array.of(0xaa, 0xbb), new Uint8Array(0)] },
    });
    const document = '{"method":"m","body":5}';
    const expected = Buffer.concat([
      Buffer.from([0, 0, 0, 1 + 4 + 4 + document.length + 4 + 6 + 4 + 4]),
      Buffer.from([1, 1, 2, 3, 4, 0, 0, 0, document.length]),
      Buffer.from(document),
      Buffer.from([0, 0, 0, 2, 0, 0, 0, 2, 0xaa, 0xbb, 0, 0, 0, 0]),
    ]);
    expect(Buffer.from(frame.subarray(0, -4)).toString('hex')).toBe(expected.toString('hex'));
    expect(Buffer.from(frame).readUInt32BE(frame.length - 4)).toBe(crc32c(expected));
  });

  test('passes blobs on without a copy, and gives views of its memory', () => {
    const blob = new Uint8Array(100);
    const one: RpcMessage = { type: 'response', correlationId: 1, body: { json: null, blobs: [blob] } };
    expect(encodeFrame(one, RPC_LIMITS)).toContain(blob);
    const frame = new Uint8Array(encode(one));
    const read = decode(frame);
    expect(read.type === 'response' && read.body.blobs[0]?.buffer).toBe(frame.buffer);
  });

  test('that is cut off anywhere, or has one wrong bit, is a fault', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 0, max: 7 }), (one, at, bit) => {
        const frame = encode(one);
        const outcomes = Array.from({ length: frame.length }, (_, length) =>
          faultOf(frame.subarray(0, length)),
        );
        expect(outcomes).not.toContain(undefined);
        const damaged = Uint8Array.from(frame);
        const index = at % frame.length;
        damaged[index] = (damaged[index] ?? 0) ^ (1 << bit);
        expect(() => decode(damaged)).toThrow(fault('frame-checksum', /does not match its CRC32C/));
      }),
      { numRuns: 50 },
    );
  });

  test('of any content under a right checksum is read or is a fault, never anything else', () => {
    const lengths = fc.oneof(fc.nat(20), fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_ffff));
    const hostile = fc
      .tuple(fc.nat(5), lengths, fc.uint8Array({ maxLength: 60 }))
      .map(([type, length, rest]) => {
        const head = Buffer.alloc(9);
        head.writeUInt8(type);
        head.writeUInt32BE(length, 5);
        return Buffer.concat([head, rest]);
      });
    const almost = fc.tuple(message, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([one, at, byte]) => {
      const inner = Buffer.from(encode(one).subarray(4, -4));
      inner[at % inner.length] = byte;
      return inner;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), hostile, almost), (inner) => {
        // Anything but a fault is thrown on.
        faultOf(sealed(inner));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['an unknown type', content(9, '{}'), 'its type is unknown'],
    ['type 0', content(0, '{}'), 'its type is unknown'],
    ['no JSON', content(2, '{"body":'), 'JSON'],
    ['no UTF-8', content(2, Uint8Array.of(0x22, 0xff, 0x22)), 'cannot be read'],
    ['an array for a document', content(1, '[]'), '"method" of its document is not a text'],
    ['null for a document', content(2, 'null'), 'its document is not an object'],
    ['a number for a method', content(1, '{"method":1}'), '"method" of its document is not a text'],
    ['a method that is inherited', content(1, '{"__proto__":{"method":"x"}}'), '"method" of its document'],
    ['an error without a code', content(3, '{"message":"x"}'), '"code" of its document is not a text'],
    ['bytes behind its end', content(2, '{}', 0, Buffer.from('x')), '1 bytes behind the last blob'],
    ['more blobs than bytes', content(2, '{}', 2, Buffer.alloc(4)), 'bytes wanted'],
    ['more blobs than allowed', content(2, '{}', 0xffff_ffff), '4294967295 blobs, 16384 are allowed'],
    ['a blob longer than the frame', content(2, '{}', 1, Buffer.alloc(4, 0xff)), '4294967295 bytes wanted'],
  ])('with %s is a fault of its content', (_name, inner, text) => {
    expect(() => decode(sealed(inner))).toThrow(fault('frame-content', text));
  });

  test('with a document beyond the limit is not even parsed', () => {
    const frame = encode({ type: 'response', correlationId: 1, body: { json: 'x'.repeat(100), blobs: [] } });
    const limits = { ...RPC_LIMITS, documentMaxBytes: 50 };
    expect(() => decodeFrame(frame, limits)).toThrow(
      fault('frame-content', '111 bytes of JSON, 50 are allowed'),
    );
  });

  test.each([
    [{ frameMaxBytes: 200 }, /a message of 2\d\d bytes cannot be sent, 200 are allowed: split it/],
    [{ documentMaxBytes: 10 }, /a message of 19 bytes of JSON cannot be sent, 10 are allowed/],
    [{ blobsMax: 1 }, /a message of 2 blobs cannot be sent, 1 are allowed/],
  ])('beyond %j is not made', (limit, text) => {
    const blobs = [new Uint8Array(100), new Uint8Array(80)];
    const one: RpcMessage = { type: 'response', correlationId: 1, body: { json: 'response', blobs } };
    const make = (): unknown => encodeFrame(one, { ...RPC_LIMITS, ...limit });
    expect(make).toThrow(expect.objectContaining({ code: 'TOO_LARGE', mayHaveRun: false }));
    expect(make).toThrow(text);
  });
});
