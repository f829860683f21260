import { combineCrc32c, crc32c, CRC32C_COMBINE_FROM_BYTES } from '../../base/crc32c.ts';

/**
 * Record batch, message format v2 (KIP-98). All integers big-endian.
 *
 *   at  size
 *    0   8   baseOffset             offset of the first record
 *    8   4   batchLength            bytes after this field: the size of the batch is this + 12
 *   12   4   partitionLeaderEpoch
 *   16   1   magic                  2
 *   17   4   crc                    CRC-32C of everything from attributes to the end
 *   21   2   attributes             see below
 *   23   4   lastOffsetDelta        last offset - baseOffset; kept by compaction when the last record goes
 *   27   8   baseTimestamp          ms; record timestamps are deltas to it. The delete horizon when bit 6 is set
 *   35   8   maxTimestamp           ms; the append time when bit 3 is set
 *   43   8   producerId             -1: not idempotent
 *   51   2   producerEpoch
 *   53   4   baseSequence
 *   57   4   recordCount
 *   61       records                compressed together, as attributes say
 *
 *   attributes: bits 0-2 compression (0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd), bit 3 timestamp type (0 create,
 *   1 log append), bit 4 transactional, bit 5 control, bit 6 delete horizon set, rest unused
 *
 * The fields before `attributes` are outside the CRC: that is what lets a broker assign an offset without touching
 * what the producer signed.
 */
export const BATCH_HEADER_BYTES = 61;
/** Bytes up to and including batchLength: what must be read to know how long the batch is. */
export const BATCH_PREFIX_BYTES = 12;
/** The only message format since Kafka 4.0. */
export const MAGIC_V2 = 2;

