import { invariant } from '../../../broker-runtime/src/base/errors.ts';
import { ListenError } from '../../../broker-runtime/src/ports/network.ts';
import type {
  Address,
  Connection,
  Listener,
  Network,
  Receiver,
} from '../../../broker-runtime/src/ports/network.ts';
import type { SimClock } from './sim-clock.ts';
import type { SimRandom } from './sim-random.ts';

export type Accept = (connection: Connection) => Receiver;

/** What the system buffers between two processes; what does not fit stays with the sender. */
const SOCKET_BUFFER_BYTES = 64 * 1024;
const FIRST_EPHEMERAL_PORT = 49_152;

/**
 * TCP between processes of one simulation: bytes arrive in order, but chopped into pieces of 1 byte to 64 KiB,
 * each after a delay of its own. Everything a receiver hears comes from a timer of the clock, never from inside
 * a call it made.
 */
export class SimNetwork implements Network {
  readonly #clock: SimClock;
  readonly #random: SimRandom;
  readonly #listeners = new Map<string, SimListener>();
  readonly #connections = new Set<SimConnection>();
  #nextPort = FIRST_EPHEMERAL_PORT;
  /** Greatest delay of one delivery. */
  maxDelayMs = 2;
  /** Greatest piece of one delivery: tests of framing set it to 1. */
  maxChunkBytes = 64 * 1024;

  constructor(clock: SimClock, random: SimRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  async listen(address: Address, accept: Accept): Promise<Listener> {
    const port = address.port === 0 ? this.#nextPort++ : address.port;
    const name = `${address.host}:${port}`;
    if (this.#listeners.has(name)) throw new ListenError('ADDRESS_IN_USE', `${name} is already in use`);
    const listener = new SimListener({ host: address.host, port }, accept, () =>
      this.#listeners.delete(name),
    );
    this.#listeners.set(name, listener);
    return listener;
  }

  /** The client's side. @throws {Error} with code ECONNREFUSED when nobody listens there */
  async connect(address: Address, accept: Accept): Promise<Connection> {
    await this.#clock.sleep(this.#delayMs());
    const listener = this.#listeners.get(`${address.host}:${address.port}`);
    if (listener === undefined) {
      throw systemError('ECONNREFUSED', `nobody listens on ${address.host}:${address.port}`);
    }
    const local = { host: '127.0.0.1', port: this.#nextPort++ };
    const link: Link = {
      clock: this.#clock,
      delayMs: () => this.#delayMs(),
      chunkBytes: () => this.#random.between(1, this.maxChunkBytes),
      resets: () => this.#random.chance(0.5),
      gone: (connection) => this.#connections.delete(connection),
    };
    const client = new SimConnection(link, local, address);
    const server = new SimConnection(link, address, local);
    this.#connections.add(client).add(server);
    client.join(server, accept);
    server.join(client, listener.accept);
    return client;
  }

  /** Ends that have not heard `closed` yet: a leak test asks for 0. */
  get openEnds(): number {
    return this.#connections.size;
  }

  /** Cuts every connection, as a failing link does. */
  resetAll(): void {
    for (const connection of [...this.#connections]) {
      connection.reset(systemError('ECONNRESET', 'simulated: the link failed'));
    }
  }

  #delayMs(): number {
    return this.#random.below(1000 * this.maxDelayMs + 1) / 1000;
  }
}

class SimListener implements Listener {
  readonly address: Address;
  readonly accept: Accept;
  readonly #stop: () => void;

  constructor(address: Address, accept: Accept, stop: () => void) {
    this.address = address;
    this.accept = accept;
    this.#stop = stop;
  }

  async close(): Promise<void> {
    this.#stop();
  }
}

interface Link {
  readonly clock: SimClock;
  delayMs(): number;
  chunkBytes(): number;
  /** Whether a destroyed connection shows the peer a reset, or an orderly end after what was on its way. */
  resets(): boolean;
  gone(connection: SimConnection): void;
}

interface Unsent {
  piece: Uint8Array;
  readonly sent: (() => void) | undefined;
}

class SimConnection implements Connection {
  readonly local: Address;
  readonly remote: Address;
  readonly #link: Link;
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
  #deliveryScheduled = false;
  #fillScheduled = false;

  constructor(link: Link, local: Address, remote: Address) {
    this.#link = link;
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
    if (this.#link.resets()) {
      this.#isEnding = false;
      this.#flying.length = 0;
      this.#flyingBytes = 0;
      this.#soon(() => peer?.reset(systemError('ECONNRESET', 'simulated: the peer reset the connection')));
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

  /** Delivers to the peer, a piece at a time, for as long as it wants to read. */
  scheduleDelivery(): void {
    if (this.#deliveryScheduled) return;
    this.#deliveryScheduled = true;
    this.#link.clock.timer(this.#link.delayMs(), () => {
      this.#deliveryScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    if (peer.#isOver) {
      // Nobody is there to read: the peer's system answers what still arrives with a reset.
      const hadMore = this.#flyingBytes + this.#unsentBytes > 0;
      if (hadMore) this.reset(systemError('EPIPE', 'simulated: the peer is gone'));
      return;
    }
    if (peer.#isPaused) return;
    const chunk = this.#flying[0];
    if (chunk !== undefined) {
      const target = peer.#receiver?.buffer() ?? new Uint8Array(1);
      invariant(target.length > 0, 'network', 'a receiver offers at least one byte of memory');
      const length = Math.min(chunk.length, target.length, this.#link.chunkBytes());
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
    this.#link.clock.timer(0, () => {
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
      this.#link.gone(this);
      this.#receiver?.closed(error);
    });
  }

  #dropUnsent(): void {
    for (const { sent } of this.#unsent.splice(0)) if (sent !== undefined) this.#soon(sent);
    this.#unsentBytes = 0;
  }

  #soon(call: () => void): void {
    this.#link.clock.timer(0, call);
  }
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
