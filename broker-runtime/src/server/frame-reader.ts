import type { Clock } from '../ports/clock.ts';
import type { Frame, FrameMemory } from './frame.ts';

/** Why a byte stream is not a Kafka client we can talk to. Stable: counted and logged. */
export type FrameFault = 'frame-length' | 'read-ahead-memory';

/** What a reader reports to; called within `received`, or when memory was granted. */
export interface FrameListener {
  /** A complete request. The listener owns the frame from here on and may call `hold` at once. */
  onFrame(frame: Frame): void;
  /** The stream cannot be read on; the connection must be closed. */
  onFault(fault: FrameFault, detail: string): void;
  /** Reading must stop or may go on. */
  onFlow(flowing: boolean): void;
}

/** Shortest request header there is: api key, version, correlation id (ControlledShutdown 0). */
const FRAME_MIN_BYTES = 8;

/** Bytes that were read and whose turn has not come. */
interface Backlog {
  readonly bytes: Uint8Array;
  readonly chargedBytes: number;
}

/**
 * Cuts a byte stream into requests:
 *
 *   request = length int32 (bytes that follow, at least 8) · header · body
 *
 * Reads land in a buffer shared by all connections and are copied into frames from there; when a frame is cut off at
 * the end of a read, its rest is received straight into its own memory. That is as fast as reading into the frame
 * always, and needs no memory for an idle connection. While memory or the listener's permission is missing, bytes
 * that were already read are set aside and the socket is paused.
 */
export class FrameReader {
  readonly #memory: FrameMemory;
  readonly #clock: Clock;
  readonly #frameMaxBytes: number;
  readonly #listener: FrameListener;

  /** The length field as far as it was read. */
  #length = 0;
  #lengthBytes = 0;
  #frame: Frame | undefined;
  #filledBytes = 0;
  #target: Uint8Array;
  #intoFrame = false;

  #backlog: Backlog | undefined;
  #held = false;
  #waitingForMemory = false;
  #parsing = false;
  #closed = false;
  #flowing = true;
  #partialSinceMs: number | undefined;

  constructor(memory: FrameMemory, clock: Clock, frameMaxBytes: number, listener: FrameListener) {
    this.#memory = memory;
    this.#clock = clock;
    this.#frameMaxBytes = frameMaxBytes;
    this.#listener = listener;
    this.#target = memory.readBuffer;
  }

  /** When the request that is cut off began to arrive, not counting time in which we did not read. */
  get partialSinceMs(): number | undefined {
    return this.#flowing ? this.#partialSinceMs : undefined;
  }

  /** Where the next bytes shall land; see `ports/network`. */
  buffer(): Uint8Array {
    this.#intoFrame = this.#frame !== undefined;
    this.#target = this.#frame?.bytes.subarray(this.#filledBytes) ?? this.#memory.readBuffer;
    return this.#target;
  }

