import { MillraceError } from '../base/errors.ts';

/** A value that its message, in this version, has no place for: our own mistake, or a peer's that we echo. */
export class EncodeError extends MillraceError {
  readonly code = 'ENCODE';
}

/** A message ready to send: the pieces in order, and their total. Spliced record batches are pieces of their own. */
export interface EncodedMessage {
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
}

/** Shorter pieces are copied: one more entry in the socket's gather list costs more than half a kilobyte of copy. */
export const COPY_BELOW_BYTES = 512;

const TWO_32 = 0x1_0000_0000;
const MAX_INT64 = 2 ** 63;
const UUID_BYTES = 16;

/** Writes Kafka's primitive types, growing by doubling, and splices large byte pieces in without copying them. */
export class MessageWriter {
  readonly #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #bytes: Buffer;
  #view: DataView;
  /** Where the piece begins that is being written; what lies before it in `#bytes` is in `#pieces`. */
  #start = 0;
  #length = 0;

  constructor(initialBytes = 512) {
    this.#bytes = Buffer.allocUnsafe(initialBytes);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, initialBytes);
  }

  /** Bytes written so far, spliced ones included. */
  get sizeBytes(): number {
    return this.#piecesBytes + this.#length - this.#start;
  }

  /** Ends the message. The writer must not be used afterwards. */
  finish(): EncodedMessage {
    const sizeBytes = this.sizeBytes;
    this.#endPiece();
    return { pieces: this.#pieces, sizeBytes };
  }

  bool(value: boolean): void {
    const at = this.#reserve(1);
    this.#view.setInt8(at, value ? 1 : 0);
  }
  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw outOfRange('int8', value);
    const at = this.#reserve(1);
    this.#view.setInt8(at, value);
  }
  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw outOfRange('int16', value);
    const at = this.#reserve(2);
    this.#view.setInt16(at, value);
  }
  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange('uint16', value);
    const at = this.#reserve(2);
    this.#view.setUint16(at, value);
  }
  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange('int32', value);
    const at = this.#reserve(4);
    this.#view.setInt32(at, value);
  }
  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('uint32', value);
    const at = this.#reserve(4);
    this.#view.setUint32(at, value);
  }
  float64(value: number): void {
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value);
  }

  /** The number 2^63 stands for 2^63-1, the nearest number there is to Kafka's largest int64. */
  int64(value: number): void {
    if (!Number.isInteger(value) || value > MAX_INT64 || value < -MAX_INT64) throw outOfRange('int64', value);
    const at = this.#reserve(8);
    if (value === MAX_INT64) {
      this.#view.setInt32(at, 0x7fff_ffff);
      this.#view.setUint32(at + 4, 0xffff_ffff);
      return;
    }
    this.#view.setInt32(at, Math.floor(value / TWO_32));
    this.#view.setUint32(at + 4, value >>> 0);
  }

  uuid(value: string): void {
    const at = this.#reserve(UUID_BYTES);
    const written = value.length === 22 ? this.#bytes.write(value, at, UUID_BYTES, 'base64url') : 0;
    if (written !== UUID_BYTES) {
      throw new EncodeError(`'${value}' is not a uuid; 22 characters of base64url are`);
    }
  }

  unsignedVarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      const at = this.#reserve(1);
      this.#view.setUint8(at, (rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    const at = this.#reserve(1);
    this.#view.setUint8(at, rest);
  }

  /** A length or count; -1 is null. */
  length16(length: number): void {
    if (length > 0x7fff) throw outOfRange('int16 length', length);
    this.int16(length);
  }
  length32(compact: boolean, length: number): void {
    if (compact) this.unsignedVarint(length + 1);
    else this.int32(length);
  }

  text(compact: boolean, value: string): void {
    const length = Buffer.byteLength(value);
    if (compact) this.unsignedVarint(length + 1);
    else this.length16(length);
    const at = this.#reserve(length);
    this.#bytes.write(value, at, length, 'utf8');
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Makes `bytes` part of the message without copying, unless copying is cheaper. They must not change until sent. */
  splice(bytes: Uint8Array): void {
    if (bytes.length < COPY_BELOW_BYTES) {
      this.raw(bytes);
      return;
    }
    this.#endPiece();
    this.#pieces.push(bytes);
    this.#piecesBytes += bytes.length;
  }

  /** Writes what `write` writes, preceded by its size as a varint. `write` must not splice. */
  sized(write: () => void): void {
    this.#reserve(1);
    const piecesBefore = this.#pieces.length;
    const before = this.sizeBytes;
    write();
    if (this.#pieces.length !== piecesBefore)
      throw new EncodeError('records have no place in a tagged field');
    const size = this.sizeBytes - before;
    // One byte was set aside for the size, which is nearly always enough; else the value moves up.
    const moreBytes = varintBytes(size) - 1;
    this.#reserve(moreBytes);
    const valueAt = this.#length - size;
    this.#bytes.copyWithin(valueAt, valueAt - moreBytes, this.#length - moreBytes);
    this.#length = valueAt - moreBytes - 1;
    this.unsignedVarint(size);
    this.#length += size;
  }

  /** May replace the memory: call it before touching `#bytes` or `#view`, never within the same expression. */
  #reserve(length: number): number {
    const at = this.#length;
    if (at + length <= this.#bytes.length) {
      this.#length = at + length;
      return at;
    }
    const unfinished = at - this.#start;
    const grown = Buffer.allocUnsafe(Math.max(unfinished + length, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(this.#start, at));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer, grown.byteOffset, grown.byteLength);
    this.#start = 0;
    this.#length = unfinished + length;
    return unfinished;
  }

  #endPiece(): void {
    if (this.#length === this.#start) return;
    this.#pieces.push(this.#bytes.subarray(this.#start, this.#length));
    this.#piecesBytes += this.#length - this.#start;
    this.#start = this.#length;
  }
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

function outOfRange(type: string, value: number): EncodeError {
  return new EncodeError(`${value} is not an ${type}`);
}
