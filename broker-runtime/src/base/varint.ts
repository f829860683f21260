import type { ByteReader, ByteWriter } from './bytes.ts';
import { CorruptionError } from './errors.ts';

/** 2^53 - 1 needs eight groups of seven bits. */
export const MAX_UVARINT_BYTES = 8;

/**
 * Writes a non-negative safe integer as unsigned LEB128: seven bits a byte, the least significant first, the top
 * bit set on all bytes but the last. Arithmetic instead of shifts above 2^31, because shifts cut to 32 bits.
 */
export function writeUvarint(writer: ByteWriter, value: number): void {
  check(value);
  let rest = value;
  while (rest >= 0x80) {
    writer.uint8((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  writer.uint8(rest);
}

/** The same into memory that has room for it ({@link MAX_UVARINT_BYTES} at most). @returns the position behind it */
export function putUvarint(bytes: Uint8Array, at: number, value: number): number {
  check(value);
  let position = at;
  let rest = value;
  while (rest >= 0x80) {
    bytes[position++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[position++] = rest;
  return position;
}

function check(value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new RangeError(`${value} cannot be written as a varint: a safe integer >= 0 is needed`);
}

/** @throws {CorruptionError} when the integer is longer than it can be or beyond 2^53 */
export function readUvarint(reader: ByteReader): number {
  let value = 0;
  let scale = 1;
  for (let length = 1; length <= MAX_UVARINT_BYTES; length++) {
    const byte = reader.uint8();
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (Number.isSafeInteger(value)) return value;
      break;
    }
    scale *= 0x80;
  }
  throw new CorruptionError(`the varint before position ${reader.position} is beyond 2^53`);
}

/** A length-prefixed UTF-8 string. */
export function writeText(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  writeUvarint(writer, bytes.length);
  writer.raw(bytes);
}

export function readText(reader: ByteReader): string {
  const bytes = reader.slice(readUvarint(reader));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
