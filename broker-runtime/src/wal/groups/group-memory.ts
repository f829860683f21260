import type { Clock } from '../../ports/clock.ts';
import { Admission, worstCaseBytes } from './admission.ts';
import { GroupQueue } from './group-queue.ts';
import { SlabPool } from './slabs.ts';
import type { MemorySettings } from './memory-settings.ts';
import { EntryTooLargeError, type Patience } from '../wal.ts';

export interface GroupMemoryOptions {
  readonly settings: MemorySettings;
  readonly clock: Clock;
  /** Where a slab's memory comes from. */
  readonly allocate: (bytes: number) => Uint8Array;
  /** What the medium puts in front of a group's entries. */
  readonly headBytes: number;
  readonly firstSequence: number;
  /** The most that the medium can ever have room for. */
  readonly capacityBytes: number;
  /** Whether the medium has room for so many bytes, what is in the queue among them. */
  readonly hasRoom: (bytes: number) => boolean;
  /** Somebody waits, and the medium has no room. */
  readonly onRoomWanted?: () => void;
  /** As {@link WalListener.onMemoryWanted}. */
  readonly onMemoryWanted: (bytes: number) => void;
}

/**
 * The memory in which groups are filled, wait and are kept, and the line of those who wait for some of it, or for room
 * on the medium.
 */
export class GroupMemory {
  readonly queue: GroupQueue;
  readonly #options: GroupMemoryOptions;
  readonly #pool: SlabPool;
  readonly #admission: Admission;

  constructor(options: GroupMemoryOptions) {
    const { settings, clock } = options;
    this.#options = options;
    this.#pool = new SlabPool(options.allocate, settings.slabBytes, settings.slabCount, () => {
      this.#admission.admitWaiting();
    });
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
    if (waiting !== undefined) this.askForRoom();
    return waiting;
  }

  /** What the first in line needs; 0 when nobody waits. */
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

  /** When somebody waits, the medium is asked for room, or those who only cache for their memory: whatever is short. */
  askForRoom(): void {
    const { settings, onRoomWanted, onMemoryWanted } = this.#options;
    const bytes = this.#admission.wantedBytes;
    if (bytes === 0) return;
    if (!this.#hasRoom(bytes)) onRoomWanted?.();
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
    const { settings, capacityBytes } = this.#options;
    const { slabCount, slabBytes, maxEntryBytes, maxEntries } = settings;
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