const AT = {
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

const COMPRESSION_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const DELETE_HORIZON = 0x40;

export const CompressionType = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type CompressionType = (typeof CompressionType)[keyof typeof CompressionType];

const TWO_32 = 0x1_0000_0000;

/**
 * The header of one batch where it lies in `bytes`. Getters read the memory each time; nothing is copied.
 * The memory must hold {@link BATCH_HEADER_BYTES} from `at` on, or the getters throw RangeError.
 */
export class BatchHeader {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.byteLength - at);
  }

  get baseOffset(): number {
    return this.#int64(0);
  }
  get lastOffset(): number {
    return this.baseOffset + this.lastOffsetDelta;
  }
  get nextOffset(): number {
    return this.lastOffset + 1;
  }
  /** Of the whole batch, header included. Not trustworthy before `checkBatch`. */
  get sizeBytes(): number {
    return this.#view.getInt32(AT.batchLength) + BATCH_PREFIX_BYTES;
  }
  get partitionLeaderEpoch(): number {
    return this.#view.getInt32(AT.partitionLeaderEpoch);
  }
  get magic(): number {
    return this.#view.getInt8(AT.magic);
  }
  get crc(): number {
    return this.#view.getUint32(AT.crc);
  }
  get attributes(): number {
    return this.#view.getInt16(AT.attributes);
  }
  get lastOffsetDelta(): number {
    return this.#view.getInt32(AT.lastOffsetDelta);
  }
  get baseTimestampMs(): number {
    return this.#int64(AT.baseTimestamp);
  }
  get maxTimestampMs(): number {
    return this.#int64(AT.maxTimestamp);
  }
  get producerId(): number {
    return this.#int64(AT.producerId);
  }
  get producerEpoch(): number {
    return this.#view.getInt16(AT.producerEpoch);
  }
  get baseSequence(): number {
    return this.#view.getInt32(AT.baseSequence);
  }
  get recordCount(): number {
    return this.#view.getInt32(AT.recordCount);
  }

  /** 0 to 7, of which {@link CompressionType} names the known ones. */
  get compression(): number {
    return this.attributes & COMPRESSION_MASK;
  }
  get isLogAppendTime(): boolean {
    return (this.attributes & LOG_APPEND_TIME) !== 0;
  }
  get isTransactional(): boolean {
    return (this.attributes & TRANSACTIONAL) !== 0;
  }
  get isControl(): boolean {
    return (this.attributes & CONTROL) !== 0;
  }
  /** When tombstones of this batch may go; undefined before the first compaction saw them (KIP-534). */
  get deleteHorizonMs(): number | undefined {
    return (this.attributes & DELETE_HORIZON) === 0 ? undefined : this.baseTimestampMs;
  }

  /** The batch, without what follows it in `bytes`. */
  get batch(): Uint8Array {
    return this.bytes.subarray(this.at, this.at + this.sizeBytes);
  }
  /** The records, compressed as {@link compression} says. */
  get payload(): Uint8Array {
    return this.bytes.subarray(this.at + BATCH_HEADER_BYTES, this.at + this.sizeBytes);
  }

  /** What the CRC field should say. */
  computeCrc(): number {
    return crc32c(this.bytes.subarray(this.at + AT.attributes, this.at + this.sizeBytes));
  }

  /**
   * The CRC-32C of the whole batch, header included, made from what the CRC field says without reading the records
   * again; undefined for a batch too small for that to pay.
   */
  get wholeCrc(): number | undefined {
    const { sizeBytes } = this;
    if (sizeBytes < CRC32C_COMBINE_FROM_BYTES) return undefined;
    const prefix = this.bytes.subarray(this.at, this.at + AT.attributes);
    return combineCrc32c(crc32c(prefix), this.crc, sizeBytes - AT.attributes);
  }

  /** Gives the batch its place in the log. Outside the CRC, which stays the producer's. */
  assignOffset(baseOffset: number, partitionLeaderEpoch: number): void {
    this.#setInt64(0, baseOffset);
    this.#view.setInt32(AT.partitionLeaderEpoch, partitionLeaderEpoch);
  }

  /** Makes `timestampMs` the time of all records (message.timestamp.type=LogAppendTime) and signs the batch anew. */
  stampLogAppendTime(timestampMs: number): void {
    this.#view.setInt16(AT.attributes, this.attributes | LOG_APPEND_TIME);
    this.#setInt64(AT.maxTimestamp, timestampMs);
    this.#view.setUint32(AT.crc, this.computeCrc());
  }

  /** Fills in a whole header; the payload must be in place, because the CRC covers it. */
  write(fields: BatchHeaderFields): void {
    this.#setInt64(0, fields.baseOffset);
    this.#view.setInt32(AT.batchLength, fields.sizeBytes - BATCH_PREFIX_BYTES);
    this.#view.setInt32(AT.partitionLeaderEpoch, fields.partitionLeaderEpoch);
    this.#view.setInt8(AT.magic, MAGIC_V2);
    this.#view.setInt16(
      AT.attributes,
      fields.compression |
        (fields.isLogAppendTime ? LOG_APPEND_TIME : 0) |
        (fields.isTransactional ? TRANSACTIONAL : 0) |
        (fields.isControl ? CONTROL : 0) |
        (fields.hasDeleteHorizon ? DELETE_HORIZON : 0),
    );
    this.#view.setInt32(AT.lastOffsetDelta, fields.lastOffsetDelta);
    this.#setInt64(AT.baseTimestamp, fields.baseTimestampMs);
    this.#setInt64(AT.maxTimestamp, fields.maxTimestampMs);
    this.#setInt64(AT.producerId, fields.producerId);
    this.#view.setInt16(AT.producerEpoch, fields.producerEpoch);
    this.#view.setInt32(AT.baseSequence, fields.baseSequence);
    this.#view.setInt32(AT.recordCount, fields.recordCount);
    this.#view.setUint32(AT.crc, this.computeCrc());
  }

  #int64(at: number): number {
    return this.#view.getInt32(at) * TWO_32 + this.#view.getUint32(at + 4);
  }
  #setInt64(at: number, value: number): void {
    this.#view.setInt32(at, Math.floor(value / TWO_32));
    this.#view.setUint32(at + 4, value >>> 0);
  }
}

export interface BatchHeaderFields {
  readonly baseOffset: number;
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  readonly compression: CompressionType;
  readonly isLogAppendTime: boolean;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly hasDeleteHorizon: boolean;
  readonly lastOffsetDelta: number;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/**
 * The batches that lie one after another in `bytes`, up to the last whole one: Kafka's fetch responses may end
 * within a batch.
 */
export function* wholeBatches(bytes: Uint8Array): Generator<BatchHeader, void, undefined> {
  let at = 0;
  while (bytes.length - at >= BATCH_HEADER_BYTES) {
    const header = new BatchHeader(bytes, at);
    const { sizeBytes } = header;
    if (sizeBytes < BATCH_HEADER_BYTES || sizeBytes > bytes.length - at) return;
    yield header;
    at += sizeBytes;
  }
}
