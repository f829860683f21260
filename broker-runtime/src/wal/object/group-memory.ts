import type { Clock } from '../../ports/clock.ts';
import { Admission, worstCaseBytes } from '../block/admission.ts';
import { GroupQueue } from '../block/group-queue.ts';
import { SlabPool } from '../block/slabs.ts';
import { EntryTooLargeError, type Patience } from '../wal.ts';
import type { ObjectWalSettings } from './options.ts';

export interface GroupMemoryOptions {
  readonly settings: ObjectWalSettings;
  readonly clock: Clock;
  readonly headBytes: number;
  readonly firstSequence: number;
  /** Whether the medium has room for so many bytes more than what is in the queue. */
  readonly hasRoom: (bytes: number) => boolean;
  readonly onMemoryWanted: (bytes: number) => void;
}

/** The memory in which groups are filled, wait and are kept, and the line of those who wait for some of it. */
export class GroupMemory {
  readonly queue: GroupQueue;
  readonly #options: GroupMemoryOptions;
  readonly #pool: SlabPool;
  readonly #admission: Admission;

  constructor(options: GroupMemoryOptions) {
    const { settings, clock } = options;
    this.#options = options;
    this.#pool = new SlabPool(
      (bytes) => new Uint8Array(bytes),
      settings.slabBytes,
      settings.slabCount,
      () => {
        this.#admission.admitWaiting();
      },
    );
    this.queue = new GroupQueue(
      this.#pool,
      settings.groupBytes,
      settings.maxEntryBytes,
      options.firstSequence,
      options.headBytes,
    );
    this.#admission = new Admission(
      (bytes, entryCount) => this.#hasMemory(bytes, entryCount) && this.#hasRoom(bytes),
      clock,
    );
  }

  /** As {@link Wal.admit}. */
  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined {
    const { settings, headBytes } = this.#options;
    const bytes = worstCaseBytes(
      payloadBytes,
      entryCount,
      settings.groupBytes,
      settings.slabBytes,
      headBytes,
    );
    this.#refuseWhatNeverFits(bytes, payloadBytes, entryCount);
    const waiting = this.#admission.enter(bytes, entryCount, patience);
    if (waiting !== undefined) this.askForMemory();
    return waiting;
  }

  get waitingBytes(): number {
    return this.#admission.wantedBytes;
  }

  /** The medium has more room. */
  admitWaiting(): void {
    this.#admission.admitWaiting();
  }

  rejectAll(error: Error): void {
    this.#admission.rejectAll(error);
  }

  /** When somebody waits for memory, those who only cache are asked for theirs. */
  askForMemory(): void {
    const { settings, onMemoryWanted } = this.#options;
    const bytes = this.#admission.wantedBytes;
    if (bytes === 0) return;
    if (this.#pool.entryCount + this.#admission.wantedEntries > settings.maxEntries) {
      // How many bytes have as many entries nobody knows: all that may go.
      onMemoryWanted(settings.slabCount * settings.slabBytes);
    } else if (!this.#hasMemory(bytes, 0)) {
      // One slab more than needed: groups are let go of one by one, and the first and last slab may stay held in part.
      onMemoryWanted((this.#slabsFor(bytes) + 1) * settings.slabBytes);
    }
  }

  #hasMemory(bytes: number, entryCount: number): boolean {
    if (this.#pool.entryCount + entryCount > this.#options.settings.maxEntries) return false;
    return bytes <= this.#pool.roomBytes || this.#slabsFor(bytes) <= this.#pool.emptySlabs;
  }

  #hasRoom(bytes: number): boolean {
    return this.#options.hasRoom(bytes + this.queue.sizeBytes);
  }

  /** What fits in one slab fits in a fresh one; else two neighbours, one of which began a new slab, exceed one together. */
  #slabsFor(bytes: number): number {
    const { slabBytes } = this.#options.settings;
    return bytes <= slabBytes ? 1 : Math.floor((2 * bytes) / slabBytes) + 1;
  }

  #refuseWhatNeverFits(bytes: number, payloadBytes: number, entryCount: number): void {
    const { slabCount, slabBytes, capacityBytes, maxEntryBytes, maxEntries } = this.#options.settings;
    if (
      this.#slabsFor(bytes) > slabCount ||
      bytes > capacityBytes ||
      (entryCount === 1 && payloadBytes > maxEntryBytes) ||
      entryCount > maxEntries
    ) {
      throw new EntryTooLargeError(
        `${payloadBytes} bytes in ${entryCount} entries can never be appended at once: an entry may have ` +
          `${maxEntryBytes} bytes, the WAL has ${slabCount} slabs of ${slabBytes} bytes, room for ${maxEntries} entries ` +
          `and a capacity of ${capacityBytes} bytes; send less in one request or give the WAL more memory`,
      );
    }
  }
}
