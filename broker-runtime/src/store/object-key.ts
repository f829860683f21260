import { crc32c } from '../base/crc32c.ts';

export const DATA_PREFIX = 'data/';

/**
 * `data/<hash prefix>/<object id>`: four hex digits of a hash stand first, because ids grow by one and S3 spreads
 * its request limits over key prefixes.
 */
export function objectKey(objectId: number): string {
  const digits = String(objectId);
  const hash = crc32c(new TextEncoder().encode(digits)) & 0xffff;
  return `${DATA_PREFIX}${hash.toString(16).padStart(4, '0')}/${digits}`;
}

/** The object id in a key, or undefined when no object of ours has that key. */
export function objectIdOfKey(key: string): number | undefined {
  const objectId = Number(key.slice(key.lastIndexOf('/') + 1));
  return Number.isSafeInteger(objectId) && objectKey(objectId) === key ? objectId : undefined;
}
