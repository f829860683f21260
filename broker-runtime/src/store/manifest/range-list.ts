import { invariant } from '../../base/errors.ts';
import type { StreamRange } from '../stream.ts';
import { RangeSum } from './range-sum.ts';

/** Columns of one range: start, end, size, newest timestamp, object. */
const COLUMNS = 5;
const FIRST_CAPACITY = 4;

/**
 * The committed ranges of one stream, which tile [first start, last end) without gaps (I5). Forty bytes a range in
 * one array instead of an object each: a broker may hold millions of them. Ranges leave at the front (trim), enter
 * at the back (commit) and are swapped in the middle (replace).
 */
export class RangeList {
  readonly #streamId: number;
  #columns = new Float64Array(0);
  #head = 0;
  #length = 0;
  /** Of the ranges in the list, kept up to date by the list itself. */
  readonly live = new RangeSum();

  constructor(streamId: number) {
    this.#streamId = streamId;
  }

  get length(): number {
    return this.#length;
  }

  at(index: number): StreamRange {
    invariant(index >= 0 && index < this.#length, 'I5', 'a range index lies in the list', { index });
    const at = (this.#head + index) * COLUMNS;
    const columns = this.#columns;
    return {
      startOffset: columns[at] ?? 0,
      endOffset: columns[at + 1] ?? 0,
      sizeBytes: columns[at + 2] ?? 0,
      maxTimestampMs: columns[at + 3] ?? 0,
      objectId: columns[at + 4] ?? 0,
    };
  }

  /** Index of the first range that ends above `offset`; the length when there is none. */
  firstEndingAbove(offset: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#columns[(this.#head + middle) * COLUMNS + 1] ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  push(range: StreamRange): void {
    if (this.#length > 0) this.#checkJoin(this.at(this.#length - 1).endOffset, range.startOffset);
    this.#makeRoom();
    this.#write(this.#head + this.#length, range);
    this.#length++;
    this.live.add(this.#streamId, range);
  }

  /** Takes the first range out. */
  shift(): StreamRange {
    const range = this.at(0);
    this.#head++;
    this.#length--;
    this.live.subtract(this.#streamId, range);
    return range;
  }

  /** Puts `inserted` in the place of `count` ranges from `index` on; both cover the same offsets. Returns the old ones. */
  replace(index: number, count: number, inserted: readonly StreamRange[]): readonly StreamRange[] {
    const removed = Array.from({ length: count }, (_, n) => this.at(index + n));
    this.#checkJoin(removed[0]?.startOffset, inserted[0]?.startOffset);
    this.#checkJoin(removed.at(-1)?.endOffset, inserted.at(-1)?.endOffset);
    const tailFrom = (this.#head + index + count) * COLUMNS;
    const tail = this.#columns.slice(tailFrom, (this.#head + this.#length) * COLUMNS);
    this.#length = index;
    for (const range of removed) this.live.subtract(this.#streamId, range);
    for (const range of inserted) this.push(range);
    const tailCount = tail.length / COLUMNS;
    while (this.#capacity - this.#head - this.#length < tailCount) this.#grow();
    this.#columns.set(tail, (this.#head + this.#length) * COLUMNS);
    this.#length += tailCount;
    return removed;
  }

  get #capacity(): number {
    return this.#columns.length / COLUMNS;
  }

  #makeRoom(): void {
    if (this.#head + this.#length < this.#capacity) return;
    // Half of the array lies before the head: move down instead of growing.
    if (this.#head > this.#length) {
      this.#columns.copyWithin(0, this.#head * COLUMNS, (this.#head + this.#length) * COLUMNS);
      this.#head = 0;
    } else {
      this.#grow();
    }
  }

  #grow(): void {
    const grown = new Float64Array(Math.max(FIRST_CAPACITY, this.#capacity * 2) * COLUMNS);
    grown.set(this.#columns);
    this.#columns = grown;
  }

  #write(slot: number, range: StreamRange): void {
    const at = slot * COLUMNS;
    this.#columns[at] = range.startOffset;
    this.#columns[at + 1] = range.endOffset;
    this.#columns[at + 2] = range.sizeBytes;
    this.#columns[at + 3] = range.maxTimestampMs;
    this.#columns[at + 4] = range.objectId;
  }

  #checkJoin(left: number | undefined, right: number | undefined): void {
    invariant(left === right, 'I5', 'the ranges of a stream tile it without gap or overlap', {
      streamId: this.#streamId,
      left,
      right,
    });
  }
}
