import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { type ErrorCode, Errors } from '../wire/errors.ts';

/** How many batches of a producer can be recognised as duplicates: Kafka's limit for requests in flight. */
export const REMEMBERED_BATCHES = 5;

/**
 * Producers remembered by one partition; beyond it the one silent for longest is forgotten, as if it had expired.
 * Bounds memory and keeps a snapshot (at most 163 bytes a producer) below the smallest message limit of a WAL.
 */
export const MAX_PRODUCERS_PER_PARTITION = 5000;

/** First batches remembered that were refused; beyond it the oldest is forgotten, and Kafka's own rule holds for it. */
const MAX_FIRST_REFUSED = 1000;

const MAX_SEQUENCE = 0x7fff_ffff;
/** Numbers kept of a batch: first sequence, last offset delta, first offset, log append time. */
const FIELDS = 4;

/** A batch that was appended before. */
export interface AppendedBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  /** -1 in a topic of CreateTime. */
  readonly logAppendTimeMs: number;
}

interface ProducerEntry {
  epoch: number;
  lastSeenMs: number;
  /** The newest {@link REMEMBERED_BATCHES} batches, oldest first, {@link FIELDS} numbers each: flat, to stay small. */
  readonly batches: number[];
}

/**
 * What makes a retried batch harmless: per producer id its epoch and last batches. The caller checks, appends and
 * records in one turn of the event loop; there is nothing asynchronous here.
 *
 * Time of silence is measured from the append, not from the records' timestamps as Kafka does, so that a producer
 * which loads old data keeps its state.
 */
export class ProducerState {
  /** In the order of the last append: the front is what expires, or is evicted, first. */
  readonly #producers = new Map<number, ProducerEntry>();
  readonly #maxProducers: number;
  /** Producers of whom nothing was appended yet, with the epoch whose first batch was refused and is about to come again. */
  readonly #firstRefused = new Map<number, number>();

  constructor(maxProducers = MAX_PRODUCERS_PER_PARTITION) {
    this.#maxProducers = maxProducers;
  }

  get size(): number {
    return this.#producers.size;
  }

  /**
   * Whether this batch is the next of its producer: `Errors.NONE` to append it, the earlier append when it is a
   * duplicate, else the error to answer.
   */
  check(
    producerId: number,
    epoch: number,
    firstSequence: number,
    lastOffsetDelta: number,
  ): ErrorCode | AppendedBatch {
    const producer = this.#producers.get(producerId);
    if (producer === undefined) {
      return firstSequence !== 0 && this.#firstRefused.get(producerId) === epoch
        ? Errors.OUT_OF_ORDER_SEQUENCE_NUMBER
        : Errors.NONE;
    }
    if (epoch < producer.epoch) return Errors.INVALID_PRODUCER_EPOCH;
    if (epoch > producer.epoch)
      return firstSequence === 0 ? Errors.NONE : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER;
    const { batches } = producer;
    for (let at = 0; at < batches.length; at += FIELDS) {
      if (batches[at] !== firstSequence || batches[at + 1] !== lastOffsetDelta) continue;
      const firstOffset = batches[at + 2] ?? 0;
      return {
        firstOffset,
        lastOffset: firstOffset + lastOffsetDelta,
        logAppendTimeMs: batches[at + 3] ?? -1,
      };
    }
    const expected = nextSequence(batches);
    return expected === undefined || expected === firstSequence
      ? Errors.NONE
      : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER;
  }

