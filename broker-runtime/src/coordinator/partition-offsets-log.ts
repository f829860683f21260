import { CorruptionError } from '../base/errors.ts';
import type { AppendResult, PartitionLog } from '../log/partition-log.ts';
import type { Clock } from '../ports/clock.ts';
import { joinPieces } from '../wire/codec.ts';
import { Errors } from '../wire/errors.ts';
import { wholeBatches, type BatchHeader } from '../wire/records/batch-header.ts';
import { buildBatch } from '../wire/records/build-batch.ts';
import { recordsOf } from '../wire/records/read-records.ts';
import { checkBatch } from '../wire/records/validate-batch.ts';
import { StreamReadError } from '../store/stream.ts';
import type { OffsetRecord, OffsetsLog } from './offsets-log.ts';

/** Read at once while loading: a few large GETs instead of many small ones. */
const REPLAY_READ_BYTES = 1024 * 1024;

/** One partition of `__consumer_offsets` as a log of key-value records. */
export class PartitionOffsetsLog implements OffsetsLog {
  readonly #log: PartitionLog;
  readonly #clock: Clock;
  readonly #admit: (payloadBytes: number, entryCount: number) => Promise<void> | undefined;

  constructor(
    log: PartitionLog,
    clock: Clock,
    admit: (payloadBytes: number, entryCount: number) => Promise<void> | undefined,
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#admit = admit;
  }

  encode(records: readonly OffsetRecord[]): Uint8Array {
    const timestampMs = this.#clock.wallMs();
    return buildBatch({
      records: records.map(({ key, value }, offset) => ({ offset, timestampMs, key, value })),
    });
  }

  admit(sizeBytes: number): Promise<void> | undefined {
    return this.#admit(sizeBytes, 1);
  }

  append(batch: Uint8Array): AppendResult {
    return this.#log.append(batch, { origin: 'coordinator' });
  }

  async replay(visit: (record: OffsetRecord, offset: number) => void): Promise<void> {
    const log = this.#log;
    // The log was opened for this coordinator, which does not write yet: the end stands still.
    const endOffset = log.highWatermark;
    let nextOffset = log.logStartOffset;
    while (nextOffset < endOffset) {
      const read = await log.read(nextOffset, REPLAY_READ_BYTES, {
        isolation: 'read_uncommitted',
        minOneBatch: true,
      });
      try {
        if (read.error !== Errors.NONE) {
          throw new StreamReadError(
            `${log.topic}-${log.partition} cannot be read at offset ${nextOffset}: error ${read.error}`,
          );
        }
        // Compaction may have removed everything up to the end.
        if (read.sizeBytes === 0) return;
        for (const batch of wholeBatches(joinPieces(read.pieces, read.sizeBytes))) {
          this.#visitBatch(batch, nextOffset, visit);
          nextOffset = batch.nextOffset;
        }
      } finally {
        read.release();
      }
      // Decoding takes some 5 µs a record, so 50 ms a read: other partitions of this broker are being served.
      await new Promise<void>((resolve) => {
        this.#clock.afterTurn(resolve);
      });
    }
  }

  #visitBatch(
    batch: BatchHeader,
    fromOffset: number,
    visit: (record: OffsetRecord, offset: number) => void,
  ): void {
    const fault = checkBatch(batch.batch);
    if (fault !== undefined || batch.nextOffset <= fromOffset) {
      throw new CorruptionError(
        `${this.#log.topic}-${this.#log.partition}, batch at offset ${batch.baseOffset} (wanted ${fromOffset}): ` +
          (fault?.message ?? 'it lies before what was asked for'),
      );
    }
    // Markers of transactions carry no offsets.
    if (batch.isControl) return;
    const records = recordsOf(batch);
    while (records.next()) {
      const { key, value } = records;
      if (key !== null) visit({ key, value }, records.offset);
    }
  }
}
