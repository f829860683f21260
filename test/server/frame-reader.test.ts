import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MemoryShare } from '../../broker-runtime/src/base/memory-budget.ts';
import { type Frame, FrameMemory, READ_BUFFER_BYTES } from '../../broker-runtime/src/server/frame.ts';
import { BufferPool } from '../../broker-runtime/src/base/buffer-pool.ts';
import { FrameReader } from '../../broker-runtime/src/server/frame-reader.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

const KIB = 1024;

interface Rig {
  readonly clock: SimClock;
  readonly reader: FrameReader;
  readonly requests: MemoryShare;
  readonly readAhead: MemoryShare;
  readonly frames: Frame[];
  readonly faults: string[];
  readonly flow: boolean[];
  /** Hands bytes to the reader as a socket would: as much as the offered memory takes, at most `chunk` at a time. */
  receive(bytes: Uint8Array, chunk?: number): void;
  onFrame: (frame: Frame) => void;
}

function readerRig(options: { requestMemory?: number; readAhead?: number; maxBytes?: number } = {}): Rig {
  const clock = new SimClock();
  const requests = new MemoryShare('requests', options.requestMemory ?? 1024 * KIB);
  const readAhead = new MemoryShare('read-ahead', options.readAhead ?? 1024 * KIB);
  const memory = new FrameMemory(requests, readAhead, 64 * KIB);
  const frames: Frame[] = [];
  const faults: string[] = [];
  const flow: boolean[] = [];
  const rig: Rig = {
    clock,
    requests,
    readAhead,
    frames,
    faults,
    flow,
    onFrame: (frame) => frames.push(frame),
    reader: new FrameReader(memory, clock, options.maxBytes ?? 512 * KIB, {
      onFrame: (frame) => rig.onFrame(frame),
      onFault: (fault) => faults.push(fault),
      onFlow: (flowing) => flow.push(flowing),
    }),
    receive: (bytes, chunk = bytes.length) => {
      for (let at = 0; at < bytes.length;) {
        const target = rig.reader.buffer();
        const length = Math.min(target.length, chunk, bytes.length - at);
        target.set(bytes.subarray(at, at + length));
        rig.reader.received(length);
        at += length;
      }
    },
  };
  return rig;
}

function framed(...contents: Uint8Array[]): Uint8Array {
  return Buffer.concat(
    contents.flatMap((content) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(content.length);
      return [length, content];
    }),
  );
}

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

describe('frames', () => {
  test('property: any stream of frames in any segments arrives whole and in order', () => {
    const frame = fc.uint8Array({ minLength: 8, maxLength: 3000 });
    const chunk = fc.integer({ min: 1, max: 5000 });
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 8 }), chunk, (contents, chunkBytes) => {
        const rig = readerRig();
        rig.receive(framed(...contents), chunkBytes);
        expect(rig.frames.map((one) => Buffer.from(one.bytes))).toEqual(
          contents.map((one) => Buffer.from(one)),
        );
      }),
      { numRuns: 60 },
    );
  });

  test('a frame larger than a read is received straight into its own memory', () => {
    const rig = readerRig({ maxBytes: 2 * READ_BUFFER_BYTES, requestMemory: 4 * READ_BUFFER_BYTES });
    const content = filled(READ_BUFFER_BYTES + 1000, 7);
    rig.receive(framed(content).subarray(0, READ_BUFFER_BYTES));
    expect(rig.reader.buffer()).toHaveLength(1000 + 4);
    rig.receive(framed(content).subarray(READ_BUFFER_BYTES));
    expect(Buffer.compare(rig.frames[0]?.bytes ?? new Uint8Array(0), content)).toBe(0);
  });

  test('a length field in single bytes is read', () => {
    const rig = readerRig();
    rig.receive(framed(filled(9, 1), filled(8, 2)), 1);
    expect(rig.frames.map((frame) => frame.bytes.length)).toEqual([9, 8]);
  });
});

