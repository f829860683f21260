import type { Receiver } from '../../../broker-runtime/src/ports/network.ts';

/** Collects what arrives and counts what it hears. */
export class Sink implements Receiver {
  readonly memory: Uint8Array;
  readonly arrived: number[] = [];
  drains = 0;
  readonly ends: (Error | undefined)[] = [];

  constructor(bufferBytes = 100) {
    this.memory = new Uint8Array(bufferBytes);
  }
  buffer(): Uint8Array {
    return this.memory;
  }
  received(length: number): void {
    this.arrived.push(...this.memory.subarray(0, length));
  }
  drained(): void {
    this.drains++;
  }
  closed(error?: Error): void {
    this.ends.push(error);
  }
}
