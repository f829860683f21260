import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import {
  OffsetOutOfRangeError,
  type ReadOptions,
  type Stream,
  type StreamEntry,
  type StreamRange,
  type StreamSlice,
} from '../../broker-runtime/src/store/stream.ts';
import { WalClosedError, type WalGroup } from '../../broker-runtime/src/wal/wal.ts';

/**
 * A `Stream` in memory that keeps the contract of store/stream.ts to the letter. The test decides when appended
 * entries become durable (`settle`), when they move into objects (`upload`), and what a crash leaves (`crash`).
 */
export class MemoryStream implements Stream {
  readonly id: number;
  /** Slices handed out and not yet given back: a leak when it is not zero at the end of a test. */
  slicesHeld = 0;
  /** Thrown (as a rejection) by the next reads. */
  readError: Error | undefined;
  /** Answers reads with a promise, as bytes from objects are. */
  asynchronous = false;
  /** Makes every append durable within the call. */
  autoSettle = false;
  #entries: StreamEntry[] = [];
  #ranges: StreamRange[] = [];
  #startOffset = 0;
  #endOffset = 0;
  #durableOffset = 0;
  #nextObjectId = 1;
  #failed: Error | undefined;
  #group: PendingGroup | undefined;
  readonly #pending: PendingGroup[] = [];
  readonly #listeners = new Set<(durableOffset: number) => void>();

  constructor(id: number) {
    this.id = id;
  }

  get startOffset(): number {
    return this.#startOffset;
  }
  get endOffset(): number {
    return this.#endOffset;
  }
  get durableOffset(): number {
    return this.#durableOffset;
  }
  get entries(): readonly StreamEntry[] {
    return this.#entries;
  }

