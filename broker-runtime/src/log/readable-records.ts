import type { BatchHeader } from '../wire/records/batch-header.ts';
import { decompress, DecompressionError } from '../wire/records/compression.ts';
import { InvalidRecordsError, RecordCursor } from '../wire/records/read-records.ts';

/**
 * The records of a stored batch; undefined for one whose records are not what its header says. Batches are opaque to
 * the broker unless the topic is compacted, so a producer may have stored such a thing.
 */
export function readableRecords(batch: BatchHeader): RecordCursor | undefined {
  try {
    const payload = decompress(batch.compression, batch.payload);
    // Walked once to the end: a batch that breaks in its middle must not be cleaned up to there.
    const walk = new RecordCursor(batch, payload);
    while (walk.next());
    return new RecordCursor(batch, payload);
  } catch (error) {
    if (error instanceof InvalidRecordsError || error instanceof DecompressionError) return undefined;
    throw error;
  }
}
