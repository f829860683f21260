import { invariant } from '../base/errors.ts';
import type { Wal, WalEntry, WalGroup } from '../wal/wal.ts';
import type { Manifest } from './manifest.ts';
import type { RangeRewriter } from './range-rewriter.ts';
import { SliceBuilder } from './slice.ts';
import { OffsetOutOfRangeError, UnknownStreamError } from './stream.ts';
import type { ReadOptions, Stream, StreamEntry, StreamRange, StreamSlice } from './stream.ts';
import type { StreamReader } from './stream-reader.ts';
import type { TailCache } from './tail-cache.ts';
import type { Uploader } from './uploader.ts';

/** What all streams of a store share. */
export interface StreamServices {
  readonly wal: Wal;
  readonly manifest: Manifest;
  readonly tail: TailCache;
  readonly reader: StreamReader;
  readonly uploader: Uploader;
  readonly rewriter: RangeRewriter;
}

/** One stream as its owner uses it. Where it begins and what is committed the manifest knows; the rest is here. */
export class StreamHandle implements Stream {
  readonly id: number;
  readonly #services: StreamServices;
  readonly #listeners = new Set<(durableOffset: number) => void>();
  #endOffset: number;
  #durableOffset: number;
  #lastSequence = -1;
  /** Set while the group under completion moved this stream and its listeners were not told yet. */
  #isDirty = false;

  constructor(id: number, services: StreamServices) {
    this.id = id;
    this.#services = services;
    this.#endOffset = services.manifest.committedOffset(id);
    this.#durableOffset = this.#endOffset;
  }

  /** A deleted stream has nothing to read: it begins at its end. */
  get startOffset(): number {
    const { manifest } = this.#services;
    return manifest.hasStream(this.id) ? manifest.startOffset(this.id) : this.#endOffset;
  }
  get endOffset(): number {
    return this.#endOffset;
  }
  get durableOffset(): number {
    return this.#durableOffset;
  }
  /** The group of the newest append, -1 before the first. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  append(
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): WalGroup {
    invariant(baseOffset === this.#endOffset && count > 0, 'I3', 'an append begins where the stream ends', {
      streamId: this.id,
      baseOffset,
      count,
      endOffset: this.#endOffset,
    });
    const group = this.#services.wal.append(this.id, baseOffset, count, maxTimestampMs, bytes, crc32c);
    this.#endOffset = baseOffset + count;
    this.#lastSequence = group.sequence;
    return group;
  }

  read(
    fromOffset: number,
    maxBytes: number,
    options?: ReadOptions,
  ): StreamSlice | undefined | Promise<StreamSlice | undefined> {
    const { startOffset } = this;
    if (fromOffset < startOffset || fromOffset > this.#endOffset) {
      throw new OffsetOutOfRangeError(
        `offset ${fromOffset} is outside of stream ${this.id}, which has [${startOffset}, ${this.#endOffset})`,
      );
    }
    const untilOffset = Math.min(options?.untilOffset ?? this.#durableOffset, this.#durableOffset);
    if (fromOffset >= untilOffset) return undefined;
    const builder = new SliceBuilder(fromOffset, untilOffset, maxBytes);
    if (this.#services.tail.read(this.id, builder)) return builder.finish();
    return this.#services.reader.read({
      streamId: this.id,
      fromOffset,
      untilOffset,
      maxBytes,
      purpose: options?.purpose,
    });
  }

  onDurable(listener: (durableOffset: number) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async trim(newStartOffset: number): Promise<void> {
    const { manifest } = this.#services;
    if (newStartOffset > this.#durableOffset) {
      throw new OffsetOutOfRangeError(
        `stream ${this.id} is durable up to ${this.#durableOffset}, it cannot begin at ${newStartOffset}`,
      );
    }
    // Also when it begins there already: that trim may be on its way to the log still, and this waits for it.
    // A trim into the WAL would leave ranges to be committed below the start: they are committed first.
    if (newStartOffset > manifest.committedOffset(this.id)) await this.flush();
    await manifest.trimStream(this.id, newStartOffset);
  }

  ranges(): readonly StreamRange[] {
    const { manifest } = this.#services;
    return manifest.hasStream(this.id) ? manifest.ranges(this.id) : [];
  }

  async replace(startOffset: number, endOffset: number, entries: AsyncIterable<StreamEntry>): Promise<void> {
    const { rewriter, tail } = this.#services;
    await rewriter.rewrite(this.id, () => {
      const ranges = this.ranges().filter(
        (range) => range.startOffset >= startOffset && range.endOffset <= endOffset,
      );
      if (ranges[0]?.startOffset !== startOffset || ranges.at(-1)?.endOffset !== endOffset) {
        throw new OffsetOutOfRangeError(
          `[${startOffset}, ${endOffset}) are not whole committed ranges of stream ${this.id}; take bounds from ranges()`,
        );
      }
      return { streamId: this.id, ranges, entries, memory: 'borrowed' };
    });
    tail.hide(this.id, endOffset);
  }

  flush(): Promise<void> {
    return this.#services.uploader.flush(this.#lastSequence);
  }

  /** An entry of this stream is durable. Returns true for the first one since {@link notify}. */
  advance(entry: WalEntry): boolean {
    invariant(entry.baseOffset === this.#durableOffset, 'I3', 'entries become durable in offset order', {
      streamId: this.id,
      baseOffset: entry.baseOffset,
      durableOffset: this.#durableOffset,
    });
    this.#durableOffset = entry.baseOffset + entry.count;
    const isFirst = !this.#isDirty;
    this.#isDirty = true;
    return isFirst;
  }

  notify(): void {
    this.#isDirty = false;
    for (const listener of this.#listeners) listener(this.#durableOffset);
  }
}

export function unknownStream(streamId: number): UnknownStreamError {
  return new UnknownStreamError(`there is no stream ${streamId}; it was deleted or never created`);
}
