import { type ErrorCode, Errors } from '../wire/errors.ts';
import type { LogConfig } from '../wire/log-config.ts';
import { BATCH_HEADER_BYTES, type BatchHeader, CompressionType } from '../wire/records/batch-header.ts';
import {
  DecompressionError,
  InflatesTooFarError,
  MAX_DECOMPRESSED_BYTES,
} from '../wire/records/compression.ts';
import { InvalidRecordsError, recordsOf } from '../wire/records/read-records.ts';
import { checkBatch } from '../wire/records/validate-batch.ts';

/** Records named in one refusal; the batch fails as a whole anyway, and an answer must stay small. */
const MAX_RECORD_ERRORS = 100;
/** Length, attributes, two deltas, key and value lengths, header count: a record has a byte of each at least. */
const MIN_RECORD_BYTES = 7;
/** A record without a time of its own is not held against the bounds. */
const NO_TIMESTAMP = -1;

export interface Refusal {
  readonly error: ErrorCode;
  readonly errorMessage: string;
  /** KIP-467: the records at fault, by index in the batch. */
  readonly recordErrors?: readonly RecordError[];
}

export interface RecordError {
  readonly index: number;
  readonly message: string;
}

/**
 * Whether this batch, the whole of its bytes, may be appended as it is: Kafka's checks in Kafka's order (`UnifiedLog`, `LogValidator`).
 * Bytes of the coordinator skip what only a client can get wrong. Records are looked into, and decompressed, only
 * where the topic asks for it.
 */
export function validateBatch(
  batch: BatchHeader,
  config: LogConfig,
  origin: 'client' | 'coordinator',
  nowMs: number,
): Refusal | undefined {
  const { bytes } = batch;
  // Before the checksum, as in Kafka: a batch that is too large is told so, whatever it holds.
  if (
    bytes.length > config.maxMessageBytes &&
    bytes.length >= BATCH_HEADER_BYTES &&
    batch.sizeBytes === bytes.length
  ) {
    return refuse(
      Errors.MESSAGE_TOO_LARGE,
      `the batch has ${bytes.length} bytes, max.message.bytes is ${config.maxMessageBytes}`,
    );
  }
  const fault = checkBatch(bytes);
  if (fault !== undefined) return refuse(fault.error, fault.message);
  if (batch.recordCount < 1 || batch.lastOffsetDelta !== batch.recordCount - 1) {
    return refuse(
      Errors.INVALID_RECORD,
      `${batch.recordCount} records cannot have a last offset delta of ${batch.lastOffsetDelta}`,
    );
  }
  // The count is trusted without looking into the records, and each takes an offset: a batch that claims billions would
  // burn the offsets of the log.
  const payloadBytes =
    batch.compression === CompressionType.none ? batch.payload.length : MAX_DECOMPRESSED_BYTES;
  if (batch.recordCount * MIN_RECORD_BYTES > payloadBytes) {
    return refuse(
      Errors.INVALID_RECORD,
      `${batch.recordCount} records do not fit into ${payloadBytes} bytes`,
    );
  }
  if (origin === 'coordinator') return undefined;
  return validateHeader(batch) ?? validateRecords(batch, config, nowMs);
}

/** What a client may not say about its batch. */
function validateHeader(batch: BatchHeader): Refusal | undefined {
  const { baseOffset, producerId, producerEpoch, baseSequence } = batch;
  if (baseOffset !== 0) return refuse(Errors.INVALID_RECORD, `the base offset must be 0, got ${baseOffset}`);
  if (batch.isControl) return refuse(Errors.INVALID_RECORD, 'clients may not write control records');
  if (batch.deleteHorizonMs !== undefined) {
    return refuse(Errors.INVALID_RECORD, 'clients may not set a delete horizon');
  }
  if (producerId < -1 || (producerId >= 0 && (producerEpoch < 0 || baseSequence < 0))) {
    return refuse(
      Errors.INVALID_RECORD,
      `producer ${producerId} sent epoch ${producerEpoch} and sequence ${baseSequence}; none may be negative`,
    );
  }
  // The seam for transactions: nobody can have enrolled this partition, for no transaction can be begun here.
  if (batch.isTransactional) {
    return refuse(Errors.INVALID_TXN_STATE, 'the partition is not part of a transaction of this producer');
  }
  if (batch.isLogAppendTime) {
    return refuse(Errors.INVALID_TIMESTAMP, 'producers may not set the timestamp type to LogAppendTime');
  }
  return undefined;
}

/**
 * Keys on compacted topics, and the bounds of CreateTime. The newest timestamp stands in the header, so only a batch
 * that breaks its bound, or a topic with a bound in the past, makes us look at records.
 */
function validateRecords(batch: BatchHeader, config: LogConfig, nowMs: number): Refusal | undefined {
  const keysNeeded = config.cleanupPolicy.compact;
  const createTime = config.messageTimestampType === 'CreateTime';
  const newestMs = createTime ? nowMs + config.messageTimestampAfterMaxMs : Infinity;
  const oldestMs = createTime ? nowMs - config.messageTimestampBeforeMaxMs : -Infinity;
  const tooNew = batch.maxTimestampMs > newestMs;
  if (!keysNeeded && !tooNew && oldestMs <= 0) return undefined;

  const errors: RecordError[] = [];
  let badTimestamps = tooNew;
  try {
    const records = recordsOf(batch);
    for (let index = 0; records.next(); index++) {
      const { timestampMs } = records;
      let message: string | undefined;
      if (keysNeeded && !records.hasKey) message = 'a compacted topic does not accept records without a key';
      else if (timestampMs !== NO_TIMESTAMP && (timestampMs > newestMs || timestampMs < oldestMs)) {
        badTimestamps = true;
        message = `timestamp ${timestampMs} is outside ${oldestMs} to ${newestMs}`;
      }
      if (message !== undefined && errors.length < MAX_RECORD_ERRORS) errors.push({ index, message });
    }
  } catch (error) {
    if (error instanceof InvalidRecordsError) return refuse(Errors.INVALID_RECORD, error.message);
    // The checksum was right, so it is the same every time: no CORRUPT_MESSAGE, which producers send again. Java splits
    // what is too large, and the halves of an honest batch get in.
    if (error instanceof InflatesTooFarError) return refuse(Errors.MESSAGE_TOO_LARGE, error.message);
    if (error instanceof DecompressionError) return refuse(Errors.INVALID_RECORD, error.message);
    throw error;
  }
  if (errors.length === 0 && !tooNew) return undefined;
  return {
    error: badTimestamps ? Errors.INVALID_TIMESTAMP : Errors.INVALID_RECORD,
    errorMessage: badTimestamps
      ? 'one or more records have been rejected due to invalid timestamp'
      : 'one or more records have no key, which a compacted topic needs',
    recordErrors: errors,
  };
}

/** Whether producers send a batch with this refusal again under its sequence: in parts (Java splits it), or as it was. */
export function comesAgain(error: ErrorCode): boolean {
  return error === Errors.MESSAGE_TOO_LARGE || error === Errors.CORRUPT_MESSAGE;
}

function refuse(error: ErrorCode, errorMessage: string): Refusal {
  return { error, errorMessage };
}
