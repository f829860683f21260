import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../broker-runtime/src/base/bytes.ts';
import { InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import { RangeList } from '../../broker-runtime/src/store/manifest/range-list.ts';
import type { StreamRange } from '../../broker-runtime/src/store/stream.ts';

type Step =
  | { readonly kind: 'push'; readonly count: number; readonly length: number }
  | { readonly kind: 'trim'; readonly share: number }
  | { readonly kind: 'merge'; readonly from: number; readonly count: number }
  | { readonly kind: 'look'; readonly share: number }
  | { readonly kind: 'restore' };

const share = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('push' as const),
    // More than two marks' worth, so that lookups begin in the middle.
    count: fc.integer({ min: 1, max: 200 }),
    length: fc.integer({ min: 1, max: 2 ** 40 }),
  }),
  fc.record({ kind: fc.constant('trim' as const), share }),
  fc.record({
    kind: fc.constant('merge' as const),
    from: fc.nat(400),
    count: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({ kind: fc.constant('look' as const), share }),
  fc.record({ kind: fc.constant('restore' as const) }),
);

let nextObjectId = 1;

function following(ranges: readonly StreamRange[], firstOffset: number, length: number): StreamRange {
  const startOffset = ranges.at(-1)?.endOffset ?? firstOffset;
  const objectId = nextObjectId++;
  return {
    startOffset,
    endOffset: startOffset + length,
    sizeBytes: length * 3,
    maxTimestampMs: objectId % 5 === 0 ? -1 : 1_767_225_600_000 + objectId,
    objectId,
  };
}

function copy(list: RangeList): RangeList {
  const writer = new ByteWriter();
  list.writeTo(writer);
  const restored = new RangeList(1);
  const reader = new ByteReader(writer.finish());
  restored.readFrom(reader);
  expect(reader.remaining).toBe(0);
  return restored;
}

describe('the ranges of a stream', () => {
  test('are what an array of them would hold, whatever enters, leaves and is merged', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let list = new RangeList(1);
        let model: StreamRange[] = [];
        let endOffset = 7;
        for (const one of steps) {
          const startOffset = model[0]?.startOffset ?? endOffset;
          const at = (part: number): number => startOffset + Math.floor((endOffset - startOffset) * part);
          if (one.kind === 'push') {
            for (let n = 0; n < one.count; n++) {
              const range = following(model, endOffset, one.length);
              list.push(range);
              model.push(range);
              endOffset = range.endOffset;
            }
          } else if (one.kind === 'trim') {
            const offset = at(one.share);
            const gone = model.filter((range) => range.endOffset <= offset);
            expect([...list.shiftBelow(offset)]).toEqual(gone);
            model = model.slice(gone.length);
          } else if (one.kind === 'merge') {
            const old = model.slice(one.from, one.from + one.count);
            const [first, last] = [old[0], old.at(-1)];
            if (first === undefined || last === undefined) continue;
            const merged = { ...last, startOffset: first.startOffset, objectId: nextObjectId++ };
            expect(list.replace(merged, [merged])).toEqual(old);
            model.splice(one.from, old.length, merged);
          } else if (one.kind === 'look') {
            const offset = at(one.share);
            const found = model.filter((range) => range.endOffset > offset);
            expect(list.endingAbove(offset)).toEqual(found[0]);
            expect([...list.from(offset)]).toEqual(found);
          } else {
            const restored = copy(list);
            expect([restored.live.high, restored.live.low]).toEqual([list.live.high, list.live.low]);
            list = restored;
          }
          expect(list.length).toBe(model.length);
        }
        expect([...list]).toEqual(model);
      }),
      { numRuns: 200 },
    );
  });

  test('never have a gap or an overlap', () => {
    const list = new RangeList(1);
    const range = following([], 0, 10);
    list.push(range);
    expect(() => list.push({ ...range, startOffset: 11, endOffset: 12 })).toThrow(InvariantViolation);
    expect(() => list.replace(range, [{ ...range, endOffset: 9 }])).toThrow(InvariantViolation);
    expect(() => list.replace({ startOffset: 0, endOffset: 9 }, [range])).toThrow(InvariantViolation);
    expect(() => list.replace(range, [])).toThrow(InvariantViolation);
    expect([...list]).toEqual([range]);
  });
});
