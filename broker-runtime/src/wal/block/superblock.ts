import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { LOG_ID_BYTES } from '../log-owner.ts';
import { WalMismatchError } from '../wal.ts';

/*
 * A superblock: who owns the device and where recovery begins. Two of them stand at device offsets 0 and 4096;
 * the one with the higher generation is the newer. They are written alternately, so the older stays readable while
 * the newer is on its way. All integers are big-endian. Everything lies in the first 512 bytes, the smallest unit
 * a device tears, so a crash leaves the old or the new one, never half of each. A test holds table and code together.
 *
 *   offset  type      field
 *        0  uint32    magic            'MRWS'
 *        4  uint16    version          1
 *        6  uint16    device index     in the stripe set
 *        8  uint16    device count     of the stripe set
 *       10  uint16    unused, 0
 *       12  int32     node id
 *       16  8 bytes   log id           random, drawn at format, the same on all devices of the stripe set
 *       24  int64     generation       counts superblock writes; no clock takes part
 *       32  int64     node epoch       0 until a broker opens the log
 *       40  int64     capacity         of the device, bytes
 *       48  int64     start position   absolute: recovery reads from here on
 *       56  int64     start sequence   the first group that is not trimmed
 *       64  int64     acked up to      newest group acknowledged when this was written
 *       72  uint32    window           groups that may be on their way at once, over all devices
 *       76  uint32    max group        bytes, padding included
 *       80  uint16    length of cluster id
 *       82            cluster id       UTF-8
 *      508  uint32    CRC32C           of bytes 0 to 507
 */
export interface Superblock {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly logId: Uint8Array;
  readonly deviceIndex: number;
  readonly deviceCount: number;
  readonly capacityBytes: number;
  readonly generation: number;
  readonly nodeEpoch: number;
  readonly startPosition: number;
  readonly startSequence: number;
  readonly ackedUpTo: number;
  readonly windowGroups: number;
  readonly maxGroupBytes: number;
}

const MAGIC = 0x4d52_5753;
const VERSION = 1;
const CRC_AT = 508;
const FIELDS_BYTES = 512;
const CLUSTER_ID_AT = 82;

export function writeSuperblock(superblock: Superblock, into: Uint8Array): void {
  const writer = new ByteWriter(FIELDS_BYTES);
  const clusterId = new TextEncoder().encode(superblock.clusterId);
  writer.uint32(MAGIC);
  writer.uint16(VERSION);
  writer.uint16(superblock.deviceIndex);
  writer.uint16(superblock.deviceCount);
  writer.uint16(0);
  writer.int32(superblock.nodeId);
  writer.raw(superblock.logId);
  writer.safeInt64(superblock.generation);
  writer.safeInt64(superblock.nodeEpoch);
  writer.safeInt64(superblock.capacityBytes);
  writer.safeInt64(superblock.startPosition);
  writer.safeInt64(superblock.startSequence);
  writer.safeInt64(superblock.ackedUpTo);
  writer.uint32(superblock.windowGroups);
  writer.uint32(superblock.maxGroupBytes);
  writer.uint16(clusterId.length);
  writer.raw(clusterId);
  writer.skip(CRC_AT - writer.length);
  writer.uint32(crc32c(writer.finish()));
  into.fill(0);
  into.set(writer.finish());
}

/**
 * The superblock in these bytes; undefined when its magic or checksum is wrong.
 * @throws {WalMismatchError} a sound superblock of a version this code does not know
 */
export function readSuperblock(bytes: Uint8Array): Superblock | undefined {
  const reader = new ByteReader(bytes.subarray(0, FIELDS_BYTES));
  if (reader.uint32() !== MAGIC) return undefined;
  const expectedCrc = crc32c(reader.bytes.subarray(0, CRC_AT));
  if (new ByteReader(reader.bytes, CRC_AT).uint32() !== expectedCrc) return undefined;
  const version = reader.uint16();
  if (version !== VERSION) {
    throw new WalMismatchError(
      `the WAL has format version ${version}, this broker reads version ${VERSION}; start the release that wrote it`,
    );
  }
  const deviceIndex = reader.uint16();
  const deviceCount = reader.uint16();
  reader.skip(2);
  const nodeId = reader.int32();
  const logId = reader.slice(LOG_ID_BYTES).slice();
  const generation = reader.safeInt64();
  const nodeEpoch = reader.safeInt64();
  const capacityBytes = reader.safeInt64();
  const startPosition = reader.safeInt64();
  const startSequence = reader.safeInt64();
  const ackedUpTo = reader.safeInt64();
  const windowGroups = reader.uint32();
  const maxGroupBytes = reader.uint32();
  reader.skip(2);
  const clusterIdBytes = new ByteReader(reader.bytes, CLUSTER_ID_AT - 2).uint16();
  const clusterId = new TextDecoder().decode(reader.slice(clusterIdBytes));
  return {
    clusterId,
    nodeId,
    logId,
    deviceIndex,
    deviceCount,
    capacityBytes,
    generation,
    nodeEpoch,
    startPosition,
    startSequence,
    ackedUpTo,
    windowGroups,
    maxGroupBytes,
  };
}