  /**
   * The batch of sequence 0 was refused, and comes again, split or unharmed. Of a producer that is not known every sequence is taken,
   * for its state may have expired: but one that was sent behind this batch would take its place, and 0 be out of order for ever.
   */
  refusedFirst(producerId: number, epoch: number): void {
    if (this.#producers.has(producerId)) return;
    this.#firstRefused.delete(producerId);
    this.#firstRefused.set(producerId, epoch);
    const [oldest] = this.#firstRefused.keys();
    if (oldest !== undefined && this.#firstRefused.size > MAX_FIRST_REFUSED)
      this.#firstRefused.delete(oldest);
  }

  /** Remembers an appended (or, while opening, replayed) batch. */
  record(
    producerId: number,
    epoch: number,
    firstSequence: number,
    firstOffset: number,
    lastOffsetDelta: number,
    logAppendTimeMs: number,
    nowMs: number,
  ): void {
    let producer = this.#producers.get(producerId);
    this.#firstRefused.delete(producerId);
    if (producer === undefined) {
      if (this.#producers.size >= this.#maxProducers) this.#evictOldest();
      producer = { epoch, lastSeenMs: nowMs, batches: [] };
    } else {
      // Taken out and put back, so that the map stays in the order of the last append.
      this.#producers.delete(producerId);
      if (producer.epoch !== epoch) producer.batches.length = 0;
      producer.epoch = epoch;
      producer.lastSeenMs = nowMs;
    }
    const { batches } = producer;
    if (batches.length >= REMEMBERED_BATCHES * FIELDS) dropOldest(batches);
    batches.push(firstSequence, lastOffsetDelta, firstOffset, logAppendTimeMs);
    this.#producers.set(producerId, producer);
  }

  /** Whether the batch that ends at `lastOffset` is its producer's newest: the cleaner keeps its header. */
  isLastBatch(producerId: number, lastOffset: number): boolean {
    const batches = this.#producers.get(producerId)?.batches;
    if (batches === undefined || batches.length < FIELDS) return false;
    const at = batches.length - FIELDS;
    return (batches[at + 2] ?? 0) + (batches[at + 1] ?? 0) === lastOffset;
  }

  /** Forgets producers silent for `expirationMs` or longer. */
  expire(nowMs: number, expirationMs: number): void {
    for (const [producerId, producer] of this.#producers) {
      if (nowMs - producer.lastSeenMs < expirationMs) return;
      this.#producers.delete(producerId);
    }
  }

  // Count (4), then for each producer: id (8), epoch (2), last seen (8), batch count (1), and for each batch
  // first sequence (4), last offset delta (4), first offset (8), log append time (8).
  write(writer: ByteWriter): void {
    writer.uint32(this.#producers.size);
    for (const [producerId, { epoch, lastSeenMs, batches }] of this.#producers) {
      writer.safeInt64(producerId);
      writer.int16(epoch);
      writer.safeInt64(lastSeenMs);
      writer.uint8(batches.length / FIELDS);
      for (let at = 0; at < batches.length; at += FIELDS) {
        writer.int32(batches[at] ?? 0);
        writer.int32(batches[at + 1] ?? 0);
        writer.safeInt64(batches[at + 2] ?? 0);
        writer.safeInt64(batches[at + 3] ?? 0);
      }
    }
  }

  /** Reads what {@link write} wrote into this (empty) state. */
  read(reader: ByteReader): void {
    const producerCount = reader.uint32();
    for (let producer = 0; producer < producerCount; producer++) {
      const producerId = reader.safeInt64();
      const epoch = reader.int16();
      const lastSeenMs = reader.safeInt64();
      const batchCount = reader.uint8();
      const batches: number[] = [];
      for (let batch = 0; batch < batchCount; batch++) {
        batches.push(reader.int32(), reader.int32(), reader.safeInt64(), reader.safeInt64());
      }
      this.#producers.set(producerId, { epoch, lastSeenMs, batches });
    }
  }

  #evictOldest(): void {
    const oldest = this.#producers.keys().next();
    if (oldest.done !== true) this.#producers.delete(oldest.value);
  }
}

/** Done for every append: measured at a third of the time of `splice`, which makes an array of what it removes. */
function dropOldest(batches: number[]): void {
  for (let at = FIELDS; at < batches.length; at++) batches[at - FIELDS] = batches[at] ?? 0;
  for (let field = 0; field < FIELDS; field++) batches.pop();
}

/** The sequence after the newest batch; sequences wrap from 2^31-1 to 0. */
function nextSequence(batches: readonly number[]): number | undefined {
  if (batches.length < FIELDS) return undefined;
  const at = batches.length - FIELDS;
  const next = (batches[at] ?? 0) + (batches[at + 1] ?? 0) + 1;
  return next > MAX_SEQUENCE ? next - MAX_SEQUENCE - 1 : next;
}
