import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SliceBuilder } from '../../broker-runtime/src/store/slice.ts';
import { TailCache } from '../../broker-runtime/src/store/tail-cache.ts';
import type { WalEntry, WalGroup } from '../../broker-runtime/src/wal/wal.ts';

/** A group that counts its references; the memory is one buffer, entries back to back. */
class CountedGroup implements WalGroup {
  readonly durable = Promise.resolve();
  readonly sequence: number;
  readonly sizeBytes: number;
  readonly entries: readonly WalEntry[];
  references = 0;

  constructor(sequence: number, starts: readonly (readonly [streamId: number, baseOffset: number])[]) {
    const memory = new Uint8Array(starts.length * 10).fill(sequence);
    this.sequence = sequence;
    this.sizeBytes = memory.length;
    this.entries = starts.map(([streamId, baseOffset], n) => {
      const bytes = memory.subarray(n * 10, n * 10 + 10);
      return { streamId, baseOffset, count: 1, maxTimestampMs: 0, bytes };
    });
  }
  retain(): void {
    this.references++;
  }
  release(): void {
    this.references--;
  }
}

function read(cache: TailCache, streamId: number, from: number, maxBytes = 1000): number[] | undefined {
  const builder = new SliceBuilder(from, Number.MAX_SAFE_INTEGER, maxBytes);
  if (!cache.read(streamId, builder)) return undefined;
  const slice = builder.finish();
  slice.release();
  return slice.entries.map((entry) => entry.baseOffset);
}

describe('the tail cache', () => {
  test('evicts nothing that is not uploaded, however much memory is wanted (I27)', () => {
    const cache = new TailCache(1000);
    const groups = [0, 1, 2].map((n) => new CountedGroup(n, [[1, n]]));
    for (const group of groups) cache.add(group);
    expect(cache.evict(1000)).toBe(0);
    cache.markUploaded(1);
    expect(cache.evict(1000)).toBe(20);
    expect(groups.map((group) => group.references)).toEqual([0, 0, 1]);
    expect([read(cache, 1, 1), read(cache, 1, 2)]).toEqual([undefined, [2]]);
  });

  test('lets uploaded groups go when there are too many entries, oldest first', () => {
    const cache = new TailCache(2);
    for (let n = 0; n < 5; n++) cache.add(new CountedGroup(n, [[1, n]]));
    expect(cache.entryCount).toBe(5);
    cache.markUploaded(4);
    expect([cache.entryCount, read(cache, 1, 3)]).toEqual([2, [3, 4]]);
  });

  test('hands out neighbouring memory as one piece and keeps it alive until release', () => {
    const cache = new TailCache(1000);
    const group = new CountedGroup(
      0,
      [0, 1, 2].map((offset) => [1, offset]),
    );
    cache.add(group);
    const builder = new SliceBuilder(0, 100, 1000);
    cache.read(1, builder);
    const slice = builder.finish();
    cache.markUploaded(0);
    cache.evict(1000);
    expect([slice.pieces.length, slice.pieces[0]?.length, group.references]).toEqual([1, 30, 1]);
    slice.release();
    expect(group.references).toBe(0);
  });

  test('agrees with a plain list under adds, evictions and hiding', () => {
    const step = fc.oneof(
      fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }).map((streams) => ({ add: streams })),
      fc.nat(60).map((bytes) => ({ evict: bytes })),
      fc.record({ hide: fc.nat(2), part: fc.nat(10) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const cache = new TailCache(1000);
        const ends = [0, 0, 0];
        const listed: { group: number; streamId: number; offset: number }[] = [];
        let sequence = 0;
        let evicted = 0;
        for (const action of steps) {
          if ('add' in action) {
            const starts = action.add.map((streamId): [number, number] => {
              const offset = ends[streamId] ?? 0;
              ends[streamId] = offset + 1;
              listed.push({ group: sequence, streamId, offset });
              return [streamId, offset];
            });
            cache.add(new CountedGroup(sequence, starts));
            cache.markUploaded(sequence++);
          } else if ('evict' in action) {
            cache.evict(action.evict);
            evicted = sequence - cache.groupCount;
          } else {
            const below = Math.floor(((ends[action.hide] ?? 0) * action.part) / 10);
            cache.hide(action.hide, below);
            const kept = listed.filter((e) => e.streamId !== action.hide || e.offset >= below);
            listed.splice(0, listed.length, ...kept);
          }
          for (let streamId = 0; streamId < 3; streamId++) {
            const expected = listed.filter((e) => e.streamId === streamId && e.group >= evicted);
            const offsets = expected.map((e) => e.offset);
            const [first] = offsets;
            if (first === undefined) expect(cache.has(streamId, (ends[streamId] ?? 0) - 1)).toBe(false);
            else expect(read(cache, streamId, first)).toEqual(offsets);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
