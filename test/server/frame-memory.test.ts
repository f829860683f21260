import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MemoryShare } from '../../broker-runtime/src/base/memory-budget.ts';
import { Frame, FrameMemory } from '../../broker-runtime/src/server/frame.ts';

const KIB = 1024;
const REQUESTS_BYTES = 256 * KIB;
const IDLE_BYTES = 32 * KIB;

function frameMemory(): { readonly memory: FrameMemory; readonly requests: MemoryShare } {
  const requests = new MemoryShare('requests', REQUESTS_BYTES);
  return {
    requests,
    memory: new FrameMemory(requests, new MemoryShare('read-ahead', 64 * KIB), IDLE_BYTES),
  };
}

/** A frame that is to be had at once. */
function frameOf(memory: FrameMemory, length: number): Frame {
  const frame = memory.frame(length);
  if (!(frame instanceof Frame)) throw new Error(`no room for a frame of ${length} bytes`);
  return frame;
}

describe('idle frames', () => {
  test('counting: a flood that fills the share is received into the same memory every time', () => {
    const { memory } = frameMemory();
    const buffers = new Set<ArrayBufferLike>();
    for (let round = 0; round < 10; round += 1) {
      const frames = Array.from({ length: REQUESTS_BYTES / (16 * KIB) }, () => frameOf(memory, 16 * KIB));
      for (const frame of frames) buffers.add(frame.bytes.buffer);
      for (const frame of frames) frame.release(true);
    }
    expect(buffers.size).toBe(REQUESTS_BYTES / (16 * KIB));
  });

  test('frames of another size take the place of idle ones', () => {
    const { memory, requests } = frameMemory();
    const small = Array.from({ length: 64 }, () => frameOf(memory, 4 * KIB));
    for (const frame of small) frame.release(true);
    expect(memory.idleBytes).toBe(REQUESTS_BYTES);
    const large = frameOf(memory, 192 * KIB);
    expect(requests.usedBytes + memory.idleBytes).toBeLessThanOrEqual(REQUESTS_BYTES + IDLE_BYTES);
    large.release(true);
  });

  test('a request larger than the share, granted because it is alone, leaves nothing idle beside it', () => {
    const { memory } = frameMemory();
    frameOf(memory, 64 * KIB).release(true);
    const alone = frameOf(memory, 2 * REQUESTS_BYTES);
    expect(memory.idleBytes).toBe(0);
    alone.release(true);
  });

  test('property: frames in use and idle ones stay within the share and what is set aside (I36)', () => {
    const step = fc.record({ length: fc.integer({ min: 1, max: 100 * KIB }), release: fc.nat({ max: 3 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { memory, requests } = frameMemory();
        const held: Frame[] = [];
        for (const { length, release } of steps) {
          for (const frame of held.splice(0, release)) frame.release(true);
          const frame = memory.frame(length);
          // Full: what happens to those who wait is another test's.
          if (frame instanceof Promise) return;
          held.push(frame);
          expect(requests.usedBytes + memory.idleBytes).toBeLessThanOrEqual(REQUESTS_BYTES + IDLE_BYTES);
        }
      }),
    );
  });
});
