import { ByteReader } from '../../base/bytes.ts';
import { CorruptionError } from '../../base/errors.ts';
import type { WalEntry } from '../wal.ts';

/*
 * An entry of a group, on either medium, behind what the medium puts in front of all of them. Big-endian. A test holds
 * this table and the code together.
 *
 *   offset  type      field
 *        0  int64     stream id
 *        8  int64     base offset
 *       16  int64     max timestamp    milliseconds, -1 for none
 *       24  uint32    count            of offsets
 *       28  uint32    length
 *       32            bytes
 */
export const ENTRY_HEADER_BYTES = 32;

const TWO_32 = 0x1_0000_0000;

export function writeEntryHeader(
  view: DataView,
  at: number,
  entry: { streamId: number; baseOffset: number; maxTimestampMs: number; count: number },
  lengthBytes: number,
): void {
  setSafeInt64(view, at, entry.streamId);
  setSafeInt64(view, at + 8, entry.baseOffset);
  setSafeInt64(view, at + 16, entry.maxTimestampMs);
  view.setUint32(at + 24, entry.count);
  view.setUint32(at + 28, lengthBytes);
}

/** The entries of a payload whose CRC was right; they are views of it. @throws {CorruptionError} */
export function readEntries(payload: Uint8Array, entryCount: number): WalEntry[] {
  const reader = new ByteReader(payload);
  const entries: WalEntry[] = [];
  while (entries.length < entryCount) {
    const streamId = reader.safeInt64();
    const baseOffset = reader.safeInt64();
    const maxTimestampMs = reader.safeInt64();
    const count = reader.uint32();
    const bytes = reader.slice(reader.uint32());
    entries.push({ streamId, baseOffset, count, maxTimestampMs, bytes });
  }
  if (reader.remaining > 0) {
    throw new CorruptionError(
      `${reader.remaining} bytes follow the last of ${entryCount} entries of a group`,
    );
  }
  return entries;
}

export function setSafeInt64(view: DataView, at: number, value: number): void {
  view.setInt32(at, Math.floor(value / TWO_32));
  view.setUint32(at + 4, value >>> 0);
}
