import { EntryTooLargeError } from '../wal.ts';
import { ENTRY_HEADER_BYTES } from './entry-layout.ts';
import { Group } from './group.ts';
import { alignUp, type SlabPool } from './slabs.ts';

/**
 * Groups on their way to the medium, oldest first. The last one is still being filled: it takes entries until the
 * writer has a slot for it or it holds `groupBytes`. So an idle WAL writes small groups at once and a busy one
 * fills them by itself, without a timer (measured: a window of 1 ms costs 0.5 ms at the median).
 */
export class GroupQueue {
  readonly #pool: SlabPool;
  readonly #groupBytes: number;
  readonly #maxEntryBytes: number;
  readonly #headBytes: number;
  readonly #groups: Group[] = [];
  #filling: Group | undefined;
  #closedBytes = 0;
  #nextSequence: number;

  constructor(
    pool: SlabPool,
    groupBytes: number,
    maxEntryBytes: number,
    firstSequence: number,
    headBytes: number,
  ) {
    this.#pool = pool;
    this.#groupBytes = groupBytes;
    this.#maxEntryBytes = maxEntryBytes;
    this.#nextSequence = firstSequence;
    this.#headBytes = headBytes;
  }

  /** The next group to write. */
  get first(): Group | undefined {
    return this.#groups[0];
  }

  /** Takes {@link first} for writing: it takes no more entries. */
  shift(): void {
    const group = this.#groups.shift();
    if (group === this.#filling) this.#filling = undefined;
    else this.#closedBytes -= group?.sizeBytes ?? 0;
  }

  get sizeBytes(): number {
    return this.#closedBytes + (this.#filling?.sizeBytes ?? 0);
  }

  append(
    streamId: number,
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    crc32c?: number,
  ): Group {
    const group = this.#groupFor(bytes.length);
    group.append(streamId, baseOffset, count, maxTimestampMs, bytes, crc32c);
    return group;
  }

  /** Empties the queue. */
  drop(): Group[] {
    this.#filling = undefined;
    this.#closedBytes = 0;
    return this.#groups.splice(0);
  }

  #groupFor(lengthBytes: number): Group {
    if (lengthBytes > this.#maxEntryBytes) {
      throw new EntryTooLargeError(
        `an entry of ${lengthBytes} bytes, at most ${this.#maxEntryBytes} are allowed; raise maxEntryBytes of the WAL`,
      );
    }
    const filling = this.#filling;
    if (
      filling !== undefined &&
      filling.contentBytes + ENTRY_HEADER_BYTES + lengthBytes <= this.#groupBytes &&
      filling.fitsInSlab(lengthBytes)
    ) {
      return filling;
    }
    this.#closedBytes += filling?.sizeBytes ?? 0;
    const slab = this.#pool.slabFor(alignUp(this.#headBytes + ENTRY_HEADER_BYTES + lengthBytes));
    const group = new Group(this.#nextSequence++, this.#pool, slab, this.#headBytes);
    this.#groups.push(group);
    this.#filling = group;
    return group;
  }
}
