import { invariant } from '../../../broker-runtime/src/base/errors.ts';
import type { Address, Connection, Receiver } from '../../../broker-runtime/src/ports/network.ts';
import type { SimClock } from './sim-clock.ts';

export type Accept = (connection: Connection) => Receiver;

/** What the system buffers between two processes; what does not fit stays with the sender. */
const SOCKET_BUFFER_BYTES = 64 * 1024;

/** What lies between the two ends of a connection. */
export interface Wire {
  readonly clock: SimClock;
  delayMs(from: string, to: string): number;
  /** Whether anything gets from one host to the other now. What does not is sent again when it does. */
  passes(from: string, to: string): boolean;
  chunkBytes(): number;
  /** Whether a destroyed connection shows the peer a reset, or an orderly end after what was on its way. */
  resets(): boolean;
  gone(connection: SimConnection): void;
}

interface Unsent {
  piece: Uint8Array;
  readonly sent: (() => void) | undefined;
}

/** One end of a connection; sends to its peer. */
export class SimConnection implements Connection {
  readonly local: Address;
  readonly remote: Address;
  readonly #wire: Wire;
  #peer: SimConnection | undefined;
  #receiver: Receiver | undefined;
  /** With the sender: not in the system's buffer yet. */
  readonly #unsent: Unsent[] = [];
  #unsentBytes = 0;
  #hadPiledUp = false;
  /** On the way to the peer: copies, as the system makes them. */
  readonly #flying: Uint8Array[] = [];
  #flyingBytes = 0;
  #isPaused = false;
  #isEnding = false;
  #finReceived = false;
  #isOver = false;
  /** Nothing of it ever arrives again, and nobody is told. */
  #isMute = false;
  /** Its process is gone: nothing is delivered to it, not even the end. */
  #isDetached = false;
  #deliveryScheduled = false;
  #fillScheduled = false;

  constructor(wire: Wire, local: Address, remote: Address) {
    this.#wire = wire;
    this.local = local;
    this.remote = remote;
  }

