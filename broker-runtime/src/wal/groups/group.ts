import { crc32c, extendCrc32c } from '../../base/crc32c.ts';
import { invariant } from '../../base/errors.ts';
import type { WalEntry, WalGroup } from '../wal.ts';
import { ENTRY_HEADER_BYTES, writeEntryHeader } from './entry-layout.ts';
import { alignUp, type Slab, type SlabPool } from './slabs.ts';

/** A group that takes no more entries, on its way to the medium. */
export interface SealedGroup {
  /** From the head, which the medium fills, to the end of the block in which the last entry ends. */
  readonly bytes: Uint8Array;
  /** Of head and entries, without the padding. */
  readonly contentBytes: number;
  readonly payloadCrc: number;
}

/** A group in memory. Always the last one of its slab while it is filled. */
export class Group implements WalGroup {
  readonly sequence: number;
  readonly entries: WalEntry[] = [];
  readonly durable: Promise<void>;
  /** The medium has it; set by the writer, which acknowledges in order. */
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

  seal(): SealedGroup {
    const { bytes: memory } = this.#slab;
    const paddedEnd = alignUp(this.#end);
    // The slab was used before: what another group left there does not go to the medium again.
    memory.fill(0, this.#end, paddedEnd);
    return {
      bytes: memory.subarray(this.#start, paddedEnd),
      contentBytes: this.contentBytes,
      payloadCrc: crc32c(memory.subarray(this.#checkedEnd, this.#end), this.#payloadCrc),
    };
  }

  acknowledge(): void {
    this.#settle.resolve();
    this.release();
  }

  /** The memory stays held: the medium may still be reading it. */
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
}
