import { MillraceError } from './errors.ts';

/** Fewer bytes are left than the field needs, or a length field promises more than there is. */
export class TruncatedError extends MillraceError {
  readonly code = 'TRUNCATED';
}

/** An integer on disk or on the wire that a JavaScript number cannot hold exactly. */
export class UnsafeIntegerError extends MillraceError {
  readonly code = 'UNSAFE_INTEGER';
}

const TWO_32 = 0x1_0000_0000;

/**
 * Reads big-endian fields from memory it does not own. Bounds are checked before every read, so a hostile
 * length costs an error, never an allocation. 64-bit integers come as numbers and must be safe integers:
 * offsets, positions and ids of ours stay below 2^53; {@link int64} is there for those that may not.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #position: number;

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.bytes.length - this.#position;
  }

  /** Moves over `length` bytes and returns where they start. @throws {TruncatedError} */
  skip(length: number): number {
    const at = this.#position;
    if (length < 0 || length > this.bytes.length - at) {
      throw new TruncatedError(
        `${length} bytes wanted at position ${at}, ${this.bytes.length - at} are left of ${this.bytes.length}`,
      );
    }
    this.#position = at + length;
    return at;
  }

  int8(): number {
    return this.#view.getInt8(this.skip(1));
  }
  uint8(): number {
    return this.#view.getUint8(this.skip(1));
  }
  int16(): number {
    return this.#view.getInt16(this.skip(2));
  }
  uint16(): number {
    return this.#view.getUint16(this.skip(2));
  }
  int32(): number {
    return this.#view.getInt32(this.skip(4));
  }
  uint32(): number {
    return this.#view.getUint32(this.skip(4));
  }
  float64(): number {
    return this.#view.getFloat64(this.skip(8));
  }

  /** @throws {UnsafeIntegerError} when the value is outside ±2^53 */
  safeInt64(): number {
    const at = this.skip(8);
    const value = this.#view.getInt32(at) * TWO_32 + this.#view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) {
      throw new UnsafeIntegerError(`the 64-bit integer at position ${at} is beyond 2^53`);
    }
    return value;
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.skip(8));
  }

  /** A view of the next `length` bytes, not a copy. */
  slice(length: number): Uint8Array {
    const at = this.skip(length);
    return this.bytes.subarray(at, at + length);
  }
}

/** Writes big-endian fields into memory of its own, which grows by doubling. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written so far: a view, valid until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Makes room for `length` bytes, moves over them, returns where they start. They hold zeros or old bytes.
   * Growing replaces memory and view, so it is called before either is looked at.
   */
  skip(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return at;
  }

  int8(value: number): void {
    const at = this.skip(1);
    this.#view.setInt8(at, value);
  }
  uint8(value: number): void {
    const at = this.skip(1);
    this.#view.setUint8(at, value);
  }
  int16(value: number): void {
    const at = this.skip(2);
    this.#view.setInt16(at, value);
  }
  uint16(value: number): void {
    const at = this.skip(2);
    this.#view.setUint16(at, value);
  }
  int32(value: number): void {
    const at = this.skip(4);
    this.#view.setInt32(at, value);
  }
  uint32(value: number): void {
    const at = this.skip(4);
    this.#view.setUint32(at, value);
  }
  float64(value: number): void {
    const at = this.skip(8);
    this.#view.setFloat64(at, value);
  }
  safeInt64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new UnsafeIntegerError(`${value} is not an exact integer`);
    const at = this.skip(8);
    this.#view.setInt32(at, Math.floor(value / TWO_32));
    this.#view.setUint32(at + 4, value >>> 0);
  }
  int64(value: bigint): void {
    const at = this.skip(8);
    this.#view.setBigInt64(at, value);
  }
  raw(bytes: Uint8Array): void {
    const at = this.skip(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Overwrites a field written earlier: lengths and checksums that are known only afterwards. */
  patchUint32(at: number, value: number): void {
    this.#view.setUint32(at, value);
  }
  patchInt32(at: number, value: number): void {
    this.#view.setInt32(at, value);
  }
}
