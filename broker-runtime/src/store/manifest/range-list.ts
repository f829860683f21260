import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { invariant } from '../../base/errors.ts';
import { readUvarint, writeUvarint } from '../../base/varint.ts';
import type { StreamRange } from '../stream.ts';
import { MAX_RANGE_BYTES, putRange, RangeCursor } from './packed-range.ts';
import { RangeSum } from './range-sum.ts';

const FIRST_CAPACITY_BYTES = 64;
/** A lookup walks over at most twice so many ranges: a stream of a terabyte has ten thousand and more. */
const RANGES_PER_MARK = 64;
const NOTHING = new Uint8Array(0);

/** Where a range begins: in the stream, and in the list's memory. */
interface Mark {
  readonly startOffset: number;
  readonly position: number;
}

/**
 * The committed ranges of one stream, which tile [first start, last end) without gaps (I5). They lie in memory as they
 * do in a snapshot, about fifteen bytes each: every broker holds those of all streams, and a controller that writes a
 * snapshot copies them. Ranges leave at the front (trim), enter at the back (commit) and are swapped in the middle
 * (replace).
 */
export class RangeList implements Iterable<StreamRange> {
  readonly #streamId: number;
  #bytes = NOTHING;
  /** The packed ranges lie in [head, tail). */
  #head = 0;
  #tail = 0;
  #length = 0;
  #startOffset = 0;
  #endOffset = 0;
  /** Of every 64th range, made by the first lookup in a long list; undefined again when positions change. */
  #marks: Mark[] | undefined;
  /** Of the ranges in the list, kept up to date by the list itself. */
  readonly live = new RangeSum();

  constructor(streamId: number) {
    this.#streamId = streamId;
  }

  get length(): number {
    return this.#length;
  }

  [Symbol.iterator](): Iterator<StreamRange> {
    return this.from(-1)[Symbol.iterator]();
  }

