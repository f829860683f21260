import { snappyCompress as compressBlock } from '@platformatic/wasm-utils/bundled';
import { InflateOutput, OutputLimitError } from './inflate-output.ts';

/**
 * Snappy as Kafka's clients send it: bare, or in the framing of snappy-java (xerial), which the Java client writes
 * and which we write too, because every client reads it. Decoding is written here for the reasons given in lz4.ts.
 *
 *   xerial   = 0x82 "SNAPPY" 0x00 version:int32 compatible:int32 *( size:int32 block )
 *   block    = inflatedSize:uvarint *element
 *   element  = literal: size-1 in 6 bits, or 60..63 and size-1 in the next 1..4 bytes; low bits 00; bytes
 *            | copy 01: oooLLL01 o          size L+4,  distance of 11 bits
 *            | copy 10: LLLLLL10 o:le16     size L+1
 *            | copy 11: LLLLLL11 o:le32     size L+1
 */
const XERIAL_MAGIC = new Uint8Array([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_BYTES = 16;
const XERIAL_VERSION = 1;
/** Block size of snappy-java. */
const XERIAL_BLOCK_BYTES = 32 * 1024;
const MAX_PREAMBLE_BYTES = 5;

/** @throws {RangeError} whatever is wrong with the bytes, also when they would inflate beyond `maxBytes` */
export function snappyDecompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (!isXerial(bytes)) return inflate([bytes], maxBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks: Uint8Array[] = [];
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length;) {
    const size = view.getInt32(at);
    at += 4;
    if (size <= 0 || size > bytes.length - at) throw new RangeError(`a snappy block of ${size} bytes`);
    blocks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return inflate(blocks, maxBytes);
}

export function snappyCompress(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = XERIAL_HEADER_BYTES;
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK_BYTES) {
    const length = Math.min(XERIAL_BLOCK_BYTES, bytes.length - at);
    const block = compressBlock(Buffer.from(bytes.buffer, bytes.byteOffset + at, length));
    parts.push(block);
    size += 4 + block.length;
  }
  const framed = new Uint8Array(size);
  const view = new DataView(framed.buffer);
  framed.set(XERIAL_MAGIC);
  view.setInt32(8, XERIAL_VERSION);
  view.setInt32(12, XERIAL_VERSION);
  let at = XERIAL_HEADER_BYTES;
  for (const block of parts) {
    view.setInt32(at, block.length);
    framed.set(block, at + 4);
    at += 4 + block.length;
  }
  return framed;
}

function isXerial(bytes: Uint8Array): boolean {
  return bytes.length >= XERIAL_HEADER_BYTES && XERIAL_MAGIC.every((byte, index) => bytes[index] === byte);
}

/** The sizes the blocks claim are summed and checked first: nothing is allocated for a lie. */
function inflate(blocks: readonly Uint8Array[], maxBytes: number): Uint8Array {
  let total = 0;
  const preambles = blocks.map((block) => {
    const preamble = readPreamble(block);
    total += preamble.inflatedBytes;
    return preamble;
  });
  if (total > maxBytes) throw new OutputLimitError(maxBytes);
  const output = new InflateOutput(total, total);
  blocks.forEach((block, index) => {
    const preamble = preambles[index];
    if (preamble === undefined) return;
    const blockAt = output.length;
    inflateBlock(block, preamble.sizeBytes, output);
    if (output.length - blockAt !== preamble.inflatedBytes) {
      throw new RangeError(`a snappy block inflates to ${output.length - blockAt} bytes`);
    }
  });
  return output.finish();
}

function readPreamble(block: Uint8Array): { readonly inflatedBytes: number; readonly sizeBytes: number } {
  let inflatedBytes = 0;
  for (let index = 0; index < MAX_PREAMBLE_BYTES; index++) {
    const byte = block[index];
    if (byte === undefined) break;
    inflatedBytes += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { inflatedBytes, sizeBytes: index + 1 };
  }
  throw new RangeError('a snappy block does not tell its size');
}

function inflateBlock(block: Uint8Array, from: number, output: InflateOutput): void {
  const blockAt = output.length;
  let at = from;
  const littleEndian = (byteCount: number): number => {
    if (byteCount > block.length - at) throw new RangeError('a snappy element is cut short');
    let value = 0;
    for (let scale = 1, end = at + byteCount; at < end; at++, scale *= 256) value += (block[at] ?? 0) * scale;
    return value;
  };
  while (at < block.length) {
    const tag = block[at++] ?? 0;
    const kind = tag & 0x03;
    const size = tag >>> 2;
    if (kind === 0) {
      const length = (size < 60 ? size : littleEndian(size - 59)) + 1;
      if (length > block.length - at) throw new RangeError('snappy literals are cut short');
      output.copyFrom(block, at, at + length);
      at += length;
      continue;
    }
    const length = kind === 1 ? (size & 0x07) + 4 : size + 1;
    const distance = kind === 1 ? ((tag >>> 5) << 8) + littleEndian(1) : littleEndian(kind === 2 ? 2 : 4);
    if (distance > output.length - blockAt) throw new RangeError('a snappy copy reaches before the block');
    output.repeat(distance, length);
  }
}
