import { invariant } from '../base/errors.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type { ByteRange } from '../ports/object-store.ts';

/** What S3 allows in one DeleteObjects and one page of ListObjectsV2. */
export const MAX_DELETE_KEYS = 1000;
export const MAX_LIST_KEYS = 1000;

const MAX_KEY_BYTES = 1024;
/** A segment becomes a file name, which has 255 bytes at most, and upper-case letters take two. */
const MAX_SEGMENT_BYTES = 100;
const KEY = /^[A-Za-z0-9!_.*'()-]+(\/[A-Za-z0-9!_.*'()-]+)*$/;
const PREFIX = /^[A-Za-z0-9!_.*'()/-]*$/;

/** Keys are made by our own code, never from a client's text: one outside the alphabet is a defect of ours. */
export function checkKey(key: string): void {
  const isAllowed =
    key.length <= MAX_KEY_BYTES &&
    KEY.test(key) &&
    !key.split('/').some((part) => part === '.' || part === '..' || part.length > MAX_SEGMENT_BYTES);
  invariant(
    isAllowed,
    'object-key',
    "a key is 1 to 1024 of [A-Za-z0-9!_.*'()/-], no part of it empty, '.', '..' or longer than 100",
    { key: JSON.stringify(key.slice(0, 100)), keyBytes: key.length },
  );
}

export function checkListing(prefix: string, limit: number): void {
  invariant(PREFIX.test(prefix), 'object-key', 'a prefix is the beginning of a key', {
    prefix: JSON.stringify(prefix.slice(0, 100)),
  });
  invariant(
    Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIST_KEYS,
    'object-list',
    `a page has 1 to ${MAX_LIST_KEYS} keys`,
    { limit },
  );
}

export function checkDelete(keys: readonly string[]): void {
  invariant(keys.length <= MAX_DELETE_KEYS, 'object-delete', `at most ${MAX_DELETE_KEYS} keys a call`, {
    keys: keys.length,
  });
  for (const key of keys) checkKey(key);
}

/** A range is well-formed by itself: whole numbers, at least one byte, and a suffix reaches exactly to the end. */
export function checkRange(key: string, range: ByteRange): void {
  const { start, length } = range;
  const isWellFormed =
    Number.isSafeInteger(start) &&
    Number.isSafeInteger(length) &&
    length >= 1 &&
    (start >= 0 || length === -start);
  if (!isWellFormed) throw invalidRange(key, range, 'a whole start and a length of at least 1');
}

/** Where a range starts in an object of this size. @throws {ObjectStoreError} INVALID_RANGE */
export function resolveRange(key: string, range: ByteRange, sizeBytes: number): number {
  checkRange(key, range);
  const start = range.start < 0 ? sizeBytes + range.start : range.start;
  if (start < 0 || start + range.length > sizeBytes) throw invalidRange(key, range, `${sizeBytes} bytes`);
  return start;
}

export function invalidRange(key: string, range: ByteRange, allowed: string): ObjectStoreError {
  return new ObjectStoreError(
    'INVALID_RANGE',
    `object ${key}: ${range.length} bytes from ${range.start} were asked for, it has ${allowed}`,
  );
}

export function notFound(key: string): ObjectStoreError {
  return new ObjectStoreError('NOT_FOUND', `object ${key} does not exist`);
}

export function totalLength(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

/** Bytes of the alphabet are ASCII, so comparing code units compares bytes. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
