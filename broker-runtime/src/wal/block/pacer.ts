/** What a volume is provisioned for. io2 bills operations, so writes keep within them (design D9). */
export interface WalBudget {
  readonly iops: number;
  readonly bytesPerSecond: number;
}

/** io2 counts a write as one operation for each 256 KiB, or part, of it (Amazon EBS user guide, "I/O characteristics"). */
export const OPERATION_BYTES = 256 * 1024;

/** How much unused budget an idle device saves up: a short burst starts at once, and no second exceeds the budget by more. */
export const BURST_MS = 10;

/**
 * Spreads writes of one device over time (the generic cell rate algorithm, ITU-T I.371: a token bucket in one
 * number). An idle device writes at once; a busy one waits, and what waits is grouped into fewer, larger writes.
 */
export class Pacer {
  readonly #msPerOperation: number;
  readonly #msPerByte: number;
  /** When all spent so far would have been earned. */
  #operationsPaidAtMs = Number.NEGATIVE_INFINITY;
  #bytesPaidAtMs = Number.NEGATIVE_INFINITY;

  constructor(budget: WalBudget | undefined) {
    this.#msPerOperation = budget === undefined ? 0 : 1000 / budget.iops;
    this.#msPerByte = budget === undefined ? 0 : 1000 / budget.bytesPerSecond;
  }

  /** 0 when a write may go now. */
  delayMs(nowMs: number): number {
    return Math.max(0, Math.max(this.#operationsPaidAtMs, this.#bytesPaidAtMs) - BURST_MS - nowMs);
  }

  /** A write larger than what is saved up goes into debt: the next ones wait the longer. */
  spend(nowMs: number, bytes: number): void {
    const operations = Math.ceil(bytes / OPERATION_BYTES);
    this.#operationsPaidAtMs = Math.max(nowMs, this.#operationsPaidAtMs) + operations * this.#msPerOperation;
    this.#bytesPaidAtMs = Math.max(nowMs, this.#bytesPaidAtMs) + bytes * this.#msPerByte;
  }
}
