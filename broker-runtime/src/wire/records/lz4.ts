import { InflateOutput } from './inflate-output.ts';

/**
 * LZ4 decoding, written here because the WebAssembly codec we compress with cannot be bounded: it inflates before it
 * can be asked for the size, and traps on broken input without freeing its memory, which never shrinks.
 *
 *   frames     = *( frame | skippable )
 *   frame      = 0x184D2204:le32 FLG BD [contentSize:le64] [dictId:le32] HC *block 0:le32 [contentChecksum:le32]
 *   block      = size:le32 bytes [blockChecksum:le32]      top bit of size: stored, not compressed
 *   skippable  = 0x184D2A5x:le32 size:le32 bytes
 *   sequence   = token [moreLiterals] literals [ offset:le16 [moreMatch] ]      the last one ends after its literals
 *
 * Checksums are not verified: the batch's CRC-32C covers these bytes already.
 */
const MAGIC = 0x184d_2204;
const SKIPPABLE = 0x184d_2a50;
const SKIPPABLE_MASK = 0xffff_fff0;

const FLAG_DICTIONARY = 0x01;
const FLAG_CONTENT_CHECKSUM = 0x04;
const FLAG_CONTENT_SIZE = 0x08;
const FLAG_BLOCK_CHECKSUM = 0x10;
const VERSION_MASK = 0xc0;
const VERSION_1 = 0x40;
const STORED = 0x8000_0000;
const MIN_MATCH_BYTES = 4;
/** The best LZ4 can do: each byte of a length adds 255. */
const MAX_RATIO = 255;

/** @throws {RangeError} whatever is wrong with the bytes, also when they would inflate beyond `maxBytes` */
export function lz4Decompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const input = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const output = new InflateOutput(
    Math.min(maxBytes, bytes.length * 4),
    Math.min(maxBytes, bytes.length * MAX_RATIO),
  );
  let at = 0;
  while (at < bytes.length) {
    const magic = input.getUint32(at, true);
    if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE) {
      at += 8 + input.getUint32(at + 4, true);
      continue;
    }
    if (magic !== MAGIC) throw new RangeError(`no LZ4 frame begins at byte ${at}`);
    at = readFrame(bytes, input, at, output);
  }
  if (at > bytes.length) throw new RangeError('an LZ4 frame is cut short');
  return output.finish();
}

function readFrame(bytes: Uint8Array, input: DataView, start: number, output: InflateOutput): number {
  const flags = input.getUint8(start + 4);
  if ((flags & VERSION_MASK) !== VERSION_1) throw new RangeError('LZ4 frame version is not 1');
  if ((flags & FLAG_DICTIONARY) !== 0) throw new RangeError('LZ4 frame needs a dictionary');
  let at = start + 7 + ((flags & FLAG_CONTENT_SIZE) === 0 ? 0 : 8);
  const blockChecksumBytes = (flags & FLAG_BLOCK_CHECKSUM) === 0 ? 0 : 4;
  const frameAt = output.length;
  for (;;) {
    const size = input.getUint32(at, true);
    at += 4;
    if (size === 0) break;
    const end = at + (size & ~STORED);
    if (end > bytes.length) throw new RangeError(`an LZ4 block ends at byte ${end} of ${bytes.length}`);
    if ((size & STORED) === 0) inflateBlock(bytes, at, end, output, frameAt);
    else output.copyFrom(bytes, at, end);
    at = end + blockChecksumBytes;
  }
  return at + ((flags & FLAG_CONTENT_CHECKSUM) === 0 ? 0 : 4);
}

/** Matches may reach back into earlier blocks of the frame, up to `frameAt`: linked blocks need nothing special. */
function inflateBlock(
  bytes: Uint8Array,
  from: number,
  end: number,
  output: InflateOutput,
  frameAt: number,
): void {
  let at = from;
  const byte = (): number => {
    const value = at < end ? bytes[at] : undefined;
    if (value === undefined) throw new RangeError('an LZ4 sequence is cut short');
    at++;
    return value;
  };
  const extended = (length: number): number => {
    let sum = length;
    if (length !== 15) return sum;
    for (;;) {
      const more = byte();
      sum += more;
      if (more !== 255) return sum;
    }
  };
  for (;;) {
    const token = byte();
    const literals = extended(token >>> 4);
    if (literals > end - at) throw new RangeError('LZ4 literals are cut short');
    output.copyFrom(bytes, at, at + literals);
    at += literals;
    if (at === end) return;
    const distance = byte() | (byte() << 8);
    const length = extended(token & 0x0f) + MIN_MATCH_BYTES;
    if (distance > output.length - frameAt) throw new RangeError('an LZ4 match reaches before the frame');
    output.repeat(distance, length);
  }
}
