import { MillraceError } from '../base/errors.ts';

/** Bytes from a peer that are not the message they claim to be. The connection they came from is closed. */
export class DecodeError extends MillraceError {
  readonly code = 'DECODE';
}

/**
 * Array elements in one message, over all its arrays. An element can be two bytes on the wire and sixty as an
 * object, so the frame size alone would let 100 MiB of empty topic names take gigabytes.
 */
export const MAX_ELEMENTS_PER_MESSAGE = 1_000_000;

/** Tagged fields in one section. Kafka defines fewer than ten anywhere. */
export const MAX_TAGGED_FIELDS = 1024;

const TWO_32 = 0x1_0000_0000;
const NO_BYTES = new Uint8Array(0);

/**
 * Reads Kafka's primitive types from a frame it does not own. Every length is checked against the frame before it
 * is used, so a hostile one costs a {@link DecodeError}, never an allocation. It differs from `base/ByteReader` in
 * speaking Kafka's types and in 64-bit integers: beyond 2^53 they come as the nearest number, because Kafka uses
 * 2^63-1 as a marker and no offset or timestamp gets there.
 */
export class MessageReader {
  /** All of it, whatever was read. */
  readonly frame: Uint8Array;
  readonly #view: DataView;
  readonly #text: Buffer;
  #position: number;
  #end: number;
  #elements = 0;

  constructor(bytes: Uint8Array, position = 0) {
    this.frame = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#text = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#position = position;
    this.#end = bytes.length;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Moves over `length` bytes and returns where they start. @throws {DecodeError} */
  skip(length: number): number {
    const at = this.#position;
    if (length < 0 || length > this.#end - at) {
      throw new DecodeError(`${length} bytes wanted at position ${at}, ${this.#end - at} are left`);
    }
    this.#position = at + length;
    return at;
  }

  /** The int16 `ahead` bytes from here, which stays unread. */
  peekInt16(ahead: number): number {
    if (ahead + 2 > this.remaining)
      throw new DecodeError(`${this.remaining} bytes are left, too few for a header`);
    return this.#view.getInt16(this.#position + ahead);
  }

  bool(): boolean {
    return this.#view.getInt8(this.skip(1)) !== 0;
  }
  int8(): number {
    return this.#view.getInt8(this.skip(1));
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
  int64(): number {
    const at = this.skip(8);
    return this.#view.getInt32(at) * TWO_32 + this.#view.getUint32(at + 4);
  }

  /** Base64url without padding, as Kafka prints topic ids. */
  uuid(): string {
    const at = this.skip(16);
    return this.#text.toString('base64url', at, at + 16);
  }

  /**
   * 7 bits a byte, lowest first, at most 5 bytes and 32 bits:
   *
   *   unsigned varint = *(1xxxxxxx) 0xxxxxxx
   */
  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#view.getUint8(this.skip(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.#view.getUint8(this.skip(1));
    if (last > 0x0f) throw new DecodeError(`the varint before position ${this.#position} is over 32 bits`);
    return (value | (last << 28)) >>> 0;
  }

  /** Length of what follows; -1 is null. Compact lengths are stored plus one. */
  lengthInt16(): number {
    return this.#checkedLength(this.int16());
  }
  lengthInt32(): number {
    return this.#checkedLength(this.int32());
  }
  lengthCompact(): number {
    return this.#checkedLength(this.unsignedVarint() - 1);
  }

  /**
   * How many elements an array of `minElementBytes` each has; -1 is null. Checked against the frame before anyone
   * allocates for it.
   */
  elementCount(compact: boolean, minElementBytes: number): number {
    const count = compact ? this.unsignedVarint() - 1 : this.int32();
    if (count < -1 || count * minElementBytes > this.remaining) {
      throw new DecodeError(
        `an array before position ${this.#position} claims ${count} elements of at least ${minElementBytes} bytes, ` +
          `${this.remaining} bytes are left`,
      );
    }
    if (count > 0) this.#elements += count;
    if (this.#elements > MAX_ELEMENTS_PER_MESSAGE) {
      throw new DecodeError(`more than ${MAX_ELEMENTS_PER_MESSAGE} array elements in one message`);
    }
    return count;
  }

  /** UTF-8. Refuses what is not, because a replaced character would make two names one. */
  text(length: number): string {
    const at = this.skip(length);
    const text = this.#text.toString('utf8', at, at + length);
    // Node replaces bad bytes with U+FFFD; only then the slow check tells whether the sender wrote it so.
    if (text.includes('\ufffd') && !Buffer.from(text).equals(this.#text.subarray(at, at + length))) {
      throw new DecodeError(`the string at position ${at} is not UTF-8`);
    }
    return text;
  }

  /** A view, not a copy: it lives as long as the frame. */
  view(length: number): Uint8Array {
    if (length === 0) return NO_BYTES;
    const at = this.skip(length);
    return this.frame.subarray(at, at + length);
  }

  /** Runs `read` over exactly the next `size` bytes, for values that carry their size. */
  within<T>(size: number, read: (reader: this) => T): T {
    const outer = this.#end;
    const at = this.skip(size);
    this.#position = at;
    this.#end = at + size;
    const value = read(this);
    if (this.#position !== this.#end) {
      throw new DecodeError(
        `the value at position ${at} is ${this.#position - at} bytes, its size says ${size}`,
      );
    }
    this.#end = outer;
    return value;
  }

  /** Number of tagged fields that follow. */
  tagCount(): number {
    const count = this.unsignedVarint();
    if (count > MAX_TAGGED_FIELDS) {
      throw new DecodeError(`${count} tagged fields, at most ${MAX_TAGGED_FIELDS} are read`);
    }
    return count;
  }

  #checkedLength(length: number): number {
    if (length < -1 || length > this.remaining) {
      throw new DecodeError(
        `a length before position ${this.#position} says ${length}, ${this.remaining} bytes are left`,
      );
    }
    return length;
  }
}