  received(length: number): void {
    if (this.#closed) return;
    if (this.#intoFrame) {
      this.#filledBytes += length;
      this.#deliverIfComplete();
    } else {
      this.#parse(this.#target.subarray(0, length), 0);
    }
    this.#settle();
  }

  /** No further frame may be delivered until `unhold`. */
  hold(): void {
    this.#held = true;
    if (!this.#parsing) this.#settle();
  }

  unhold(): void {
    this.#held = false;
    this.#continue();
  }

  /** Gives back all memory. Nothing is delivered afterwards. */
  close(): void {
    this.#closed = true;
    // Not recycled: the adapter still knows this memory as the place for the next bytes.
    this.#frame?.release(false);
    this.#frame = undefined;
    this.#partialSinceMs = undefined;
    this.#dropBacklog();
  }

  #parse(chunk: Uint8Array, chargedBytes: number): void {
    this.#parsing = true;
    let at = 0;
    while (at < chunk.length && !this.#closed) {
      if (this.#held || this.#waitingForMemory) {
        this.#setAside(chunk.subarray(at), chargedBytes);
        this.#parsing = false;
        return;
      }
      if (this.#frame === undefined) {
        at = this.#readLength(chunk, at);
        continue;
      }
      const copied = Math.min(chunk.length - at, this.#frame.bytes.length - this.#filledBytes);
      this.#frame.bytes.set(chunk.subarray(at, at + copied), this.#filledBytes);
      this.#filledBytes += copied;
      at += copied;
      this.#deliverIfComplete();
    }
    if (chargedBytes > 0) this.#memory.readAhead.release(chargedBytes);
    this.#parsing = false;
  }

  /** @returns where the frame's content begins, or the end of the chunk */
  #readLength(chunk: Uint8Array, from: number): number {
    let at = from;
    while (this.#lengthBytes < 4) {
      const byte = chunk[at];
      if (byte === undefined) return at;
      this.#length = (this.#length << 8) | byte;
      this.#lengthBytes += 1;
      at += 1;
    }
    if (this.#length < FRAME_MIN_BYTES || this.#length > this.#frameMaxBytes) {
      this.#fail(
        'frame-length',
        `a request of ${this.#length} bytes was announced, ${FRAME_MIN_BYTES} to ${this.#frameMaxBytes} are allowed`,
      );
      return at;
    }
    this.#allocate(this.#length);
    return at;
  }

  #allocate(length: number): void {
    const frame = this.#memory.frame(length);
    if (!(frame instanceof Promise)) {
      this.#frame = frame;
      return;
    }
    this.#waitingForMemory = true;
    void frame.then((granted) => {
      this.#waitingForMemory = false;
      if (this.#closed) {
        granted.release(true);
        return;
      }
      this.#frame = granted;
      this.#continue();
    });
  }

  #deliverIfComplete(): void {
    const frame = this.#frame;
    if (frame === undefined || this.#filledBytes < frame.bytes.length) return;
    this.#frame = undefined;
    this.#filledBytes = 0;
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#partialSinceMs = undefined;
    this.#listener.onFrame(frame);
  }

  #setAside(rest: Uint8Array, chargedBytes: number): void {
    if (chargedBytes > 0) {
      this.#backlog = { bytes: rest, chargedBytes };
      return;
    }
    // A read that was already under way when we paused comes on top of what waits.
    const before = this.#backlog?.bytes ?? rest.subarray(0, 0);
    const bytes = new Uint8Array(before.length + rest.length);
    if (!this.#memory.readAhead.tryTake(bytes.length)) {
      this.#fail('read-ahead-memory', `no memory is left for ${bytes.length} bytes behind a waiting request`);
      return;
    }
    bytes.set(before);
    bytes.set(rest, before.length);
    this.#dropBacklog();
    this.#backlog = { bytes, chargedBytes: bytes.length };
  }

  /** Works on what was set aside, then lets the socket flow again. */
  #continue(): void {
    if (this.#parsing || this.#held || this.#waitingForMemory || this.#closed) return;
    const backlog = this.#backlog;
    this.#backlog = undefined;
    if (backlog !== undefined) this.#parse(backlog.bytes, backlog.chargedBytes);
    this.#settle();
  }

  /** Brings pausing and the half-frame clock in line with the state after a step. */
  #settle(): void {
    if (this.#closed) return;
    const partial = this.#frame !== undefined || this.#lengthBytes > 0;
    const flowing = !this.#held && !this.#waitingForMemory && this.#backlog === undefined;
    if (!partial) this.#partialSinceMs = undefined;
    else if (this.#partialSinceMs === undefined || (flowing && !this.#flowing)) {
      this.#partialSinceMs = this.#clock.monotonicMs();
    }
    if (flowing === this.#flowing) return;
    this.#flowing = flowing;
    this.#listener.onFlow(flowing);
  }

  #dropBacklog(): void {
    const backlog = this.#backlog;
    this.#backlog = undefined;
    if (backlog !== undefined) this.#memory.readAhead.release(backlog.chargedBytes);
  }

  #fail(fault: FrameFault, detail: string): void {
    this.close();
    this.#listener.onFault(fault, detail);
  }
}
