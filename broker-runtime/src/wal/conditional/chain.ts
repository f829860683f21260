import { CorruptionError } from '../../base/errors.ts';
import { decodeEntry, genesisHash, sameBytes, sha256 } from './entry.ts';
import type { LogEntry } from './entry.ts';
import { logKey } from './keys.ts';

/** The end of the log at one moment. */
export interface LogPosition {
  readonly sequence: number;
  readonly writerEpoch: number;
  /** Hash of entry `sequence`: what the next entry names as its predecessor. */
  readonly lastHash: Uint8Array;
}

/** An entry as it is stored, together with what its bytes say. */
export interface StoredEntry {
  readonly bytes: Uint8Array;
  readonly entry: LogEntry;
  readonly hash: Uint8Array;
}

/** Before entry 1 of this cluster. */
export function beginningOf(clusterId: string): LogPosition {
  return { sequence: 0, writerEpoch: 0, lastHash: genesisHash(clusterId) };
}

/** `name` says in errors where the bytes came from. @throws {CorruptionError} see {@link decodeEntry} */
export function readStored(bytes: Uint8Array, name: string): StoredEntry {
  return { bytes, entry: decodeEntry(bytes, name), hash: sha256(bytes) };
}

/**
 * Where the log stands after `next`, which must be the very entry that follows `position`, whichever way it came
 * (I18, I19). The one place that decides this, for the writer and for every reader.
 * @throws {CorruptionError}
 */
export function follow(position: LogPosition, next: StoredEntry): LogPosition {
  const { sequence, writerEpoch, prevHash } = next.entry;
  const key = logKey(position.sequence + 1);
  if (sequence !== position.sequence + 1) {
    throw new CorruptionError(`${key} says it is entry ${sequence}`);
  }
  if (!sameBytes(prevHash, position.lastHash)) {
    throw new CorruptionError(`${key} does not follow the entry before it: the hash chain is broken (I18)`);
  }
  if (writerEpoch < position.writerEpoch) {
    throw new CorruptionError(
      `${key} has writer epoch ${writerEpoch} after an entry of epoch ${position.writerEpoch}: writer epochs in ` +
        `the log do not go back (I19)`,
    );
  }
  return { sequence, writerEpoch, lastHash: next.hash };
}

/**
 * The entries of `batch`, each checked against the one before, without those that `position` has already.
 * Nothing is applied here: a batch with one wrong entry is refused as a whole.
 * @throws {CorruptionError}
 */
export function checkBatch(position: LogPosition, batch: readonly Uint8Array[]): readonly StoredEntry[] {
  const checked: StoredEntry[] = [];
  let at = position;
  for (const [n, bytes] of batch.entries()) {
    const next = readStored(bytes, `entry ${n + 1} of ${batch.length} behind entry ${position.sequence}`);
    const { sequence } = next.entry;
    if (sequence === at.sequence && !sameBytes(next.hash, at.lastHash)) {
      throw new CorruptionError(
        `entry ${sequence} was received a second time with other bytes: two histories of one log (I18)`,
      );
    }
    if (sequence <= at.sequence) continue;
    at = follow(at, next);
    checked.push(next);
  }
  return checked;
}
