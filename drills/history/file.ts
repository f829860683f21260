import { once } from 'node:events';
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { ClosedError } from '../../broker-runtime/src/base/errors.ts';
import { formatOperation, type Operation, parseOperation } from './operation.ts';

/** Where the clients put what they saw. Resolves when more may follow, so a slow disk slows the clients down. */
export interface HistorySink {
  record(operation: Operation): Promise<void>;
}

/** What may wait for the disk before clients have to. */
const BUFFER_BYTES = 1024 * 1024;

/** A history on disk, one operation a line, in the order in which the answers came. */
export class HistoryWriter implements HistorySink {
  readonly path: string;
  readonly #stream: WriteStream;
  readonly #failure: Promise<never>;
  #drained: Promise<unknown> | undefined;
  #closed = false;
  #operations = 0;

  constructor(path: string) {
    this.path = path;
    this.#stream = createWriteStream(path, { highWaterMark: BUFFER_BYTES });
    const failure = Promise.withResolvers<never>();
    this.#failure = failure.promise;
    this.#failure.catch(() => undefined); // Reported to whoever records or closes next.
    this.#stream.on('error', failure.reject);
  }

  get operations(): number {
    return this.#operations;
  }

  async record(operation: Operation): Promise<void> {
    if (this.#closed) throw new ClosedError(`the history ${this.path} is closed`);
    this.#operations += 1;
    if (!this.#stream.write(`${formatOperation(operation)}\n`)) {
      this.#drained ??= once(this.#stream, 'drain').finally(() => (this.#drained = undefined));
    }
    if (this.#drained !== undefined) await Promise.race([this.#drained, this.#failure]);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
    await Promise.race([finished(this.#stream), this.#failure]);
  }
}

/** Reads a history line by line; a file of any length takes the memory of one buffer. */
export async function* readHistory(path: string): AsyncGenerator<Operation> {
  const input = createReadStream(path, { highWaterMark: BUFFER_BYTES });
  let line = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Infinity })) {
      line += 1;
      if (text !== '') yield parseOperation(text, `${path}:${line}`);
    }
  } finally {
    input.destroy();
  }
}
