import type { Clock, Timer } from '../ports/clock.ts';
import type { Connection, Receiver } from '../ports/network.ts';
import { RpcFaultError } from './errors.ts';
import type { RpcFault } from './errors.ts';
import { decodeFrame, encodeFrame } from './frame.ts';
import type { RpcMessage } from './frame.ts';
import { RpcFrameReader } from './frame-reader.ts';
import type { RpcLimits } from './limits.ts';

/** How often deadlines are looked at: they are exact to this. */
const SWEEP_INTERVAL_MS = 1000;

/** Either side of a connection, as its channel sees it. */
export interface ChannelOwner {
  /** Something is under way that the peer may be silent about for a while. */
  readonly isBusy: boolean;
  onMessage(message: RpcMessage, frameBytes: number): void;
  /** Memory handed to `trySend` left the process. */
  onSent(): void;
  /** The connection is over, or will be at once: called exactly once. An error unless either side closed it on purpose. */
  onClosed(error: Error | undefined): void;
}

/** Messages over one connection, and the deadlines that end it: what both sides have in common. */
export class RpcChannel implements Receiver {
  readonly #transport: Connection;
  readonly #clock: Clock;
  readonly #limits: RpcLimits;
  readonly #owner: ChannelOwner;
  readonly #reader: RpcFrameReader;
  #sweep: Timer;
  #isPaused = false;
  #isEnding = false;
  #isClosed = false;
  #lastActiveMs: number;
  #partialSinceMs: number | undefined;
  /** When the peer last took something, or there was nothing to take. */
  #takenAtMs: number;

  constructor(
    transport: Connection,
    clock: Clock,
    limits: RpcLimits,
    readBuffer: Uint8Array,
    owner: ChannelOwner,
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#limits = limits;
    this.#owner = owner;
    this.#reader = new RpcFrameReader(limits.frameMaxBytes, readBuffer, {
      onFrame: (frame) => this.#onFrame(frame),
      onFault: (error) => this.close(error),
    });
    this.#lastActiveMs = clock.monotonicMs();
    this.#takenAtMs = this.#lastActiveMs;
    this.#sweep = this.#sweepLater();
  }

  get remote(): Connection['remote'] {
    return this.#transport.remote;
  }

  get unsentBytes(): number {
    return this.#transport.unsentBytes;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Sends, unless more than {@link RpcLimits.unsentMaxBytes} would wait for the peer. One message is always taken.
   * @throws {RpcError} TOO_LARGE; nothing was sent then
   */
  trySend(message: RpcMessage): boolean {
    const pieces = encodeFrame(message, this.#limits);
    const { unsentBytes } = this.#transport;
    const frameBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (unsentBytes > 0 && unsentBytes + frameBytes > this.#limits.unsentMaxBytes) return false;
    // Also an answer: who waited long for it may take a moment until the next request.
    this.#lastActiveMs = this.#clock.monotonicMs();
    if (unsentBytes === 0) this.#takenAtMs = this.#lastActiveMs;
    this.#transport.send(pieces, () => {
      this.#takenAtMs = this.#clock.monotonicMs();
      if (!this.#isClosed) this.#owner.onSent();
    });
    return true;
  }

  /** Stops and resumes reading. */
  pause(): void {
    if (this.#isPaused || this.#isEnding) return;
    this.#isPaused = true;
    this.#transport.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.#isEnding) return;
    this.#isPaused = false;
    // The rest of a frame could not come while we did not read.
    if (this.#reader.isPartial) this.#partialSinceMs = this.#clock.monotonicMs();
    this.#transport.resume();
  }

  /** Sends what is queued, then closes; what arrives meanwhile is dropped. */
  end(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.resume();
    this.#isEnding = true;
    this.#reader.close();
    this.#partialSinceMs = undefined;
    this.#transport.end();
  }

  /** Closes at once; `error` is what the owner hears. */
  close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#finish();
    this.#transport.destroy();
    this.#owner.onClosed(error);
  }

  /** Closes because of what the peer did, or did not. */
  fail(fault: RpcFault, what: string): void {
    this.close(new RpcFaultError(fault, what));
  }

  // ---- Receiver -----------------------------------------------------------------------------------------------

  buffer(): Uint8Array {
    return this.#reader.buffer();
  }

  received(length: number): void {
    if (this.#isClosed) return;
    this.#lastActiveMs = this.#clock.monotonicMs();
    this.#reader.received(length);
    if (this.#reader.isPartial) this.#partialSinceMs ??= this.#lastActiveMs;
  }

  drained(): void {
    return;
  }

  closed(error?: Error): void {
    if (this.#isClosed) return;
    this.#finish();
    this.#owner.onClosed(error);
  }

  // -------------------------------------------------------------------------------------------------------------

  #onFrame(frame: Uint8Array): void {
    this.#partialSinceMs = undefined;
    let message: RpcMessage;
    try {
      message = decodeFrame(frame, this.#limits);
    } catch (error) {
      if (!(error instanceof RpcFaultError)) throw error;
      this.close(error);
      return;
    }
    this.#owner.onMessage(message, frame.length);
  }

  #sweepLater(): Timer {
    return this.#clock.timer(SWEEP_INTERVAL_MS, () => {
      this.#checkDeadlines(this.#clock.monotonicMs());
      if (!this.#isClosed) this.#sweep = this.#sweepLater();
    });
  }

  #checkDeadlines(nowMs: number): void {
    const { frameDeadlineMs, sendDeadlineMs, idleDeadlineMs } = this.#limits;
    const { unsentBytes } = this.#transport;
    if (unsentBytes > 0 && nowMs - this.#takenAtMs > sendDeadlineMs) {
      this.fail('send-deadline', `${unsentBytes} bytes were not taken in ${sendDeadlineMs} ms`);
    } else if (this.#isPaused) {
      return;
    } else if (this.#partialSinceMs !== undefined && nowMs - this.#partialSinceMs > frameDeadlineMs) {
      this.fail('frame-deadline', `a frame was not complete after ${frameDeadlineMs} ms`);
    } else if (!this.#owner.isBusy && nowMs - this.#lastActiveMs > idleDeadlineMs) {
      this.fail('idle-deadline', `nothing was asked or answered for ${idleDeadlineMs} ms`);
    }
  }

  #finish(): void {
    this.#isClosed = true;
    this.#sweep.cancel();
    this.#reader.close();
  }
}