  join(peer: SimConnection, accept: Accept): void {
    this.#peer = peer;
    this.#receiver = accept(this);
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  send(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (this.#isOver || this.#isEnding) {
      if (sent !== undefined) this.#soon(sent);
      return;
    }
    pieces.forEach((piece, index) => {
      this.#unsent.push({ piece, sent: index === pieces.length - 1 ? sent : undefined });
      this.#unsentBytes += piece.length;
    });
    if (pieces.length === 0 && sent !== undefined) this.#unsent.push({ piece: new Uint8Array(0), sent });
    this.#scheduleFill();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#peer?.scheduleDelivery();
  }

  end(): void {
    if (this.#isEnding || this.#isOver) return;
    this.#isEnding = true;
    this.#scheduleFill();
  }

  destroy(): void {
    if (this.#isOver) return;
    const peer = this.#peer;
    if (this.#wire.resets()) {
      this.#isEnding = false;
      this.#flying.length = 0;
      this.#flyingBytes = 0;
      this.#soon(() => this.#resetPeer(peer, 'simulated: the peer reset the connection'));
    } else {
      this.#isEnding = true;
    }
    this.#finish(undefined);
  }

  reset(error: Error): void {
    this.#flying.length = 0;
    this.#flyingBytes = 0;
    this.#finish(error);
  }

  /** From now on nothing that either end sends arrives, as when a router between them forgot the connection. */
  silence(): void {
    this.#isMute = true;
    if (this.#peer !== undefined) this.#peer.#isMute = true;
  }

  /** The process is gone. Its system tells the peer, unless the machine went with it. */
  crash(isSilent: boolean): void {
    if (this.#isDetached) return;
    const peer = this.#peer;
    this.#isDetached = true;
    this.#isOver = true;
    this.#isEnding = false;
    this.#receiver = undefined;
    this.#unsent.length = 0;
    this.#unsentBytes = 0;
    this.#flying.length = 0;
    this.#flyingBytes = 0;
    this.#wire.gone(this);
    if (isSilent) return;
    this.#wire.clock.timer(this.#wire.delayMs(this.local.host, this.remote.host), () =>
      this.#resetPeer(peer, 'simulated: the process of the peer is gone'),
    );
  }

  /** The way is open again: also for what a peer sent that is closed already. */
  resumeDelivery(): void {
    this.scheduleDelivery();
    this.#peer?.scheduleDelivery();
  }

  /** Delivers to the peer, a piece at a time, for as long as it wants to read. */
  scheduleDelivery(): void {
    if (this.#deliveryScheduled) return;
    this.#deliveryScheduled = true;
    this.#wire.clock.timer(this.#wire.delayMs(this.local.host, this.remote.host), () => {
      this.#deliveryScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const peer = this.#peer;
    // When the way opens again, the network calls `scheduleDelivery`.
    if (peer === undefined || !this.#passes()) return;
    if (peer.#isOver) {
      // Nobody is there to read: the peer's system answers what still arrives with a reset.
      const hadMore = this.#flyingBytes + this.#unsentBytes > 0;
      if (hadMore && peer.#passes()) this.reset(systemError('EPIPE', 'simulated: the peer is gone'));
      return;
    }
    if (peer.#isPaused) return;
    const chunk = this.#flying[0];
    if (chunk !== undefined) {
      const target = peer.#receiver?.buffer() ?? new Uint8Array(1);
      invariant(target.length > 0, 'network', 'a receiver offers at least one byte of memory');
      const length = Math.min(chunk.length, target.length, this.#wire.chunkBytes());
      target.set(chunk.subarray(0, length));
      if (length === chunk.length) this.#flying.shift();
      else this.#flying[0] = chunk.subarray(length);
      this.#flyingBytes -= length;
      peer.#receiver?.received(length);
      this.#scheduleFill();
      this.scheduleDelivery();
    } else if (this.#isEnding && this.#unsent.length === 0 && !peer.#finReceived) {
      // The peer's adapter does not keep half-open connections: it sends what it has, and ends too.
      peer.#finReceived = true;
      peer.end();
      peer.#finishIfBothEnded();
    }
  }

  #scheduleFill(): void {
    if (this.#fillScheduled) return;
    this.#fillScheduled = true;
    this.#wire.clock.timer(0, () => {
      this.#fillScheduled = false;
      this.#fill();
    });
  }

  #fill(): void {
    if (this.#isOver) return;
    const sent: (() => void)[] = [];
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      const length = Math.min(next.piece.length, SOCKET_BUFFER_BYTES - this.#flyingBytes);
      if (length > 0) {
        this.#flying.push(next.piece.slice(0, length));
        this.#flyingBytes += length;
        this.#unsentBytes -= length;
        next.piece = next.piece.subarray(length);
      }
      if (next.piece.length > 0) break;
      this.#unsent.shift();
      if (next.sent !== undefined) sent.push(next.sent);
    }
    if (this.#unsent.length > 0) this.#hadPiledUp = true;
    else if (this.#hadPiledUp) {
      this.#hadPiledUp = false;
      this.#soon(() => {
        if (!this.#isOver) this.#receiver?.drained();
      });
    }
    this.scheduleDelivery();
    for (const call of sent) call();
    this.#finishIfBothEnded();
  }

  #finishIfBothEnded(): void {
    if (this.#isEnding && this.#finReceived && this.#unsent.length === 0) this.#finish(undefined);
  }

  #finish(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#dropUnsent();
    // What was sent before an orderly end is still on its way, and so is the end itself.
    if (error === undefined && this.#isEnding) this.scheduleDelivery();
    this.#soon(() => {
      this.#wire.gone(this);
      this.#receiver?.closed(error);
    });
  }

  #dropUnsent(): void {
    for (const { sent } of this.#unsent.splice(0)) if (sent !== undefined) this.#soon(sent);
    this.#unsentBytes = 0;
  }

  #passes(): boolean {
    return !this.#isMute && this.#wire.passes(this.local.host, this.remote.host);
  }

  /** A reset is told once: one that is lost is not sent again. */
  #resetPeer(peer: SimConnection | undefined, why: string): void {
    if (this.#passes()) peer?.reset(systemError('ECONNRESET', why));
  }

  #soon(call: () => void): void {
    this.#wire.clock.timer(0, () => {
      if (!this.#isDetached) call();
    });
  }
}

export function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
