import { CorruptionError } from '../../base/errors.ts';

/** Safe integers have at most 16 digits; 20 keep room, and zero-padding makes byte order the order of sequences. */
const SEQUENCE_DIGITS = 20;

export const LOG_PREFIX = 'meta/log/';
export const SNAPSHOT_PREFIX = 'meta/snap/';
export const FLOOR_KEY = 'meta/floor';

export function logKey(sequence: number): string {
  return LOG_PREFIX + padded(sequence);
}

/** A snapshot is named by what it holds and by its bytes, so two writers of the same state write the same object. */
export function snapshotKey(sequence: number, sha256Hex: string): string {
  return `${SNAPSHOT_PREFIX}${padded(sequence)}.${sha256Hex}`;
}

/** @throws {CorruptionError} when the key is not one of ours */
export function sequenceOf(key: string): number {
  const match = /^meta\/(?:log\/(\d{20})|snap\/(\d{20})\.[0-9a-f]{64})$/.exec(key);
  const digits = match?.[1] ?? match?.[2];
  const sequence = digits === undefined ? Number.NaN : Number(digits);
  if (!Number.isSafeInteger(sequence)) {
    throw new CorruptionError(
      `the key ${key} does not belong under meta/: expected ${LOG_PREFIX}<20 digits> or ` +
        `${SNAPSHOT_PREFIX}<20 digits>.<sha256>; move foreign objects out of the bucket's meta/ prefix`,
    );
  }
  return sequence;
}

function padded(sequence: number): string {
  return String(sequence).padStart(SEQUENCE_DIGITS, '0');
}