  /** The ranges from the first one on that ends above `offset`. */
  *from(offset: number): Generator<StreamRange, undefined> {
    if (this.#length === 0 || offset >= this.#endOffset) return;
    const { position, startOffset } = this.#markBelow(offset);
    const cursor = this.#cursor(position, startOffset);
    while (!cursor.isAtEnd) {
      const range = cursor.next();
      if (range.endOffset > offset) yield range;
    }
  }

  /** The first range that ends above `offset`. */
  endingAbove(offset: number): StreamRange | undefined {
    for (const range of this.from(offset)) return range;
    return undefined;
  }

  push(range: StreamRange): void {
    if (this.#length === 0) this.#startOffset = range.startOffset;
    else this.#checkJoin(this.#endOffset, range.startOffset);
    this.#makeRoom();
    this.#tail = putRange(this.#bytes, this.#tail, range);
    this.#endOffset = range.endOffset;
    this.#length++;
    this.live.add(this.#streamId, range);
  }

  /** Takes the ranges out that end at or below `offset`: those at the front. */
  *shiftBelow(offset: number): Generator<StreamRange, undefined> {
    while (this.#length > 0) {
      const cursor = this.#cursor(this.#head, this.#startOffset);
      const range = cursor.next();
      if (range.endOffset > offset) return;
      this.#head = cursor.position;
      this.#startOffset = range.endOffset;
      this.#length--;
      this.live.subtract(this.#streamId, range);
      yield range;
    }
  }

  /** Puts `inserted` in the place of the ranges of [startOffset, endOffset), which they cover. Returns the old ones. */
  replace(
    { startOffset, endOffset }: { readonly startOffset: number; readonly endOffset: number },
    inserted: readonly StreamRange[],
  ): readonly StreamRange[] {
    const all = [...this];
    const first = all.findIndex((range) => range.startOffset === startOffset);
    const last = all.findIndex((range) => range.endOffset === endOffset);
    const removed = all.slice(first, last + 1);
    invariant(first >= 0 && last >= first, 'I5', 'replaced ranges stand in the stream', {
      streamId: this.#streamId,
      startOffset,
      endOffset,
    });
    const replaced = [...all.slice(0, first), ...inserted, ...all.slice(last + 1)];
    for (const [n, range] of replaced.entries()) {
      if (n > 0) this.#checkJoin(replaced[n - 1]?.endOffset, range.startOffset);
    }
    this.#checkJoin(this.#startOffset, replaced[0]?.startOffset);
    this.#checkJoin(this.#endOffset, replaced.at(-1)?.endOffset);
    this.#rewrite(replaced);
    for (const range of removed) this.live.subtract(this.#streamId, range);
    for (const range of inserted) this.live.add(this.#streamId, range);
    return removed;
  }

  /* In a snapshot: count, the start of the first range if there is one, then the packed ranges. */
  writeTo(writer: ByteWriter): void {
    writeUvarint(writer, this.#length);
    if (this.#length === 0) return;
    writeUvarint(writer, this.#startOffset);
    writer.raw(this.#bytes.subarray(this.#head, this.#tail));
  }

  /** Into an empty list. */
  readFrom(reader: ByteReader): void {
    const length = readUvarint(reader);
    if (length === 0) return;
    const startOffset = readUvarint(reader);
    const cursor = new RangeCursor(reader.bytes, reader.position, startOffset);
    for (let left = length; left > 0; left--) {
      const range = cursor.next();
      this.live.add(this.#streamId, range);
      this.#endOffset = range.endOffset;
    }
    this.#bytes = reader.slice(cursor.position - reader.position).slice();
    this.#head = 0;
    this.#tail = this.#bytes.length;
    this.#length = length;
    this.#startOffset = startOffset;
  }

  #cursor(position: number, startOffset: number): RangeCursor {
    return new RangeCursor(this.#bytes.subarray(0, this.#tail), position, startOffset);
  }

  /** The last mark at or below `offset`; the list is not empty. */
  #markBelow(offset: number): Mark {
    const front = { startOffset: this.#startOffset, position: this.#head };
    if (this.#length <= RANGES_PER_MARK || offset < this.#startOffset) return front;
    // The last one trimmed away: none of them is of use.
    if ((this.#marks?.at(-1)?.position ?? -1) < this.#head) this.#marks = [front];
    const marks = this.#marks ?? [front];
    this.#extend(marks);
    let low = 0;
    let high = marks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((marks[middle]?.startOffset ?? 0) <= offset) low = middle;
      else high = middle;
    }
    const mark = marks[low] ?? front;
    // Trimmed away since: what is left begins behind it.
    return mark.position < this.#head ? front : mark;
  }

  /** Marks what was pushed since. */
  #extend(marks: Mark[]): void {
    const last = marks.at(-1);
    if (last === undefined) return;
    const cursor = this.#cursor(last.position, last.startOffset);
    for (let n = 0; !cursor.isAtEnd; n++) {
      if (n === RANGES_PER_MARK) {
        marks.push({ startOffset: cursor.startOffset, position: cursor.position });
        n = 0;
      }
      cursor.next();
    }
  }

  #makeRoom(): void {
    if (this.#bytes.length - this.#tail >= MAX_RANGE_BYTES) return;
    const used = this.#tail - this.#head;
    // Half of the memory lies before the head: move down instead of growing.
    if (this.#head > used + MAX_RANGE_BYTES) {
      this.#bytes.copyWithin(0, this.#head, this.#tail);
    } else {
      const grown = new Uint8Array(Math.max(FIRST_CAPACITY_BYTES, used + MAX_RANGE_BYTES, used * 1.5));
      grown.set(this.#bytes.subarray(this.#head, this.#tail));
      this.#bytes = grown;
    }
    this.#head = 0;
    this.#tail = used;
    this.#marks = undefined;
  }

  #rewrite(ranges: readonly StreamRange[]): void {
    const bytes = new Uint8Array(ranges.length * MAX_RANGE_BYTES);
    let tail = 0;
    for (const range of ranges) tail = putRange(bytes, tail, range);
    this.#bytes = bytes.slice(0, tail);
    this.#head = 0;
    this.#tail = tail;
    this.#length = ranges.length;
    this.#marks = undefined;
  }

  #checkJoin(left: number | undefined, right: number | undefined): void {
    invariant(left === right, 'I5', 'the ranges of a stream tile it without gap or overlap', {
      streamId: this.#streamId,
      left,
      right,
    });
  }
}
