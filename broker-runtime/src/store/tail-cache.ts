import { invariant } from '../base/errors.ts';
import type { WalGroup } from '../wal/wal.ts';
import { EntryQueue } from './entry-queue.ts';
import type { SliceBuilder } from './slice.ts';

/**
 * The newest durable groups of the WAL, first in first out. Until a group is uploaded the cache is the only place
 * its bytes can be read from; afterwards it stays for tail consumers while memory lasts. The groups' memory is the
 * WAL's: nothing is copied here, the cache holds one reference per group.
 */
export class TailCache {
  readonly #maxEntries: number;
  readonly #streams = new Map<number, EntryQueue>();
  #groups: WalGroup[] = [];
  #head = 0;
  #entryCount = 0;
  #sizeBytes = 0;
  #uploadedSequence = -1;

  /** `maxEntries`: uploaded groups are let go beyond this, to bound the heap. */
  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get groupCount(): number {
    return this.#groups.length - this.#head;
  }

  /** Takes a durable group; groups come in sequence order. */
  add(group: WalGroup): void {
    group.retain();
    this.#groups.push(group);
    this.#sizeBytes += group.sizeBytes;
    this.#entryCount += group.entries.length;
    for (const entry of group.entries) {
      let queue = this.#streams.get(entry.streamId);
      if (queue === undefined) {
        queue = new EntryQueue();
        this.#streams.set(entry.streamId, queue);
      }
      queue.push(entry, group);
    }
    this.#trimEntries();
  }

  /** Everything up to this group is in committed objects (or of deleted streams): it may be evicted. */
  markUploaded(sequence: number): void {
    this.#uploadedSequence = sequence;
    this.#trimEntries();
  }

  /** True when the entry that contains `offset` is here. */
  has(streamId: number, offset: number): boolean {
    return this.#streams.get(streamId)?.find(offset) !== undefined;
  }

  /** Adds entries from the one that contains the builder's position on. False when that one is not cached. */
  read(streamId: number, into: SliceBuilder): boolean {
    const queue = this.#streams.get(streamId);
    const first = queue?.find(into.nextOffset);
    if (queue === undefined || first === undefined) return false;
    for (let n = first; ; n++) {
      const entry = queue.entry(n);
      const group = queue.group(n);
      if (entry === undefined || group === undefined || !into.addCached(entry, group)) return true;
    }
  }

  /** Lets uploaded groups go, oldest first, until `bytes` are given back. Returns what was given back. */
  evict(bytes: number): number {
    let freedBytes = 0;
    while (freedBytes < bytes) {
      const evicted = this.#evictFirst();
      if (evicted === 0) break;
      freedBytes += evicted;
    }
    return freedBytes;
  }

  /** The stream's entries below `offset` were replaced: readers must find the new ones in objects. */
  hide(streamId: number, offset: number): void {
    const queue = this.#streams.get(streamId);
    if (queue === undefined) return;
    for (let first = queue.entry(0); first !== undefined; first = queue.entry(0)) {
      if (first.baseOffset + first.count > offset) break;
      queue.dropFirst();
    }
    if (queue.length === 0) this.#streams.delete(streamId);
  }

  /** Releases every group; the cache is of no use afterwards. */
  close(): void {
    for (let n = this.#head; n < this.#groups.length; n++) this.#groups[n]?.release();
    this.#groups = [];
    this.#head = 0;
    this.#streams.clear();
    this.#sizeBytes = 0;
    this.#entryCount = 0;
  }

  #trimEntries(): void {
    while (this.#entryCount > this.#maxEntries) {
      if (this.#evictFirst() === 0) return;
    }
  }

  #evictFirst(): number {
    const group = this.#groups[this.#head];
    if (group === undefined || group.sequence > this.#uploadedSequence) return 0;
    this.#head++;
    if (this.#head * 2 >= this.#groups.length) {
      this.#groups = this.#groups.slice(this.#head);
      this.#head = 0;
    }
    for (const entry of group.entries) this.#forget(entry.streamId, group);
    this.#entryCount -= group.entries.length;
    this.#sizeBytes -= group.sizeBytes;
    invariant(this.#sizeBytes >= 0, 'I36', 'the tail cache counts less than nothing');
    group.release();
    return group.sizeBytes;
  }

  /** Groups leave in the order they came, so an entry is the first of its stream, unless it was hidden. */
  #forget(streamId: number, group: WalGroup): void {
    const queue = this.#streams.get(streamId);
    if (queue?.group(0) !== group) return;
    queue.dropFirst();
    if (queue.length === 0) this.#streams.delete(streamId);
  }
}
