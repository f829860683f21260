import { createRequire } from 'node:module';

/** Continues `seed`, the CRC of the bytes before, over `bytes`; the result is an unsigned 32-bit number. */
type Crc32c = (bytes: Uint8Array, seed?: number) => number;

/** 0x1EDC6F41 with its bits reversed, because the register shifts right. */
const POLYNOMIAL = 0x82f6_3b78;
const SLICES = 16;

/** TABLES[256 * k + b]: the CRC of byte b followed by k zero bytes. */
const TABLES = buildTables();

/** X_TO_2_TO[k]: x^(2^k) modulo the polynomial. */
const X_TO_2_TO = buildPowers();

/**
 * CRC-32C (Castagnoli, RFC 3720 B.4), the checksum of Kafka's record batches and of every format of ours.
 * Pieces chain: `crc32c(b, crc32c(a)) === crc32c(ab)`.
 *
 * Measured on unaligned views of 16 KiB: @node-rs/crc32 5.7 GB/s, {@link crc32cPure} 1.9 GB/s. The native
 * package is optional: where it cannot be loaded only the speed differs.
 */
export const crc32c: Crc32c = loadNative() ?? crc32cPure;

/** Whether {@link crc32c} is the native one: worth a line at start, because the other costs CPU. */
export const isCrc32cNative: boolean = crc32c !== crc32cPure;

/**
 * The same in TypeScript, 16 bytes a step (slicing-by-16, Kounavis and Berry 2005).
 */
export function crc32cPure(bytes: Uint8Array, seed = 0): number {
  const { length } = bytes;
  const stepsEnd = length - (length % SLICES);
  let crc = ~seed;
  let at = 0;
  if (stepsEnd > 0) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    for (; at < stepsEnd; at += SLICES) {
      const a = crc ^ view.getInt32(at, true);
      const b = view.getInt32(at + 4, true);
      const c = view.getInt32(at + 8, true);
      const d = view.getInt32(at + 12, true);
      crc = fold(a, 15) ^ fold(b, 11) ^ fold(c, 7) ^ fold(d, 3);
    }
  }
  for (; at < length; at++) crc = (crc >>> 8) ^ entry(0, (crc ^ (bytes[at] ?? 0)) & 0xff);
  return ~crc >>> 0;
}

/**
 * From this length on {@link combineCrc32c} (1 to 2 µs) is cheaper than to look at the bytes again: the native
 * function takes 2.9 µs for 16 KiB.
 */
export const CRC32C_COMBINE_FROM_BYTES = 16 * 1024;

/**
 * Continues `seed` over `bytes`; when their own CRC is `known` they are not read again. So a checksum taken where the
 * bytes came in travels with them, and tells also of memory that was damaged in between.
 */
export function extendCrc32c(seed: number, bytes: Uint8Array, known: number | undefined): number {
  return known === undefined ? crc32c(bytes, seed) : combineCrc32c(seed, known, bytes.length);
}

/**
 * The CRC of a · b from the CRC of each: that of a is moved over the length of b, which is a multiplication with
 * x^(8 · length) modulo the polynomial (the method of zlib's `crc32_combine`).
 */
export function combineCrc32c(crcOfA: number, crcOfB: number, bytesOfB: number): number {
  let moved = crcOfA;
  // 8 = 2^3 bits a byte: the table's entry k + 3 stands for 2^k bytes.
  for (let k = 3, bytes = bytesOfB; bytes > 0; k++, bytes = Math.floor(bytes / 2)) {
    if (bytes % 2 === 1) moved = multiply(X_TO_2_TO[k] ?? 0, moved);
  }
  return (moved ^ crcOfB) >>> 0;
}

/** a · b modulo the polynomial; the highest bit of a number is its coefficient of x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let rest = a; rest !== 0; rest <<= 1) {
    if (rest < 0) product ^= shifted;
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ POLYNOMIAL;
  }
  return product;
}

/** x^(2^k) for the lengths a number can hold exactly: 2^53 bytes. */
function buildPowers(): Int32Array {
  const powers = new Int32Array(3 + 53);
  powers[0] = 1 << 30;
  for (let k = 1; k < powers.length; k++) {
    const root = powers[k - 1] ?? 0;
    powers[k] = multiply(root, root);
  }
  return powers;
}

/** Four bytes, the first of which stands `slice` bytes before the end of the step. */
function fold(word: number, slice: number): number {
  return (
    entry(slice, word & 0xff) ^
    entry(slice - 1, (word >>> 8) & 0xff) ^
    entry(slice - 2, (word >>> 16) & 0xff) ^
    entry(slice - 3, word >>> 24)
  );
}

function entry(slice: number, byte: number): number {
  return TABLES[(slice << 8) | byte] ?? 0;
}

function buildTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const shorter = tables[at - 256] ?? 0;
    tables[at] = (shorter >>> 8) ^ (tables[shorter & 0xff] ?? 0);
  }
  return tables;
}

/**
 * Required at run time, not imported: a bundle carries no native code, and a machine may lack the package.
 * Its function is only taken when it gives the standard's check value.
 */
function loadNative(): Crc32c | undefined {
  let native: unknown;
  try {
    native = createRequire(import.meta.url)('@node-rs/crc32');
  } catch {
    return undefined;
  }
  if (!hasCrc32c(native)) return undefined;
  const checkValue = 0xe306_9283;
  return native.crc32c(new TextEncoder().encode('123456789')) === checkValue ? native.crc32c : undefined;
}

function hasCrc32c(module: unknown): module is { crc32c: Crc32c } {
  return (
    typeof module === 'object' && module !== null && 'crc32c' in module && typeof module.crc32c === 'function'
  );
}
