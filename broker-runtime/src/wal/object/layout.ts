import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { decoding } from '../conditional/entry.ts';
import { readEntries } from '../groups/entry-layout.ts';
import { LOG_ID_BYTES } from '../log-owner.ts';
import type { WalEntry } from '../wal.ts';

/*
 * One group is one object, wal/<node>/<epoch>/<n>. All integers are big-endian. A test holds this table and the code
 * together. The head names everything the key says, so an object that was copied to another key never passes.
 *
 *   offset  type      field
 *        0  uint32    magic            'MRWO'
 *        4  uint16    version          1
 *        6  uint16    length of cluster id, L
 *        8  8 bytes   log id           random, drawn when the epoch claimed its fence: tells our own object from one
 *                                      of another process after a lost answer (P1)
 *       16  int32     node id
 *       20  uint32    entry count
 *       24  int64     node epoch
 *       32  int64     n                group sequence, dense, also across epochs
 *       40  int64     acked up to      newest group acknowledged when this one was handed to the store
 *       48  uint32    payload length   of the entries
 *       52  uint32    payload CRC32C
 *       56            cluster id       UTF-8, L bytes
 *     56+L  uint32    head CRC32C      of everything before
 *     60+L            entries          see groups/entry-layout.ts
 */
const MAGIC = 0x4d52_574f;
const VERSION = 1;
const FIXED_BYTES = 56;
const CRC_BYTES = 4;

/** Whose objects these are: the same for all of one epoch. */
export interface LogIdentity {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly logId: Uint8Array;
}

export interface GroupFacts {
  readonly sequence: number;
  readonly entryCount: number;
  readonly ackedUpTo: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

export interface StoredGroup {
  readonly sequence: number;
  readonly ackedUpTo: number;
  /** Views of the object's bytes. */
  readonly entries: readonly WalEntry[];
}

/** Bytes in front of the first entry. */
export function headBytesOf(clusterId: string): number {
  return FIXED_BYTES + new TextEncoder().encode(clusterId).length + CRC_BYTES;
}

export function encodeHead(log: LogIdentity, group: GroupFacts): Uint8Array {
  const clusterId = new TextEncoder().encode(log.clusterId);
  const writer = new ByteWriter(FIXED_BYTES + clusterId.length + CRC_BYTES);
  writer.uint32(MAGIC);
  writer.uint16(VERSION);
  writer.uint16(clusterId.length);
  writer.raw(log.logId);
  writer.int32(log.nodeId);
  writer.uint32(group.entryCount);
  writer.safeInt64(log.nodeEpoch);
  writer.safeInt64(group.sequence);
  writer.safeInt64(group.ackedUpTo);
  writer.uint32(group.payloadBytes);
  writer.uint32(group.payloadCrc);
  writer.raw(clusterId);
  writer.uint32(crc32c(writer.finish()));
  return writer.finish();
}

/**
 * The group that `bytes` hold, which must be number `sequence` of `log`.
 * @throws {CorruptionError} when they are damaged, of an unknown version, misplaced, or of another process
 */
export function decodeGroup(bytes: Uint8Array, key: string, log: LogIdentity, sequence: number): StoredGroup {
  return decoding(key, () => {
    const reader = new ByteReader(bytes);
    if (reader.uint32() !== MAGIC) throw new CorruptionError('it does not begin with our magic number');
    const version = reader.uint16();
    const clusterIdBytes = reader.uint16();
    reader.skip(FIXED_BYTES - reader.position + clusterIdBytes);
    const headCrc = crc32c(bytes.subarray(0, reader.position));
    if (reader.uint32() !== headCrc) throw new CorruptionError('its head does not match its CRC32C');
    if (version !== VERSION) {
      throw new CorruptionError(
        `it has format version ${version}, this program reads ${VERSION}: start a release that knows it`,
      );
    }
    const payload = bytes.subarray(reader.position);
    const head = readHead(bytes, clusterIdBytes);
    checkPlace(head, log, sequence);
    if (payload.length !== head.payloadBytes || crc32c(payload) !== head.payloadCrc) {
      throw new CorruptionError(
        `its ${payload.length} bytes of entries are not the ${head.payloadBytes} that its head has a checksum of`,
      );
    }
    return { sequence, ackedUpTo: head.ackedUpTo, entries: readEntries(payload, head.entryCount) };
  });
}

function readHead(bytes: Uint8Array, clusterIdBytes: number): LogIdentity & GroupFacts {
  const reader = new ByteReader(bytes, 8);
  return {
    logId: reader.slice(LOG_ID_BYTES),
    nodeId: reader.int32(),
    entryCount: reader.uint32(),
    nodeEpoch: reader.safeInt64(),
    sequence: reader.safeInt64(),
    ackedUpTo: reader.safeInt64(),
    payloadBytes: reader.uint32(),
    payloadCrc: reader.uint32(),
    clusterId: new TextDecoder().decode(reader.slice(clusterIdBytes)),
  };
}

function checkPlace(head: LogIdentity & GroupFacts, log: LogIdentity, sequence: number): void {
  const got = placeOf(head, head.sequence);
  const wanted = placeOf(log, sequence);
  if (got === wanted) return;
  throw new CorruptionError(
    `it holds ${got}, expected is ${wanted}: it was copied here, or another process writes as this node`,
  );
}

function placeOf(log: LogIdentity, sequence: number): string {
  const logId = Buffer.from(log.logId).toString('hex');
  return `group ${sequence} of epoch ${log.nodeEpoch} (log ${logId}) of node ${log.nodeId} of cluster ${log.clusterId}`;
}
