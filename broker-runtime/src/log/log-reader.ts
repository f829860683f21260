import { CorruptionError, invariant } from '../base/errors.ts';
import type { Events } from '../ports/events.ts';
import { OffsetOutOfRangeError, type Stream, StreamReadError, type StreamSlice } from '../store/stream.ts';
import { type ErrorCode, Errors } from '../wire/errors.ts';
import { BatchHeader } from '../wire/records/batch-header.ts';
import type { LogRead, PartitionLog } from './partition-log.ts';
import type { Traffic } from './traffic.ts';

/** One of so many reads has the checksum of its first batch verified (I33). */
const CHECKSUM_EVERY_READS = 64;

const nothing = (): void => undefined;

type LogBounds = Pick<
  PartitionLog,
  'topicId' | 'partition' | 'logStartOffset' | 'highWatermark' | 'lastStableOffset' | 'logEndOffset'
>;

/** Turns slices of the stream into answers of a fetch: bounds, KIP-74, what goes wrong. */
export class LogReader {
  readonly #log: LogBounds;
  readonly #data: Stream;
  readonly #events: Events;
  readonly #traffic: Traffic;
  #reads = 0;

  constructor(log: LogBounds, data: Stream, events: Events, traffic: Traffic) {
    this.#log = log;
    this.#data = data;
    this.#events = events;
    this.#traffic = traffic;
  }

  /** See `PartitionLog.read`; `untilOffset` is what the reader's isolation lets it see. */
  read(
    fromOffset: number,
    maxBytes: number,
    untilOffset: number,
    minOneBatch: boolean,
  ): LogRead | Promise<LogRead> {
    if (fromOffset < this.#log.logStartOffset || fromOffset > this.#log.logEndOffset) {
      return this.answer(Errors.OFFSET_OUT_OF_RANGE);
    }
    if (fromOffset >= untilOffset || (maxBytes <= 0 && !minOneBatch)) return this.answer(Errors.NONE);
    const firstFits = minOneBatch ? Infinity : maxBytes;
    try {
      const slice = this.#data.read(fromOffset, maxBytes, { untilOffset });
      if (!(slice instanceof Promise)) return this.#serve(slice, firstFits);
      return slice
        .then((arrived) => this.#serve(arrived, firstFits))
        .catch((error: unknown) => this.#readFailed(error, fromOffset));
    } catch (error) {
      return this.#readFailed(error, fromOffset);
    }
  }

  #serve(slice: StreamSlice | undefined, firstFits: number): LogRead {
    if (slice === undefined) return this.answer(Errors.NONE);
    if (slice.sizeBytes > firstFits) {
      slice.release();
      return this.answer(Errors.NONE);
    }
    const problem = this.#damage(slice);
    if (problem !== undefined) {
      slice.release();
      throw new CorruptionError(problem);
    }
    this.#traffic.bytesOut += slice.sizeBytes;
    this.#traffic.requests += 1;
    return this.answer(Errors.NONE, slice);
  }

  /** What is wrong with bytes about to be served: checked at each read's first batch (I32, I33, I34). */
  #damage(slice: StreamSlice): string | undefined {
    invariant(
      slice.nextOffset <= this.#log.highWatermark,
      'I9',
      'nothing above the high watermark is served',
      {
        nextOffset: slice.nextOffset,
        highWatermark: this.#log.highWatermark,
      },
    );
    const first = slice.entries[0];
    if (first === undefined) return undefined;
    const header = new BatchHeader(first.bytes);
    if (header.baseOffset !== first.baseOffset || header.sizeBytes !== first.bytes.length) {
      return `the batch stored at offset ${first.baseOffset} says offset ${header.baseOffset}, ${header.sizeBytes} bytes`;
    }
    if (this.#reads++ % CHECKSUM_EVERY_READS === 0 && header.computeCrc() !== header.crc) {
      return `the CRC of the batch at offset ${first.baseOffset} does not match its bytes`;
    }
    return undefined;
  }

  #readFailed(error: unknown, fromOffset: number): LogRead {
    // Retention moved the log start while the read was under way.
    if (error instanceof OffsetOutOfRangeError) return this.answer(Errors.OFFSET_OUT_OF_RANGE);
    if (!(error instanceof StreamReadError || error instanceof CorruptionError)) throw error;
    this.#events.error('log.read-failed', {
      topicId: this.#log.topicId,
      partition: this.#log.partition,
      fromOffset,
      code: error.code,
      reason: error.message,
    });
    return this.answer(Errors.KAFKA_STORAGE_ERROR);
  }

  /** An answer without bytes, or with those of a slice. */
  answer(error: ErrorCode, slice?: StreamSlice): LogRead {
    return {
      error,
      highWatermark: this.#log.highWatermark,
      lastStableOffset: this.#log.lastStableOffset,
      logStartOffset: this.#log.logStartOffset,
      pieces: slice?.pieces ?? [],
      sizeBytes: slice?.sizeBytes ?? 0,
      release: slice === undefined ? nothing : () => slice.release(),
    };
  }
}