describe('lengths that no request has close the connection before anything is allocated', () => {
  const lengthOf = (bytes: number[]): Uint8Array => Uint8Array.from(bytes);
  test.each([
    ['negative', lengthOf([0xff, 0xff, 0xff, 0xff])],
    ['the most negative', lengthOf([0x80, 0, 0, 0])],
    ['zero', lengthOf([0, 0, 0, 0])],
    ['shorter than a header', lengthOf([0, 0, 0, 7])],
    ['over the limit', lengthOf([0, 0x08, 0, 1])],
    ['2 GiB', lengthOf([0x7f, 0xff, 0xff, 0xff])],
    ['a TLS client hello', lengthOf([0x16, 0x03, 0x01, 0x02])],
    ['an HTTP request', new Uint8Array(Buffer.from('GET / HTTP/1.1\r\n'))],
  ])('%s', (_name, bytes) => {
    const rig = readerRig();
    rig.receive(bytes);
    expect(rig.faults).toEqual(['frame-length']);
    expect(rig.requests.usedBytes).toBe(0);
    rig.receive(framed(filled(8, 1)));
    expect(rig.frames).toEqual([]);
  });

  test('a frame of exactly the limit is accepted', () => {
    const rig = readerRig({ maxBytes: 1000 });
    rig.receive(framed(filled(1000, 3)));
    expect(rig.frames).toHaveLength(1);
  });
});

