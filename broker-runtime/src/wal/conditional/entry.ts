import { createHash } from 'node:crypto';
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, MillraceError } from '../../base/errors.ts';
import { readUvarint, writeUvarint } from '../../base/varint.ts';
import type { JournalRecord } from '../journal.ts';

export const NONCE_BYTES = 16;
export const HASH_BYTES = 32;

const MAGIC = 0x4d524c45; // "MRLE"
const VERSION = 1;

export interface LogEntry {
  readonly sequence: number;
  readonly writerEpoch: number;
  /** Drawn anew for every entry: tells our own entry from another writer's after a lost answer (P1). */
  readonly nonce: Uint8Array;
  /** SHA-256 of all bytes of the entry before. */
  readonly prevHash: Uint8Array;
  readonly records: readonly JournalRecord[];
}

/*
 * One entry is one object, meta/log/<sequence>. Big-endian:
 *
 *   magic        u32   "MRLE"
 *   version      u8    1
 *   sequence     i64
 *   writerEpoch  i64
 *   nonce        16 bytes
 *   prevHash     32 bytes
 *   count        uvarint
 *   count times  kind u8, length uvarint, bytes
 *   crc32c       u32   of everything before
 */
export function encodeEntry(entry: LogEntry): Uint8Array {
  const writer = new ByteWriter(256);
  writer.uint32(MAGIC);
  writer.uint8(VERSION);
  writer.safeInt64(entry.sequence);
  writer.safeInt64(entry.writerEpoch);
  writer.raw(entry.nonce);
  writer.raw(entry.prevHash);
  writeUvarint(writer, entry.records.length);
  for (const record of entry.records) {
    writer.uint8(record.kind);
    writeUvarint(writer, record.bytes.length);
    writer.raw(record.bytes);
  }
  writer.uint32(crc32c(writer.finish()));
  return writer.finish();
}

/** @throws {CorruptionError} when the bytes are damaged, misplaced or of an unknown version: never skipped (T23) */
export function decodeEntry(bytes: Uint8Array, key: string): LogEntry {
  const reader = checkedReader(bytes, key, MAGIC, VERSION, 'a log entry');
  return decoding(key, () => {
    const sequence = reader.safeInt64();
    const writerEpoch = reader.safeInt64();
    const nonce = reader.slice(NONCE_BYTES);
    const prevHash = reader.slice(HASH_BYTES);
    const records: JournalRecord[] = [];
    for (let left = readUvarint(reader); left > 0; left--) {
      const kind = reader.uint8();
      records.push({ kind, bytes: reader.slice(readUvarint(reader)) });
    }
    if (reader.remaining !== 4) {
      throw new CorruptionError(`${reader.remaining - 4} bytes stand between the records and the checksum`);
    }
    return { sequence, writerEpoch, nonce, prevHash, records };
  });
}

/** Checks magic, version and the CRC32C in the last four bytes; stands behind the version. */
export function checkedReader(
  bytes: Uint8Array,
  key: string,
  magic: number,
  version: number,
  what: string,
): ByteReader {
  const reader = new ByteReader(bytes);
  if (bytes.length < 9 || reader.uint32() !== magic) {
    throw new CorruptionError(`${key} is not ${what}: ${bytes.length} bytes without our magic number`);
  }
  const checksum = new ByteReader(bytes, bytes.length - 4).uint32();
  if (crc32c(bytes.subarray(0, bytes.length - 4)) !== checksum) {
    throw new CorruptionError(`${key} is damaged: its CRC32C does not match its ${bytes.length} bytes`);
  }
  const got = reader.uint8();
  if (got !== version) {
    throw new CorruptionError(
      `${key} has format version ${got}, this program reads ${version}: it was written by another release; ` +
        `start a release that knows it`,
    );
  }
  return reader;
}

/** Gives errors of field readers the name of the object they happened in. */
export function decoding<T>(key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    throw new CorruptionError(`${key} cannot be decoded: ${error.message}`, { cause: error });
  }
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** What the first entry names as its predecessor: ties the chain to its cluster. */
export function genesisHash(clusterId: string): Uint8Array {
  return sha256(new TextEncoder().encode(`millrace cluster ${clusterId}`));
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function hexSha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