  append(
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    knownCrc?: number,
  ): WalGroup {
    if (this.#failed !== undefined) throw new WalClosedError('the WAL failed', { cause: this.#failed });
    if (baseOffset !== this.#endOffset || count < 1) {
      throw new Error(`append at ${baseOffset} (${count} offsets), the stream ends at ${this.#endOffset}`);
    }
    if (knownCrc !== undefined && knownCrc !== crc32c(bytes))
      throw new Error('the CRC is not that of the bytes');
    // The WAL copies once: later changes of the caller's memory must not be seen.
    this.#entries.push({ baseOffset, count, maxTimestampMs, bytes: bytes.slice(), crc32c: knownCrc });
    this.#endOffset += count;
    this.#group ??= this.#openGroup();
    const { group } = this.#group;
    this.#group.endOffset = this.#endOffset;
    if (this.autoSettle) this.settle();
    return group;
  }

  /** Makes everything appended so far durable, as one WAL group. */
  settle(): void {
    this.sealGroup();
    while (this.#pending.length > 0) this.settleOneGroup();
  }

  /** Ends the group being filled: what follows is a group of its own. */
  sealGroup(): void {
    this.#group = undefined;
  }

  /** Makes the oldest group durable. */
  settleOneGroup(): void {
    const group = this.#pending.shift();
    if (group === undefined) return;
    if (group === this.#group) this.#group = undefined;
    this.#durableOffset = group.endOffset;
    for (const listener of this.#listeners) listener(this.#durableOffset);
    group.resolve();
  }

  /** The WAL failed: nothing becomes durable any more, nothing can be appended. */
  fail(error: Error): void {
    this.#failed = error;
    for (const group of this.#pending.splice(0)) group.reject(error);
  }

  read(
    fromOffset: number,
    maxBytes: number,
    options: ReadOptions = {},
  ): StreamSlice | undefined | Promise<StreamSlice | undefined> {
    if (fromOffset < this.#startOffset || fromOffset > this.#endOffset) {
      throw new OffsetOutOfRangeError(`${fromOffset} is outside ${this.#startOffset}..${this.#endOffset}`);
    }
    if (this.readError !== undefined) return Promise.reject(this.readError);
    const slice = this.#slice(
      fromOffset,
      maxBytes,
      Math.min(options.untilOffset ?? Infinity, this.#durableOffset),
    );
    return this.asynchronous ? Promise.resolve(slice) : slice;
  }

  onDurable(listener: (durableOffset: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  trim(newStartOffset: number): Promise<void> {
    if (newStartOffset > this.#startOffset) {
      this.#startOffset = newStartOffset;
      this.#entries = this.#entries.filter((entry) => entry.baseOffset + entry.count > newStartOffset);
      this.#ranges = this.#ranges.filter((range) => range.endOffset > newStartOffset);
    }
    return Promise.resolve();
  }

  ranges(): readonly StreamRange[] {
    return this.#ranges;
  }

  /** Moves durable entries that are only in the WAL into one object. */
  upload(): void {
    const startOffset = this.#ranges.at(-1)?.endOffset ?? this.#startOffset;
    const entries = this.#entries.filter(
      (entry) => entry.baseOffset + entry.count > startOffset && entry.baseOffset < this.#durableOffset,
    );
    if (entries.length > 0) this.#ranges.push(this.#range(startOffset, this.#durableOffset, entries));
  }

  async replace(startOffset: number, endOffset: number, entries: AsyncIterable<StreamEntry>): Promise<void> {
    const replaced = this.#ranges.filter((r) => r.startOffset >= startOffset && r.endOffset <= endOffset);
    if (replaced[0]?.startOffset !== startOffset || replaced.at(-1)?.endOffset !== endOffset) {
      throw new Error(`${startOffset}..${endOffset} does not tile committed ranges`);
    }
    const fresh: StreamEntry[] = [];
    let last = startOffset;
    for await (const entry of entries) {
      const first = Math.max(entry.baseOffset, this.#startOffset);
      if (first < last || entry.baseOffset + entry.count > endOffset) {
        throw new Error(
          `entry ${entry.baseOffset}+${entry.count} is out of order or outside ${startOffset}..${endOffset}`,
        );
      }
      last = entry.baseOffset + entry.count;
      fresh.push({ ...entry, bytes: entry.bytes.slice() });
    }
    if (!replaced.every((range) => this.#ranges.includes(range)))
      throw new Error('the ranges changed meanwhile');
    this.#entries = [
      ...this.#entries.filter((entry) => entry.baseOffset + entry.count <= startOffset),
      ...fresh,
      ...this.#entries.filter((entry) => entry.baseOffset >= endOffset),
    ];
    this.#ranges.splice(
      this.#ranges.indexOf(replaced[0]),
      replaced.length,
      this.#range(startOffset, endOffset, fresh),
    );
  }

  flush(): Promise<void> {
    this.settle();
    this.upload();
    return Promise.resolve();
  }

  /** What the next process finds: durable entries and, of the rest, the first `keepGroups` groups that made it. */
  crash(keepGroups = 0): MemoryStream {
    const survivor = new MemoryStream(this.id);
    survivor.#endOffset = this.#pending[keepGroups - 1]?.endOffset ?? this.#durableOffset;
    if (keepGroups > this.#pending.length) survivor.#endOffset = this.#endOffset;
    survivor.#durableOffset = survivor.#endOffset;
    survivor.#startOffset = this.#startOffset;
    survivor.#entries = this.#entries.filter((entry) => entry.baseOffset < survivor.#endOffset);
    survivor.#ranges = [...this.#ranges];
    survivor.#nextObjectId = this.#nextObjectId;
    survivor.autoSettle = this.autoSettle;
    survivor.asynchronous = this.asynchronous;
    return survivor;
  }

  /** Flips one byte of the stored entry at `index`. */
  damage(index: number, at: number): void {
    const entry = this.#entries[index];
    if (entry !== undefined) entry.bytes[at] = (entry.bytes[at] ?? 0) ^ 0xff;
  }

  #openGroup(): PendingGroup {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    // A group whose batches nobody waits for (acks=0) must not end the process when the WAL fails.
    promise.catch(() => undefined);
    const nothing = (): void => undefined;
    const group: WalGroup = {
      sequence: 0,
      sizeBytes: 0,
      entries: [],
      durable: promise,
      retain: nothing,
      release: nothing,
    };
    const pending = { group, endOffset: this.#endOffset, resolve: () => resolve(undefined), reject };
    this.#pending.push(pending);
    return pending;
  }

  #range(startOffset: number, endOffset: number, entries: readonly StreamEntry[]): StreamRange {
    return {
      startOffset,
      endOffset,
      sizeBytes: entries.reduce((sum, entry) => sum + entry.bytes.length, 0),
      maxTimestampMs: Math.max(-1, ...entries.map((entry) => entry.maxTimestampMs)),
      objectId: this.#nextObjectId++,
    };
  }

  #slice(fromOffset: number, maxBytes: number, untilOffset: number): StreamSlice | undefined {
    const entries: StreamEntry[] = [];
    let sizeBytes = 0;
    let nextOffset = fromOffset;
    for (let at = this.#indexOf(fromOffset); at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry === undefined || entry.baseOffset >= untilOffset) break;
      if (entries.length > 0 && sizeBytes + entry.bytes.length > maxBytes) break;
      entries.push(entry);
      sizeBytes += entry.bytes.length;
      nextOffset = entry.baseOffset + entry.count;
    }
    if (entries.length === 0) return undefined;
    this.slicesHeld++;
    let released = false;
    return {
      entries,
      pieces: entries.map((entry) => entry.bytes),
      sizeBytes,
      nextOffset,
      release: () => {
        if (released) throw new Error('a slice was released twice');
        released = true;
        this.slicesHeld--;
      },
    };
  }

  /** Index of the first entry that ends above `offset`. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && entry.baseOffset + entry.count > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

interface PendingGroup {
  readonly group: WalGroup;
  endOffset: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}