describe('memory', () => {
  test('an exhausted share pauses the socket, and memory given back resumes it where it stopped', async () => {
    const rig = readerRig({ requestMemory: 4 * KIB });
    rig.receive(framed(filled(3000, 1), filled(3000, 2), filled(10, 3)));
    expect(rig.frames.map((frame) => frame.bytes[0])).toEqual([1]);
    expect(rig.flow).toEqual([false]);
    expect(rig.readAhead.usedBytes).toBeGreaterThan(0);

    rig.frames[0]?.release(true);
    await rig.clock.settle();
    expect(rig.frames.slice(1).map((frame) => frame.bytes[0])).toEqual([2, 3]);
    expect(rig.frames[1]?.bytes).toEqual(filled(3000, 2));
    expect(rig.flow).toEqual([false, true]);
    expect(rig.readAhead.usedBytes).toBe(0);
  });

  test('connections that wait get memory in the order they came', async () => {
    const requests = new MemoryShare('requests', 4 * KIB);
    const memory = new FrameMemory(requests, new MemoryShare('read-ahead', 64 * KIB), 0);
    const order: number[] = [];
    const clock = new SimClock();
    const first = await memory.frame(4 * KIB);
    for (const id of [1, 2, 3]) {
      const reader = new FrameReader(memory, clock, 64 * KIB, {
        onFrame: (frame) => {
          order.push(id);
          frame.release(true);
        },
        onFault: () => order.push(-id),
        onFlow: () => undefined,
      });
      reader.buffer().set(framed(filled(2000, id)));
      reader.received(2004);
    }
    expect(order).toEqual([]);
    first.release(true);
    await clock.settle();
    expect(order).toEqual([1, 2, 3]);
    expect(requests.usedBytes).toBe(0);
  });

  test('under pressure reads are small, so that little is read ahead', async () => {
    const requests = new MemoryShare('requests', 4 * KIB);
    const memory = new FrameMemory(requests, new MemoryShare('read-ahead', 64 * KIB), 0);
    expect(memory.readBuffer).toHaveLength(READ_BUFFER_BYTES);
    const held = await memory.frame(4 * KIB);
    const waiting = memory.frame(1);
    expect(memory.readBuffer.length).toBeLessThanOrEqual(4 * KIB);
    held.release(true);
    (await waiting).release(true);
  });

  test('more read ahead than the share for it has left closes the connection', () => {
    const rig = readerRig({ requestMemory: 2 * KIB, readAhead: 1000 });
    rig.readAhead.tryTake(900);
    rig.receive(framed(filled(2000, 1), filled(2000, 2)));
    expect(rig.faults).toEqual(['read-ahead-memory']);
  });

  test('closing gives back what a cut-off frame and a backlog hold', () => {
    const rig = readerRig({ requestMemory: 4 * KIB });
    rig.receive(framed(filled(3000, 1), filled(3000, 2)));
    rig.frames[0]?.release(true);
    rig.reader.close();
    return rig.clock.settle().then(() => {
      expect(rig.requests.usedBytes).toBe(0);
      expect(rig.readAhead.usedBytes).toBe(0);
    });
  });

  test('property: whatever is held, released and received, accounts end at zero', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ size: fc.integer({ min: 8, max: 6000 }), hold: fc.boolean() }), {
          maxLength: 12,
        }),
        fc.integer({ min: 1, max: 7000 }),
        async (plan, chunk) => {
          const rig = readerRig({ requestMemory: 8 * KIB });
          rig.onFrame = (frame) => {
            rig.frames.push(frame);
            if (plan[rig.frames.length - 1]?.hold === true) rig.reader.hold();
          };
          rig.receive(framed(...plan.map(({ size }, at) => filled(size, at))), chunk);
          for (let at = 0; at < plan.length; at += 1) {
            await rig.clock.settle();
            rig.frames[at]?.release(true);
            rig.reader.unhold();
          }
          await rig.clock.settle();
          expect(rig.faults).toEqual([]);
          expect(rig.frames.map((frame) => frame.bytes.length)).toEqual(plan.map(({ size }) => size));
          expect([rig.requests.usedBytes, rig.readAhead.usedBytes]).toEqual([0, 0]);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('the half-frame clock', () => {
  test('runs while a request is cut off, not between requests', async () => {
    const rig = readerRig();
    expect(rig.reader.partialSinceMs).toBeUndefined();
    await rig.clock.advance(5);
    rig.receive(framed(filled(100, 1)).subarray(0, 2));
    expect(rig.reader.partialSinceMs).toBe(5);
    await rig.clock.advance(5);
    rig.receive(framed(filled(100, 1)).subarray(2, 50));
    expect(rig.reader.partialSinceMs).toBe(5);
    rig.receive(framed(filled(100, 1)).subarray(50));
    expect(rig.reader.partialSinceMs).toBeUndefined();
  });

  test('stands still while we do not read', async () => {
    const rig = readerRig({ requestMemory: 2 * KIB });
    rig.receive(framed(filled(2000, 1), filled(2000, 2)).subarray(0, 2500));
    expect(rig.reader.partialSinceMs).toBeUndefined();
    await rig.clock.advance(60_000);
    rig.frames[0]?.release(true);
    await rig.clock.settle();
    expect(rig.reader.partialSinceMs).toBe(60_000);
  });
});

describe('the frame pool', () => {
  test('wastes at most a quarter above the smallest class', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 * KIB * KIB }), (length) => {
        const bytes = BufferPool.classBytes(length);
        expect(bytes).toBeGreaterThanOrEqual(length);
        if (length > KIB) expect(bytes).toBeLessThanOrEqual(length * 1.25);
        expect(BufferPool.classBytes(bytes)).toBe(bytes);
      }),
    );
  });

  test('reuses what was recycled and keeps no more than its limit', () => {
    const pool = new BufferPool(2 * KIB);
    const one = pool.take(10);
    const two = pool.take(10);
    const three = pool.take(10);
    for (const buffer of [one, two, three]) pool.recycle(buffer);
    expect(pool.idleBytes).toBe(2 * KIB);
    expect([pool.take(1000), pool.take(1)]).toEqual([two, one]);
    expect(pool.idleBytes).toBe(0);
  });

  test('regression: a frame released twice is counted and recycled once', async () => {
    const requests = new MemoryShare('requests', 64 * KIB);
    const memory = new FrameMemory(requests, new MemoryShare('read-ahead', 1), 64 * KIB);
    const frame = await memory.frame(100);
    frame.release(true);
    frame.release(true);
    expect(requests.usedBytes).toBe(0);
    const [a, b] = [await memory.frame(100), await memory.frame(100)];
    expect(a.bytes.buffer).not.toBe(b.bytes.buffer);
  });
});
