import { ByteReader } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import type { WalEntry } from '../wal.ts';

/*
 * A group: what one write makes durable. Starts on 4 KiB and is padded with zeros to the next 4 KiB; all integers
 * are big-endian. A test holds this table and the code together.
 *
 *   offset  type      field
 *        0  uint32    magic            'MRWG'
 *        4  uint16    version          1
 *        6  uint16    device index     in the stripe set: tells a write that went to the wrong device
 *        8  8 bytes   log id           random, drawn at format: bytes of another life of the device, or forged
 *                                      by a client inside its records, never pass
 *       16  int32     node id
 *       20  uint32    entry count
 *       24  int64     node epoch
 *       32  int64     group sequence   dense over all devices of the stripe set
 *       40  int64     position         absolute on this device, never wraps: an earlier lap never passes for this
 *       48  int64     acked up to      newest group acknowledged when this one was handed to the device
 *       56  uint32    payload length   of the entries, without padding
 *       60  uint32    payload CRC32C
 *       64  uint32    header CRC32C    of bytes 0 to 63
 *       68            entries, each:
 *        0  int64     stream id
 *        8  int64     base offset
 *       16  int64     max timestamp    milliseconds, -1 for none
 *       24  uint32    count            of offsets
 *       28  uint32    length
 *       32            bytes
 */
export const GROUP_HEADER_BYTES = 68;
export const ENTRY_HEADER_BYTES = 32;

const MAGIC = 0x4d52_5747;
const VERSION = 1;
const LOG_ID_AT = 8;
export const LOG_ID_BYTES = 8;
const HEADER_CRC_AT = 64;
const TWO_32 = 0x1_0000_0000;

export interface GroupHeader {
  readonly deviceIndex: number;
  readonly logId: Uint8Array;
  readonly nodeId: number;
  readonly entryCount: number;
  readonly nodeEpoch: number;
  readonly sequence: number;
  readonly position: number;
  readonly ackedUpTo: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

/** Writes the header in front of the payload that stands in `view` from `at + GROUP_HEADER_BYTES` on. */
export function writeGroupHeader(bytes: Uint8Array, view: DataView, at: number, header: GroupHeader): void {
  view.setUint32(at, MAGIC);
  view.setUint16(at + 4, VERSION);
  view.setUint16(at + 6, header.deviceIndex);
  bytes.set(header.logId, at + LOG_ID_AT);
  view.setInt32(at + 16, header.nodeId);
  view.setUint32(at + 20, header.entryCount);
  setSafeInt64(view, at + 24, header.nodeEpoch);
  setSafeInt64(view, at + 32, header.sequence);
  setSafeInt64(view, at + 40, header.position);
  setSafeInt64(view, at + 48, header.ackedUpTo);
  view.setUint32(at + 56, header.payloadBytes);
  view.setUint32(at + 60, header.payloadCrc);
  view.setUint32(at + HEADER_CRC_AT, crc32c(bytes.subarray(at, at + HEADER_CRC_AT)));
}

/** The header that stands in `bytes` at `at`, or undefined when none does. */
export function readGroupHeader(bytes: Uint8Array, at: number): GroupHeader | undefined {
  const reader = new ByteReader(bytes.subarray(at, at + GROUP_HEADER_BYTES));
  if (reader.uint32() !== MAGIC || reader.uint16() !== VERSION) return undefined;
  const expectedCrc = crc32c(reader.bytes.subarray(0, HEADER_CRC_AT));
  if (new ByteReader(reader.bytes, HEADER_CRC_AT).uint32() !== expectedCrc) return undefined;
  const deviceIndex = reader.uint16();
  const logId = reader.slice(LOG_ID_BYTES).slice();
  const nodeId = reader.int32();
  const entryCount = reader.uint32();
  return {
    deviceIndex,
    logId,
    nodeId,
    entryCount,
    nodeEpoch: reader.safeInt64(),
    sequence: reader.safeInt64(),
    position: reader.safeInt64(),
    ackedUpTo: reader.safeInt64(),
    payloadBytes: reader.uint32(),
    payloadCrc: reader.uint32(),
  };
}

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

function setSafeInt64(view: DataView, at: number, value: number): void {
  view.setInt32(at, Math.floor(value / TWO_32));
  view.setUint32(at + 4, value >>> 0);
}
