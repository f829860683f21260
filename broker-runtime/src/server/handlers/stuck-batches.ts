import { BATCH_HEADER_BYTES, BatchHeader } from '../../wire/records/batch-header.ts';

/** What is asked of a producer that makes no progress: ten tries a second in place of hundreds, of up to a MiB each. */
export const STUCK_THROTTLE_MS = 100;

/**
 * A producer that does split what is too large sends it once more as it was: Java makes the first parts as large as its
 * batches are anyway.
 */
const REFUSALS_WITHOUT_PAUSE = 2;

/** Batches that are remembered; beyond it the one refused first is forgotten, and comes twice more without a pause. */
const MAX_REMEMBERED = 1_000;

/**
 * Batches that were MESSAGE_TOO_LARGE, and come again as they were. Java's producer splits such a batch, but one large record
 * with a tiny one beside it into itself, and tries again at once until `delivery.timeout.ms`.
 *
 * The answer says how long to send nothing (KIP-219). Kafka also stops to read the connection for that time, for the sake of
 * clients that do not care; the one that is known to come again does (from version 6 of Produce on), so nothing is muted here.
 */
export class StuckBatches {
  readonly #refusals = new Map<number, number>();

  /** The batch was refused as too large. @returns for how long its producer is to send nothing */
  throttleMs(batch: Uint8Array): number {
    if (batch.length < BATCH_HEADER_BYTES) return 0;
    // Over producer id, sequence and all records. Another batch with the same one costs its producer a pause.
    const { crc } = new BatchHeader(batch);
    const refusals = (this.#refusals.get(crc) ?? 0) + 1;
    this.#refusals.delete(crc);
    this.#refusals.set(crc, refusals);
    const [oldest] = this.#refusals.keys();
    if (oldest !== undefined && this.#refusals.size > MAX_REMEMBERED) this.#refusals.delete(oldest);
    return refusals > REFUSALS_WITHOUT_PAUSE ? STUCK_THROTTLE_MS : 0;
  }
}
