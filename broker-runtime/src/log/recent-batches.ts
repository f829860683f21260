/** Batches whose sizes are known one by one; 2 KiB of memory when full. */
const MAX_RECENT = 128;
const INITIAL_RECENT = 16;
/** Sizes of batches that may not be in objects yet are summed up in steps of this. */
const TAIL_STEP_BYTES = 64 * 1024;

interface TailStep {
  /** When its first batch was appended. */
  readonly sinceMs: number;
  endOffset: number;
  sizeBytes: number;
}

/**
 * Sizes of the newest batches, kept so that a waiting fetch can be compared with its MinBytes, and the log's size
 * be told, without reading anything.
 */
export class RecentBatches {
  /** Rings: where a batch begins, and how many bytes were added before it. */
  #baseOffsets = new Float64Array(INITIAL_RECENT);
  #bytesBefore = new Float64Array(INITIAL_RECENT);
  #first = 0;
  #length = 0;
  #totalBytes = 0;
  readonly #tail: TailStep[] = [];
  #isTailSealed = false;

  /** A batch appended at `nowMs`, 'in-objects' when it is counted among the bytes of ranges already. */
  add(baseOffset: number, endOffset: number, sizeBytes: number, nowMs: number | 'in-objects'): void {
    if (this.#length === this.#baseOffsets.length) {
      if (this.#length < MAX_RECENT) this.#grow();
      else {
        this.#first = (this.#first + 1) % MAX_RECENT;
        this.#length--;
      }
    }
    const slot = (this.#first + this.#length) % this.#baseOffsets.length;
    this.#baseOffsets[slot] = baseOffset;
    this.#bytesBefore[slot] = this.#totalBytes;
    this.#length++;
    this.#totalBytes += sizeBytes;
    if (nowMs !== 'in-objects') this.#addToTail(endOffset, sizeBytes, nowMs);
  }

  /** Bytes of the batches in [from, until); undefined when `from` is older than the batches remembered. */
  bytesBetween(fromOffset: number, untilOffset: number): number | undefined {
    if (fromOffset >= untilOffset) return 0;
    if (this.#length === 0 || fromOffset < this.#baseOffset(0)) return undefined;
    // The batch that contains `from` counts whole, for it is read whole.
    const from = this.#firstAbove(fromOffset) - 1;
    const until = this.#firstAbove(untilOffset - 1);
    return this.#bytesBeforeBatch(until) - this.#bytesBeforeBatch(from);
  }

  /**
   * Bytes of the batches that end above `committedOffset`. Exact until a part of them is in objects, then at most
   * {@link TAIL_STEP_BYTES} too large.
   */
  bytesAbove(committedOffset: number): number {
    this.#dropTail(committedOffset);
    return this.#tail.reduce((sum, step) => sum + step.sizeBytes, 0);
  }

  /**
   * When the oldest batch that ends above `committedOffset` was appended, undefined when there is none. Too early
   * when a part of its step is in objects, but never earlier than the time this was asked last.
   */
  tailSinceMs(committedOffset: number): number | undefined {
    this.#dropTail(committedOffset);
    this.#isTailSealed = true;
    return this.#tail[0]?.sinceMs;
  }

  #dropTail(committedOffset: number): void {
    let first = 0;
    while ((this.#tail[first]?.endOffset ?? Infinity) <= committedOffset) first++;
    if (first > 0) this.#tail.splice(0, first);
  }

  #addToTail(endOffset: number, sizeBytes: number, sinceMs: number): void {
    const last = this.#tail.at(-1);
    if (last === undefined || last.sizeBytes >= TAIL_STEP_BYTES || this.#isTailSealed) {
      this.#isTailSealed = false;
      this.#tail.push({ sinceMs, endOffset, sizeBytes });
    } else {
      last.endOffset = endOffset;
      last.sizeBytes += sizeBytes;
    }
  }

  /** Index of the first remembered batch that begins above `offset`. */
  #firstAbove(offset: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#baseOffset(middle) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #baseOffset(index: number): number {
    return this.#baseOffsets[(this.#first + index) % this.#baseOffsets.length] ?? 0;
  }

  #bytesBeforeBatch(index: number): number {
    if (index >= this.#length) return this.#totalBytes;
    return this.#bytesBefore[(this.#first + index) % this.#bytesBefore.length] ?? 0;
  }

  /** Only ever called while the ring begins at slot 0: it turns when it no longer grows. */
  #grow(): void {
    const baseOffsets = new Float64Array(this.#length * 2);
    const bytesBefore = new Float64Array(this.#length * 2);
    baseOffsets.set(this.#baseOffsets);
    bytesBefore.set(this.#bytesBefore);
    this.#baseOffsets = baseOffsets;
    this.#bytesBefore = bytesBefore;
  }
}
