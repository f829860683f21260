import { type ErrorCode, Errors } from '../errors.ts';
import { BATCH_HEADER_BYTES, BatchHeader, CompressionType, MAGIC_V2 } from './batch-header.ts';

export interface BatchFault {
  readonly error: ErrorCode;
  readonly message: string;
}

const HIGHEST_COMPRESSION = CompressionType.zstd;

/**
 * Whether `bytes` are exactly one intact record batch: size, format, checksum, and counts that can be true. What a
 * topic or a producer may not send is the log's matter.
 *
 * Bytes that hold no whole batch are INVALID_RECORD, as in Kafka, and not CORRUPT_MESSAGE: clients send again what was
 * corrupted on its way, and this would be the same every time.
 */
export function checkBatch(bytes: Uint8Array): BatchFault | undefined {
  if (bytes.length < BATCH_HEADER_BYTES) {
    return invalid(`${bytes.length} bytes are no record batch; its header alone has ${BATCH_HEADER_BYTES}`);
  }
  const header = new BatchHeader(bytes);
  if (header.magic !== MAGIC_V2) {
    return invalid(`message format ${header.magic} is not accepted; since Kafka 4.0 only ${MAGIC_V2} is`);
  }
  if (header.sizeBytes < BATCH_HEADER_BYTES) {
    return corrupt(`the batch says it has ${header.sizeBytes} bytes, less than its header`);
  }
  if (header.sizeBytes !== bytes.length) {
    return invalid(
      `exactly one record batch a partition and request is accepted: it says it has ${header.sizeBytes} bytes, ${bytes.length} were sent`,
    );
  }
  const crc = header.computeCrc();
  if (crc !== header.crc) {
    return corrupt(`the batch's checksum is ${header.crc}, its content gives ${crc}`);
  }
  if (header.recordCount < 0 || header.lastOffsetDelta < 0) {
    return invalid(`recordCount ${header.recordCount} and lastOffsetDelta ${header.lastOffsetDelta}`);
  }
  if (header.compression > HIGHEST_COMPRESSION) {
    return {
      error: Errors.UNSUPPORTED_COMPRESSION_TYPE,
      message: `compression type ${header.compression} is not known; 0 to ${HIGHEST_COMPRESSION} are`,
    };
  }
  if (!Number.isSafeInteger(header.producerId)) {
    return invalid(`producer id ${header.producerId} was never given out: ids stay below 2^53`);
  }
  return undefined;
}

function corrupt(message: string): BatchFault {
  return { error: Errors.CORRUPT_MESSAGE, message };
}

function invalid(message: string): BatchFault {
  return { error: Errors.INVALID_RECORD, message };
}
