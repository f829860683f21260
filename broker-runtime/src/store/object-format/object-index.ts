import { CorruptionError } from '../../base/errors.ts';
import { ByteReader } from '../../base/bytes.ts';
import { guarded, openUnit } from './checked.ts';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_REF_BYTES,
  CRC_AT,
  FOOTER_BYTES,
  FOOTER_MAGIC,
  HEADER_BYTES,
  HEADER_MAGIC,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
} from './layout.ts';
import type { BlockRef, ObjectIdentity } from './layout.ts';

/** Where the index stands, as the footer says. */
export interface Footer {
  readonly indexCrc: number;
  readonly indexPosition: number;
  readonly indexLength: number;
}

/** Reads the footer: the last {@link FOOTER_BYTES} of an object of `sizeBytes`. @throws {CorruptionError} */
export function readFooter(tail: Uint8Array, objectId: number, sizeBytes: number): Footer {
  const where = `object ${objectId}`;
  if (tail.length < FOOTER_BYTES) {
    throw new CorruptionError(`${where} has ${sizeBytes} bytes, which is less than a footer`);
  }
  const reader = openUnit(tail.subarray(tail.length - FOOTER_BYTES), FOOTER_MAGIC, 'the footer', where);
  return guarded('the footer', where, () => {
    reader.skip(2);
    const indexCrc = reader.uint32();
    checkObjectId(reader.safeInt64(), objectId, 'the footer');
    const indexPosition = reader.safeInt64();
    const indexLength = reader.safeInt64();
    if (
      indexPosition < HEADER_BYTES ||
      indexLength < INDEX_HEADER_BYTES ||
      indexPosition + indexLength + FOOTER_BYTES !== sizeBytes
    ) {
      throw new CorruptionError(
        `the footer of ${where} places an index of ${indexLength} bytes at ${indexPosition} in ${sizeBytes} bytes`,
      );
    }
    return { indexCrc, indexPosition, indexLength };
  });
}

/** Reads the header: the first {@link HEADER_BYTES} of an object. @throws {CorruptionError} */
export function readHeader(head: Uint8Array, where: string): ObjectIdentity {
  if (head.length < HEADER_BYTES) throw new CorruptionError(`${where} is shorter than a header`);
  const bytes = head.subarray(0, HEADER_BYTES);
  const reader = openUnit(bytes, HEADER_MAGIC, 'the header', where);
  return guarded('the header', where, () => {
    const clusterIdLength = reader.uint8();
    reader.skip(1);
    const writerNodeId = reader.int32();
    const objectId = reader.safeInt64();
    const writerEpoch = reader.safeInt64();
    const createdAtWallMs = reader.safeInt64();
    const clusterId = new TextDecoder().decode(reader.slice(clusterIdLength));
    return { clusterId, objectId, writerNodeId, writerEpoch, createdAtWallMs };
  });
}

/**
 * The index of one object, kept as the bytes it was stored as: an object of thousands of blocks costs one
 * buffer, not thousands of heap objects.
 */
export class ObjectIndex {
  readonly objectId: number;
  readonly blockCount: number;
  readonly #view: DataView;

  /** @throws {CorruptionError} unless checksum, order and positions are those of a whole object */
  constructor(bytes: Uint8Array, objectId: number, footer: Footer) {
    const where = `object ${objectId}`;
    const reader = openUnit(bytes, INDEX_MAGIC, 'the index', where);
    if (new ByteReader(bytes, CRC_AT).uint32() !== footer.indexCrc) {
      throw new CorruptionError(`the index of ${where} is not the one its footer names: another checksum`);
    }
    this.objectId = objectId;
    this.blockCount = guarded('the index', where, () => {
      reader.skip(2);
      const blockCount = reader.uint32();
      checkObjectId(reader.safeInt64(), objectId, 'the index');
      if (INDEX_HEADER_BYTES + blockCount * BLOCK_REF_BYTES !== bytes.length) {
        throw new CorruptionError(
          `the index of ${where} names ${blockCount} blocks in ${bytes.length} bytes of index`,
        );
      }
      checkRefs(reader, blockCount, footer, where);
      return blockCount;
    });
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get sizeBytes(): number {
    return this.#view.byteLength;
  }

  /** The n-th block. */
  block(n: number): BlockRef {
    const at = INDEX_HEADER_BYTES + n * BLOCK_REF_BYTES;
    return {
      streamId: this.#int64(at),
      startOffset: this.#int64(at + 8),
      endOffset: this.#int64(at + 16),
      maxTimestampMs: this.#int64(at + 24),
      position: this.#int64(at + 32),
      length: this.#int64(at + 40),
      crc: this.#view.getUint32(at + 48),
    };
  }

  /** Number of the first block of the stream that ends after `offset`; it may belong to a later stream. */
  firstBlockAfter(streamId: number, offset: number): number {
    let low = 0;
    let high = this.blockCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = INDEX_HEADER_BYTES + middle * BLOCK_REF_BYTES;
      const blockStreamId = this.#int64(at);
      if (blockStreamId < streamId || (blockStreamId === streamId && this.#int64(at + 16) <= offset)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Blocks of the stream that hold offsets in [fromOffset, untilOffset), in order. */
  blocksOf(streamId: number, fromOffset: number, untilOffset: number): BlockRef[] {
    const blocks: BlockRef[] = [];
    for (let n = this.firstBlockAfter(streamId, fromOffset); n < this.blockCount; n++) {
      const block = this.block(n);
      if (block.streamId !== streamId || block.startOffset >= untilOffset) break;
      blocks.push(block);
    }
    return blocks;
  }

  /** Safe: {@link checkRefs} read every field as a safe integer before. */
  #int64(at: number): number {
    return this.#view.getInt32(at) * 0x1_0000_0000 + this.#view.getUint32(at + 4);
  }
}

/** A checksum proves what was written, not that a writer was right: order and positions are checked too. */
function checkRefs(reader: ByteReader, blockCount: number, footer: Footer, where: string): void {
  let position = HEADER_BYTES;
  let streamId = -1;
  let endOffset = 0;
  for (let n = 0; n < blockCount; n++) {
    const ref = {
      streamId: reader.safeInt64(),
      startOffset: reader.safeInt64(),
      endOffset: reader.safeInt64(),
      maxTimestampMs: reader.safeInt64(),
      position: reader.safeInt64(),
      length: reader.safeInt64(),
    };
    reader.skip(8);
    const isInOrder = ref.streamId > streamId || (ref.streamId === streamId && ref.startOffset >= endOffset);
    if (
      !isInOrder ||
      ref.endOffset <= ref.startOffset ||
      ref.position !== position ||
      ref.length < BLOCK_HEADER_BYTES
    ) {
      throw new CorruptionError(
        `block ${n} of the index of ${where} is out of order: stream ${ref.streamId}, offsets ` +
          `[${ref.startOffset}, ${ref.endOffset}) at ${ref.position}, expected at ${position}`,
      );
    }
    streamId = ref.streamId;
    endOffset = ref.endOffset;
    position += ref.length;
  }
  if (position !== footer.indexPosition) {
    throw new CorruptionError(
      `the blocks of ${where} end at ${position}, its index begins at ${footer.indexPosition}`,
    );
  }
}

function checkObjectId(found: number, expected: number, unit: string): void {
  if (found !== expected) {
    throw new CorruptionError(`${unit} of object ${expected} says it belongs to object ${found}`);
  }
}
