import { CorruptionError } from '../../base/errors.ts';
import { ByteReader } from '../../base/bytes.ts';
import type { StreamEntry } from '../stream.ts';
import { guarded, openUnit } from './checked.ts';
import { BLOCK_ENTRY_BYTES, BLOCK_HEADER_BYTES, BLOCK_MAGIC, CRC_AT } from './layout.ts';
import type { BlockRef } from './layout.ts';

/**
 * One block in memory, checked when it was filled (I32). Fields are read in place: a block of a thousand entries
 * is one buffer and one table of payload positions.
 */
export class Block {
  readonly entryCount: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** Where the n-th entry's bytes begin; one more for the end of the last. */
  readonly #payloadAt: Uint32Array;

  /** @throws {CorruptionError} unless the bytes are exactly the block the index promised */
  constructor(bytes: Uint8Array, ref: BlockRef, objectId: number) {
    const where = `object ${objectId} at ${ref.position}`;
    if (bytes.length !== ref.length) {
      throw new CorruptionError(`the block of ${where} has ${bytes.length} bytes, expected ${ref.length}`);
    }
    const reader = openUnit(bytes, BLOCK_MAGIC, 'the block', where);
    const storedCrc = new ByteReader(bytes, CRC_AT).uint32();
    if (storedCrc !== ref.crc) {
      throw new CorruptionError(`the block of ${where} is not the one its index names: another checksum`);
    }
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#payloadAt = guarded('the block', where, () => readTable(reader, bytes, ref, objectId, where));
    this.entryCount = this.#payloadAt.length - 1;
  }

  baseOffset(n: number): number {
    return this.#int64(BLOCK_HEADER_BYTES + n * BLOCK_ENTRY_BYTES);
  }

  endOffset(n: number): number {
    return this.baseOffset(n) + this.#view.getUint32(BLOCK_HEADER_BYTES + n * BLOCK_ENTRY_BYTES + 16);
  }

  /** Where the n-th entry's bytes begin in {@link bytes}; n may be `entryCount` for the end. */
  payloadAt(n: number): number {
    return this.#payloadAt[n] ?? this.bytes.length;
  }

  entry(n: number): StreamEntry {
    const at = BLOCK_HEADER_BYTES + n * BLOCK_ENTRY_BYTES;
    return {
      baseOffset: this.#int64(at),
      count: this.#view.getUint32(at + 16),
      maxTimestampMs: this.#int64(at + 8),
      bytes: this.bytes.subarray(this.payloadAt(n), this.payloadAt(n + 1)),
    };
  }

  /** Number of the first entry that ends after `offset`; `entryCount` when there is none. */
  firstEntryAfter(offset: number): number {
    let low = 0;
    let high = this.entryCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.endOffset(middle) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #int64(at: number): number {
    return this.#view.getInt32(at) * 0x1_0000_0000 + this.#view.getUint32(at + 4);
  }
}

function readTable(
  reader: ByteReader,
  bytes: Uint8Array,
  ref: BlockRef,
  objectId: number,
  where: string,
): Uint32Array {
  reader.skip(2);
  const entryCount = reader.uint32();
  const foundObjectId = reader.safeInt64();
  const position = reader.safeInt64();
  const streamId = reader.safeInt64();
  const payloadBytes = reader.safeInt64();
  if (foundObjectId !== objectId || position !== ref.position || streamId !== ref.streamId) {
    throw new CorruptionError(
      `the block of ${where} belongs to stream ${streamId}, object ${foundObjectId} at ${position}; ` +
        `stream ${ref.streamId} was expected`,
    );
  }
  const payloadStart = BLOCK_HEADER_BYTES + entryCount * BLOCK_ENTRY_BYTES;
  if (payloadStart + payloadBytes !== bytes.length || entryCount === 0) {
    throw new CorruptionError(
      `the block of ${where} has ${entryCount} entries and ${payloadBytes} payload bytes in ${bytes.length}`,
    );
  }
  const payloadAt = new Uint32Array(entryCount + 1);
  let at = payloadStart;
  let offset = ref.startOffset;
  for (let n = 0; n < entryCount; n++) {
    const baseOffset = reader.safeInt64();
    reader.safeInt64();
    const count = reader.uint32();
    payloadAt[n] = at;
    at += reader.uint32();
    if (baseOffset < offset || count === 0) {
      throw new CorruptionError(
        `entry ${n} of the block of ${where} has base offset ${baseOffset} after ${offset}`,
      );
    }
    offset = baseOffset + count;
  }
  payloadAt[entryCount] = at;
  if (at !== bytes.length || offset !== ref.endOffset) {
    throw new CorruptionError(
      `the block of ${where} ends at byte ${at} and offset ${offset}, expected ${bytes.length} and ${ref.endOffset}`,
    );
  }
  return payloadAt;
}
