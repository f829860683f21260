import type { Connection, Receiver } from '../../broker-runtime/src/ports/network.ts';

/** A receiver that gives memory of odd sizes and keeps a record of everything it hears. */
export class Recorder implements Receiver {
  readonly connection: Connection;
  readonly arrived: Buffer[] = [];
  arrivedBytes = 0;
  drains = 0;
  readonly ends: (Error | undefined)[] = [];
  onReceived: () => void = () => undefined;
  bufferBytes = 1000;
  #memory = Buffer.alloc(0);
  readonly #changes: (() => void)[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
  }
  buffer(): Uint8Array {
    this.#memory = Buffer.alloc(this.bufferBytes);
    return this.#memory;
  }
  received(length: number): void {
    if (this.ends.length > 0) throw new Error('bytes after the end');
    this.arrived.push(this.#memory.subarray(0, length));
    this.arrivedBytes += length;
    this.onReceived();
    this.#changed();
  }
  drained(): void {
    this.drains++;
    this.#changed();
  }
  closed(error?: Error): void {
    this.ends.push(error);
    this.#changed();
  }
  async until(condition: (self: this) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.#changes.push(resolve));
  }
  #changed(): void {
    for (const resolve of this.#changes.splice(0)) resolve();
  }
}

/** Bytes whose order shows: a pattern of a prime length, so that pieces of any round size differ. */
export const numbered = (length: number): Buffer =>
  Buffer.alloc(
    length,
    Uint8Array.from({ length: 65_521 }, (_, n) => (n * 7 + (n >> 8)) & 255),
  );
export const pauseMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
