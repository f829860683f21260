import { ByteWriter } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { checkedReader, decoding, HASH_BYTES } from './entry.ts';

const MAGIC = 0x4d52534e; // "MRSN"
const VERSION = 1;

export interface Snapshot {
  /** The state holds the entries 1 to `sequence`. */
  readonly sequence: number;
  /** Of the newest entry folded in: epochs never go back across a snapshot (I19). */
  readonly writerEpoch: number;
  /** Hash of entry `sequence`: the next entry's `prevHash`. */
  readonly lastHash: Uint8Array;
  readonly state: Uint8Array;
}

/*
 * A snapshot is one object, meta/snap/<sequence>.<sha256 of these bytes>. Nothing in it depends on who wrote it
 * or when (I20). Big-endian:
 *
 *   magic        u32   "MRSN"
 *   version      u8    1
 *   sequence     i64
 *   writerEpoch  i64
 *   lastHash     32 bytes
 *   stateLength  i64
 *   state        bytes
 *   crc32c       u32   of everything before
 */
export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const writer = new ByteWriter(snapshot.state.length + 128);
  writer.uint32(MAGIC);
  writer.uint8(VERSION);
  writer.safeInt64(snapshot.sequence);
  writer.safeInt64(snapshot.writerEpoch);
  writer.raw(snapshot.lastHash);
  writer.safeInt64(snapshot.state.length);
  writer.raw(snapshot.state);
  writer.uint32(crc32c(writer.finish()));
  return writer.finish();
}

/** @throws {CorruptionError} */
export function decodeSnapshot(bytes: Uint8Array, key: string): Snapshot {
  const reader = checkedReader(bytes, key, MAGIC, VERSION, 'a snapshot');
  return decoding(key, () => {
    const sequence = reader.safeInt64();
    const writerEpoch = reader.safeInt64();
    const lastHash = reader.slice(HASH_BYTES);
    const state = reader.slice(reader.safeInt64());
    if (reader.remaining !== 4) {
      throw new CorruptionError(`${reader.remaining - 4} bytes stand between the state and the checksum`);
    }
    return { sequence, writerEpoch, lastHash, state };
  });
}
