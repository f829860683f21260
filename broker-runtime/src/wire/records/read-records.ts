import { MillraceError } from '../../base/errors.ts';
import type { BatchHeader } from './batch-header.ts';
import { decompress, MAX_DECOMPRESSED_BYTES } from './compression.ts';

/** Records that are not what the header of their batch says: a producer's mistake, for the CRC was right. */
export class InvalidRecordsError extends MillraceError {
  readonly code = 'INVALID_RECORDS';
}

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/**
 * Walks over the records of a batch, without an object for each: `next()` moves on, the fields tell about the
 * record it stands on. Keys, values and headers are views made when asked for, into `payload`.
 *
 *   record  = length:varint attributes:int8 timestampDelta:varlong offsetDelta:varint
 *             keyLength:varint key valueLength:varint value headerCount:varint *header
 *   header  = keyLength:varint key:utf8 valueLength:varint value
 *   varint, varlong = zigzag, 7 bits a byte, at most 5 and 10 bytes; length -1 is null (not for a header's key)
 */
export class RecordCursor {
  readonly #payload: Uint8Array;
  readonly #baseOffset: number;
  readonly #baseTimestampMs: number;
  /** Set when all records share the append time of their batch. */
  readonly #logAppendTimeMs: number | undefined;
  readonly #recordCount: number;
  #position = 0;
  #read = 0;
  #recordEnd = 0;

  /** Offset of the current record. */
  offset = -1;
  timestampMs = -1;
  /** Bytes the current record takes in the payload, its length field included. */
  sizeBytes = 0;
  #keyAt = 0;
  #keyLength = -1;
  #valueAt = 0;
  #valueLength = -1;
  #headersAt = 0;

  /** `payload` is the batch's, decompressed. */
  constructor(header: BatchHeader, payload: Uint8Array) {
    this.#payload = payload;
    this.#baseOffset = header.baseOffset;
    this.#baseTimestampMs = header.baseTimestampMs;
    this.#logAppendTimeMs = header.isLogAppendTime ? header.maxTimestampMs : undefined;
    this.#recordCount = header.recordCount;
  }

  /** Moves to the next record; false after the last. @throws {InvalidRecordsError} */
  next(): boolean {
    if (this.#read === this.#recordCount) {
      if (this.#position !== this.#payload.length) {
        this.#fail(`${this.#payload.length - this.#position} bytes follow the last record`);
      }
      return false;
    }
    const start = this.#position;
    this.#recordEnd = this.#payload.length;
    const length = this.#varint();
    if (length < 0 || length > this.#payload.length - this.#position) this.#fail(`its length is ${length}`);
    this.#recordEnd = this.#position + length;
    this.#byte();
    const timestampDelta = this.#varlong();
    this.offset = this.#baseOffset + this.#varint();
    this.timestampMs = this.#logAppendTimeMs ?? this.#baseTimestampMs + timestampDelta;
    this.#keyLength = this.#length();
    this.#keyAt = this.#position;
    this.#skip(this.#keyLength);
    this.#valueLength = this.#length();
    this.#valueAt = this.#position;
    this.#skip(this.#valueLength);
    this.#headersAt = this.#position;
    const headerCount = this.#varint();
    // A header takes two bytes at least, so the count is bounded by the record.
    if (headerCount < 0 || headerCount * 2 > this.#recordEnd - this.#position) {
      this.#fail(`it claims ${headerCount} headers`);
    }
    for (let left = headerCount; left > 0; left--) {
      const keyLength = this.#length();
      if (keyLength < 0) this.#fail('a header has no key');
      this.#skip(keyLength);
      this.#skip(this.#length());
    }
    if (this.#position !== this.#recordEnd) {
      this.#fail(`${this.#recordEnd - this.#position} bytes of it are left over`);
    }
    this.sizeBytes = this.#recordEnd - start;
    this.#read++;
    return true;
  }

  get hasKey(): boolean {
    return this.#keyLength >= 0;
  }
  /** A record without value: a tombstone in a compacted topic. */
  get hasValue(): boolean {
    return this.#valueLength >= 0;
  }
  get key(): Uint8Array | null {
    return this.#view(this.#keyAt, this.#keyLength);
  }
  get value(): Uint8Array | null {
    return this.#view(this.#valueAt, this.#valueLength);
  }

  /** Decoded anew at each call. */
  headers(): readonly RecordHeader[] {
    const after = this.#position;
    this.#position = this.#headersAt;
    const headers: RecordHeader[] = [];
    for (let left = this.#varint(); left > 0; left--) {
      const keyLength = this.#length();
      const key = this.#view(this.#position, keyLength);
      this.#skip(keyLength);
      const valueLength = this.#length();
      const value = this.#view(this.#position, valueLength);
      this.#skip(valueLength);
      headers.push({ key: key === null ? '' : Buffer.from(key).toString('utf8'), value });
    }
    this.#position = after;
    return headers;
  }

  #view(at: number, length: number): Uint8Array | null {
    return length < 0 ? null : this.#payload.subarray(at, at + length);
  }

  #skip(length: number): void {
    if (length > 0) this.#position += length;
  }

  #length(): number {
    const length = this.#varint();
    if (length < -1 || length > this.#recordEnd - this.#position) this.#fail(`a length in it is ${length}`);
    return length;
  }

  #byte(): number {
    const byte = this.#position < this.#recordEnd ? this.#payload[this.#position] : undefined;
    if (byte === undefined) this.#fail('it ends within a field');
    this.#position++;
    return byte;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    return this.#fail('a varint in it has more than 5 bytes');
  }

  /** Exact up to 2^53, approximate beyond: no timestamp gets there. */
  #varlong(): number {
    let value = 0;
    let scale = 1;
    for (let length = 0; length < 10; length++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      scale *= 0x80;
    }
    return this.#fail('a varlong in it has more than 10 bytes');
  }

  #fail(why: string): never {
    throw new InvalidRecordsError(
      `record ${this.#read} of ${this.#recordCount} in the batch at offset ${this.#baseOffset}: ${why}`,
    );
  }
}

/**
 * The records of a batch that passed `checkBatch`, decompressed if need be.
 * @throws {InvalidRecordsError} {DecompressionError}
 */
export function recordsOf(header: BatchHeader, maxDecompressedBytes = MAX_DECOMPRESSED_BYTES): RecordCursor {
  if (header.recordCount === 0) return new RecordCursor(header, header.payload);
  return new RecordCursor(header, decompress(header.compression, header.payload, maxDecompressedBytes));
}
