import { ByteReader } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { setSafeInt64 } from '../groups/entry-layout.ts';
import { LOG_ID_BYTES } from '../log-owner.ts';

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
 *       68            entries           see groups/entry-layout.ts
 */
export const GROUP_HEADER_BYTES = 68;

const MAGIC = 0x4d52_5747;
const VERSION = 1;
const LOG_ID_AT = 8;
const HEADER_CRC_AT = 64;

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

/** Writes the header into the first bytes of `bytes`, which its payload follows. */
export function writeGroupHeader(bytes: Uint8Array, header: GroupHeader): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, GROUP_HEADER_BYTES);
  view.setUint32(0, MAGIC);
  view.setUint16(4, VERSION);
  view.setUint16(6, header.deviceIndex);
  bytes.set(header.logId, LOG_ID_AT);
  view.setInt32(16, header.nodeId);
  view.setUint32(20, header.entryCount);
  setSafeInt64(view, 24, header.nodeEpoch);
  setSafeInt64(view, 32, header.sequence);
  setSafeInt64(view, 40, header.position);
  setSafeInt64(view, 48, header.ackedUpTo);
  view.setUint32(56, header.payloadBytes);
  view.setUint32(60, header.payloadCrc);
  view.setUint32(HEADER_CRC_AT, crc32c(bytes.subarray(0, HEADER_CRC_AT)));
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
