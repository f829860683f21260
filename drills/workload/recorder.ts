import { messageOf } from '../../broker-runtime/src/base/errors.ts';
import type { HistorySink } from '../history/file.ts';
import type { Operation } from '../history/operation.ts';

/** What is kept of errors for the report; the history has all of them. */
const ERRORS_MAX = 100;
const ERROR_TEXT_MAX = 300;

/** One clock and one history for all clients of a workload, and what the workload itself has to know of them. */
export class Recorder {
  readonly #sink: HistorySink;
  readonly #now: () => number;
  readonly #ackedEnd = new Map<number, number>();
  readonly errors: string[] = [];
  #acknowledged = 0;
  #failure: Error | undefined;

  /** @param now milliseconds of a monotonic clock */
  constructor(sink: HistorySink, now: () => number) {
    this.#sink = sink;
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** By partition: one past the greatest acknowledged offset. */
  get ackedEnd(): ReadonlyMap<number, number> {
    return this.#ackedEnd;
  }

  /** Never rejects, because clients would take it for their own error; {@link throwIfFailed} tells. */
  async record(operation: Operation): Promise<void> {
    if (operation.error !== undefined && this.errors.length < ERRORS_MAX) {
      this.errors.push(`${operation.client} ${operation.f}: ${operation.error}`);
    }
    if (operation.f === 'send' && operation.type === 'ok') {
      this.#acknowledged += operation.ops.length;
      for (const { partition, offset = -1 } of operation.ops) {
        this.#ackedEnd.set(partition, Math.max(offset + 1, this.#ackedEnd.get(partition) ?? 0));
      }
    }
    try {
      await this.#sink.record(operation);
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(messageOf(error));
    }
  }

  /** A history that could not be written proves nothing. */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

export function errorText(error: unknown): string {
  return messageOf(error).slice(0, ERROR_TEXT_MAX);
}
