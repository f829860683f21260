import { crc32c, extendCrc32c } from '../../base/crc32c.ts';
import { invariant } from '../../base/errors.ts';
import type { WalEntry, WalGroup } from '../wal.ts';
import {
  ENTRY_HEADER_BYTES,
  GROUP_HEADER_BYTES,
  writeEntryHeader,
  writeGroupHeader,
} from './group-layout.ts';
import { alignUp } from './ring.ts';
import type { Slab, SlabPool } from './slabs.ts';

/** What a header says about the moment of writing, as against what the group knows itself. */
export interface WriteStamp {
  readonly deviceIndex: number;
  readonly logId: Uint8Array;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly position: number;
  readonly ackedUpTo: number;
}

/** A group in memory. Always the last one of its slab while it is filled. */
export class Group implements WalGroup {
  readonly sequence: number;
  readonly entries: WalEntry[] = [];
  readonly durable: Promise<void>;
  /** The device has it; set by the writer, which acknowledges in order. */
  written = false;
  readonly #settle: { resolve: () => void; reject: (error: Error) => void };
  readonly #pool: SlabPool;
  readonly #slab: Slab;
  readonly #start: number;
  #end: number;
  /** CRC of the payload as far as `#checkedEnd`; the rest is read when the group is sealed. */
  #payloadCrc = 0;
  #checkedEnd: number;
  /** The WAL's own reference: released when the group is durable. */
  #references = 1;

  /** `headBytes` are left free in front of the entries, for the header of the medium. */
  constructor(sequence: number, pool: SlabPool, slab: Slab, headBytes: number) {
    this.sequence = sequence;
    this.#pool = pool;
    this.#slab = slab;
    this.#start = slab.cursor;
    this.#end = this.#start + headBytes;
    this.#checkedEnd = this.#end;
    slab.cursor = alignUp(this.#end);
    pool.hold(slab);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.durable = promise;
    this.#settle = {
      resolve: () => {
        resolve(undefined);
      },
      reject,
    };
    // Callers with acks=0 await nobody's durability; a failure must not end the process through them.
    promise.catch(() => undefined);
  }

  get sizeBytes(): number {
    return alignUp(this.#end) - this.#start;
  }

  /** Bytes of header and entries, without padding. */
  get contentBytes(): number {
    return this.#end - this.#start;
  }

  /** Whether an entry of `lengthBytes` still fits behind the others in the slab. */
  fitsInSlab(lengthBytes: number): boolean {
    return alignUp(this.#end + ENTRY_HEADER_BYTES + lengthBytes) <= this.#slab.bytes.length;
  }

  append(
    streamId: number,
    baseOffset: number,
    count: number,
    maxTimestampMs: number,
    bytes: Uint8Array,
    knownCrc?: number,
  ): void {
    const { bytes: memory, view } = this.#slab;
    const bytesAt = this.#end + ENTRY_HEADER_BYTES;
    const end = bytesAt + bytes.length;
    memory.set(bytes, bytesAt);
    const copy = memory.subarray(bytesAt, end);
    const entry = { streamId, baseOffset, count, maxTimestampMs, bytes: copy, crc32c: knownCrc };
    writeEntryHeader(view, this.#end, entry, bytes.length);
    if (knownCrc !== undefined) {
      const before = crc32c(memory.subarray(this.#checkedEnd, bytesAt), this.#payloadCrc);
      this.#payloadCrc = extendCrc32c(before, copy, knownCrc);
      this.#checkedEnd = end;
    }
    this.entries.push(entry);
    this.#pool.entryCount++;
    this.#end = end;
    this.#slab.cursor = alignUp(end);
  }

  /** Completes the bytes on the way to the device: header in front, zeros behind. */
  seal(stamp: WriteStamp): Uint8Array {
    const { bytes: memory, view } = this.#slab;
    const payloadAt = this.#start + GROUP_HEADER_BYTES;
    const paddedEnd = alignUp(this.#end);
    writeGroupHeader(memory, view, this.#start, {
      ...stamp,
      sequence: this.sequence,
      entryCount: this.entries.length,
      payloadBytes: this.#end - payloadAt,
      payloadCrc: this.#finishCrc(),
    });
    // The slab was used before: what another group left there does not go to the device again.
    memory.fill(0, this.#end, paddedEnd);
    return memory.subarray(this.#start, paddedEnd);
  }

  /** Head and entries, without padding, for a medium that has a header of its own: it fills the head. */
  sealContent(): { readonly bytes: Uint8Array; readonly payloadCrc: number } {
    return { bytes: this.#slab.bytes.subarray(this.#start, this.#end), payloadCrc: this.#finishCrc() };
  }

  acknowledge(): void {
    this.#settle.resolve();
    this.release();
  }

  /** The memory stays held: the device may still be reading it. */
  fail(error: Error): void {
    this.#settle.reject(error);
  }

  retain(): void {
    invariant(this.#references > 0, 'I34', 'a WAL group was retained after its memory was given back', {
      sequence: this.sequence,
    });
    this.#references++;
  }

  release(): void {
    this.#references--;
    invariant(this.#references >= 0, 'I34', 'a WAL group was released more often than retained', {
      sequence: this.sequence,
    });
    if (this.#references === 0) this.#pool.release(this.#slab, this.entries.length);
  }

  #finishCrc(): number {
    return crc32c(this.#slab.bytes.subarray(this.#checkedEnd, this.#end), this.#payloadCrc);
  }
}
