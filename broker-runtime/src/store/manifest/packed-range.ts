import { ByteReader } from '../../base/bytes.ts';
import { MAX_UVARINT_BYTES, putUvarint, readUvarint } from '../../base/varint.ts';
import type { StreamRange } from '../stream.ts';

export const MAX_RANGE_BYTES = 4 * MAX_UVARINT_BYTES;

/*
 * A packed range, which begins where the one before ends. All uvarints:
 *
 *   length sizeBytes maxTimestampMs+1 objectId
 */

/** @returns where the next one goes */
export function putRange(bytes: Uint8Array, at: number, range: StreamRange): number {
  let next = putUvarint(bytes, at, range.endOffset - range.startOffset);
  next = putUvarint(bytes, next, range.sizeBytes);
  next = putUvarint(bytes, next, range.maxTimestampMs + 1);
  return putUvarint(bytes, next, range.objectId);
}

/** Walks over packed ranges. */
export class RangeCursor {
  readonly #reader: ByteReader;
  /** Where the next range begins. */
  startOffset: number;

  /** `bytes` end with the last range, or the caller counts. */
  constructor(bytes: Uint8Array, position: number, startOffset: number) {
    this.#reader = new ByteReader(bytes, position);
    this.startOffset = startOffset;
  }

  get position(): number {
    return this.#reader.position;
  }

  get isAtEnd(): boolean {
    return this.#reader.remaining === 0;
  }

  /** @throws {TruncatedError} {CorruptionError} for bytes that are no ranges */
  next(): StreamRange {
    const { startOffset } = this;
    const endOffset = startOffset + readUvarint(this.#reader);
    const sizeBytes = readUvarint(this.#reader);
    const maxTimestampMs = readUvarint(this.#reader) - 1;
    const objectId = readUvarint(this.#reader);
    this.startOffset = endOffset;
    return { startOffset, endOffset, sizeBytes, maxTimestampMs, objectId };
  }
}
