import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RpcFaultError } from '../../broker-runtime/src/rpc/errors.ts';
import { RpcFrameReader } from '../../broker-runtime/src/rpc/frame-reader.ts';

const FRAME_MAX_BYTES = 1_000_000;
const KIB = 1024;

class Listener {
  readonly frames: Uint8Array[] = [];
  readonly faults: RpcFaultError[] = [];
  onFrame(frame: Uint8Array): void {
    this.frames.push(frame);
  }
  onFault(error: RpcFaultError): void {
    this.faults.push(error);
  }
}

interface Rig {
  readonly reader: RpcFrameReader;
  readonly listener: Listener;
  /** Gives bytes to the reader, at most so many at once, where it wants them. */
  readonly feed: (bytes: Uint8Array, chunkBytes: number) => void;
}

function rig(readBufferBytes = 500): Rig {
  const listener = new Listener();
  const reader = new RpcFrameReader(FRAME_MAX_BYTES, new Uint8Array(readBufferBytes), listener);
  return {
    reader,
    listener,
    feed: (bytes, chunkBytes) => {
      for (let at = 0; at < bytes.length;) {
        const target = reader.buffer();
        if (target.length === 0) throw new Error('no memory was offered');
        const chunk = bytes.subarray(at, at + Math.min(target.length, chunkBytes));
        target.set(chunk);
        reader.received(chunk.length);
        at += chunk.length;
      }
    },
  };
}

function frame(length: number, fill = length & 0xff): Buffer {
  const bytes = Buffer.alloc(4 + length, fill);
  bytes.writeUInt32BE(length);
  return bytes;
}

describe('the frame reader', () => {
  test('cuts a stream into its frames, however it arrives', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 19, max: 900 }), fc.integer({ min: 60_000, max: 300_000 })), {
          maxLength: 8,
        }),
        fc.integer({ min: 100, max: 200_000 }),
        fc.integer({ min: 50, max: 70_000 }),
        (lengths, chunkBytes, readBufferBytes) => {
          const sent = lengths.map((length) => frame(length));
          const { reader, listener, feed } = rig(readBufferBytes);
          feed(Buffer.concat(sent), chunkBytes);
          expect(listener.frames.map((one) => Buffer.compare(one, frame(one.length - 4)))).toEqual(
            lengths.map(() => 0),
          );
          expect(listener.frames.map((one) => one.length - 4)).toEqual(lengths);
          expect([reader.isPartial, reader.memoryBytes]).toEqual([false, 0]);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('takes a stream byte by byte', () => {
    const { listener, feed } = rig();
    feed(Buffer.concat([frame(19), frame(700), frame(20)]), 1);
    expect(listener.frames.map((one) => one.length)).toEqual([23, 704, 24]);
  });

  test.each([0, 1, 18, FRAME_MAX_BYTES + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])(
    'refuses an announced length of %d without taking memory, and reads no further',
    (length) => {
      const { reader, listener, feed } = rig();
      const announced = Buffer.alloc(4);
      announced.writeUInt32BE(length);
      feed(Buffer.concat([announced, frame(30)]), 500);
      expect(listener.faults).toMatchObject([
        {
          fault: 'frame-length',
          message: `a frame of ${length} bytes was announced, 19 to ${FRAME_MAX_BYTES} are allowed`,
        },
      ]);
      expect([listener.frames, reader.memoryBytes]).toEqual([[], 0]);
    },
  );

  test('holds no more memory than twice what arrived, and never more than the frame', () => {
    const whole = frame(FRAME_MAX_BYTES);
    const { reader, listener, feed } = rig();
    feed(whole.subarray(0, 4), 4);
    expect(reader.memoryBytes).toBe(64 * KIB);
    for (let at = 4; at < whole.length; at += 10_000) {
      feed(whole.subarray(at, Math.min(at + 10_000, whole.length)), 10_000);
      expect(reader.memoryBytes).toBeLessThanOrEqual(Math.max(64 * KIB, 2 * (at + 10_000)));
      expect(reader.memoryBytes).toBeLessThanOrEqual(whole.length);
    }
    expect(listener.frames).toHaveLength(1);
    const small = rig();
    small.feed(frame(19).subarray(0, 10), 10);
    expect([small.reader.memoryBytes, small.reader.isPartial]).toEqual([23, true]);
  });

  test('stops when its listener closes it within a frame', () => {
    const frames: Uint8Array[] = [];
    const reader: RpcFrameReader = new RpcFrameReader(1000, new Uint8Array(500), {
      onFrame: (one) => {
        frames.push(one);
        reader.close();
      },
      onFault: () => undefined,
    });
    const sent = Buffer.concat([frame(30), frame(40)]);
    reader.buffer().set(sent);
    reader.received(sent.length);
    reader.buffer();
    reader.received(5);
    expect(frames).toHaveLength(1);
  });
});
