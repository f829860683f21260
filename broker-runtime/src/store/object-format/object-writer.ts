import { ByteWriter } from '../../base/bytes.ts';
import { crc32c, extendCrc32c } from '../../base/crc32c.ts';
import { invariant } from '../../base/errors.ts';
import type { StreamEntry } from '../stream.ts';
import {
  BLOCK_ENTRY_BYTES,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_REF_BYTES,
  CLUSTER_ID_MAX_BYTES,
  CRC_AT,
  CRC_COVERS_FROM,
  FOOTER_BYTES,
  FOOTER_MAGIC,
  FORMAT_VERSION,
  HEADER_BYTES,
  HEADER_MAGIC,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
} from './layout.ts';
import type { BlockRef, ObjectIdentity } from './layout.ts';

/** A finished object: its bytes in order, ready for one PUT. */
export interface ObjectBody {
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Index and footer: equal for equal objects, because the index holds every block's checksum. */
  readonly suffix: Uint8Array;
  readonly footerCrc32c: number;
}

/**
 * Lays entries out as an object without copying them: the pieces of the body are views of the callers' memory,
 * which must not change until the body was stored. Entries come sorted by stream, then offset.
 */
export class ObjectWriter {
  readonly #identity: ObjectIdentity;
  readonly #blockBytes: number;
  readonly #pieces: Uint8Array[];
  readonly #refs: BlockRef[] = [];
  #position = HEADER_BYTES;
  #streamId = -1;
  #endOffset = 0;
  #open: StreamEntry[] = [];
  #openBytes = 0;

  /** `blockBytes`: a block is closed when its payload has reached this much; a larger entry has its own block. */
  constructor(identity: ObjectIdentity, blockBytes: number) {
    this.#identity = identity;
    this.#blockBytes = blockBytes;
    this.#pieces = [encodeHeader(identity)];
  }

  add(streamId: number, entry: StreamEntry): void {
    if (streamId !== this.#streamId) {
      invariant(streamId > this.#streamId, 'I3', 'an object holds its streams in ascending order', {
        streamId,
      });
      this.#closeBlock();
      this.#streamId = streamId;
      this.#endOffset = entry.baseOffset;
    }
    // The context is made only when it is needed: this runs for every entry.
    if (entry.baseOffset < this.#endOffset || entry.count <= 0) {
      const { baseOffset, count } = entry;
      const endOffset = this.#endOffset;
      invariant(false, 'I3', 'entries of a stream ascend', { streamId, baseOffset, count, endOffset });
    }
    if (this.#openBytes > 0 && this.#openBytes + entry.bytes.length > this.#blockBytes) this.#closeBlock();
    this.#open.push(entry);
    this.#openBytes += entry.bytes.length;
    this.#endOffset = entry.baseOffset + entry.count;
  }

  /** Size of the object if it were finished now, give or take the open block's table. */
  get sizeBytes(): number {
    return this.#position + this.#openBytes + this.#refs.length * BLOCK_REF_BYTES + FOOTER_BYTES;
  }

  finish(): ObjectBody {
    this.#closeBlock();
    const suffix = encodeSuffix(this.#identity.objectId, this.#refs, this.#position);
    this.#pieces.push(suffix);
    const footerCrc32c = crc32c(suffix.subarray(suffix.length - FOOTER_BYTES));
    return { pieces: this.#pieces, sizeBytes: this.#position + suffix.length, suffix, footerCrc32c };
  }

  #closeBlock(): void {
    const entries = this.#open;
    const first = entries[0];
    if (first === undefined) return;
    const head = new ByteWriter(BLOCK_HEADER_BYTES + entries.length * BLOCK_ENTRY_BYTES);
    head.uint32(BLOCK_MAGIC);
    head.uint32(0);
    head.uint16(FORMAT_VERSION);
    head.uint16(0);
    head.uint32(entries.length);
    head.safeInt64(this.#identity.objectId);
    head.safeInt64(this.#position);
    head.safeInt64(this.#streamId);
    head.safeInt64(this.#openBytes);
    let maxTimestampMs = -1;
    for (const entry of entries) {
      head.safeInt64(entry.baseOffset);
      head.safeInt64(entry.maxTimestampMs);
      head.uint32(entry.count);
      head.uint32(entry.bytes.length);
      if (entry.maxTimestampMs > maxTimestampMs) maxTimestampMs = entry.maxTimestampMs;
    }
    let crc = crc32c(head.finish().subarray(CRC_COVERS_FROM));
    for (const entry of entries) crc = extendCrc32c(crc, entry.bytes, entry.crc32c);
    head.patchUint32(CRC_AT, crc);

    this.#pieces.push(head.finish());
    for (const entry of entries) this.#pieces.push(entry.bytes);
    const length = head.length + this.#openBytes;
    this.#refs.push({
      streamId: this.#streamId,
      startOffset: first.baseOffset,
      endOffset: this.#endOffset,
      maxTimestampMs,
      position: this.#position,
      length,
      crc,
    });
    this.#position += length;
    this.#open = [];
    this.#openBytes = 0;
  }
}

function encodeHeader(identity: ObjectIdentity): Uint8Array {
  const clusterId = new TextEncoder().encode(identity.clusterId);
  invariant(clusterId.length <= CLUSTER_ID_MAX_BYTES, 'I23', 'a cluster id has at most 64 bytes', {
    clusterId: identity.clusterId,
  });
  const header = new ByteWriter(HEADER_BYTES);
  header.uint32(HEADER_MAGIC);
  header.uint32(0);
  header.uint16(FORMAT_VERSION);
  header.uint8(clusterId.length);
  header.uint8(0);
  header.int32(identity.writerNodeId);
  header.safeInt64(identity.objectId);
  header.safeInt64(identity.writerEpoch);
  header.safeInt64(identity.createdAtWallMs);
  header.raw(clusterId);
  header.raw(new Uint8Array(HEADER_BYTES - header.length));
  header.patchUint32(CRC_AT, crc32c(header.finish().subarray(CRC_COVERS_FROM)));
  return header.finish();
}

function encodeSuffix(objectId: number, refs: readonly BlockRef[], indexPosition: number): Uint8Array {
  const indexLength = INDEX_HEADER_BYTES + refs.length * BLOCK_REF_BYTES;
  const writer = new ByteWriter(indexLength + FOOTER_BYTES);
  writer.uint32(INDEX_MAGIC);
  writer.uint32(0);
  writer.uint16(FORMAT_VERSION);
  writer.uint16(0);
  writer.uint32(refs.length);
  writer.safeInt64(objectId);
  for (const ref of refs) {
    writer.safeInt64(ref.streamId);
    writer.safeInt64(ref.startOffset);
    writer.safeInt64(ref.endOffset);
    writer.safeInt64(ref.maxTimestampMs);
    writer.safeInt64(ref.position);
    writer.safeInt64(ref.length);
    writer.uint32(ref.crc);
    writer.uint32(0);
  }
  const indexCrc = crc32c(writer.finish().subarray(CRC_COVERS_FROM));
  writer.patchUint32(CRC_AT, indexCrc);

  const footerAt = writer.length;
  writer.uint32(FOOTER_MAGIC);
  writer.uint32(0);
  writer.uint16(FORMAT_VERSION);
  writer.uint16(0);
  writer.uint32(indexCrc);
  writer.safeInt64(objectId);
  writer.safeInt64(indexPosition);
  writer.safeInt64(indexLength);
  writer.patchUint32(footerAt + CRC_AT, crc32c(writer.finish().subarray(footerAt + CRC_COVERS_FROM)));
  return writer.finish();
}
