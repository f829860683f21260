import type { Accepted } from '../ports/acceptor.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, Receiver } from '../ports/network.ts';
import type { ConnectionInfo } from './api.ts';
import type { CloseReason } from './close-reason.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Exchange, ExchangeOwner } from './exchange.ts';
import type { Frame, FrameMemory } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import type { ServerOptions } from './options.ts';
import { coalesce } from './reply-pieces.ts';
import type { ServerStatus } from './status.ts';

/** What a connection needs of its server. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly options: ServerOptions;
  readonly memory: FrameMemory;
  readonly status: ServerStatus;
  readonly dispatcher: Dispatcher;
  /** Others wait for memory that unsent replies hold. */
  isFetchMemoryWanted(): boolean;
  /** The server closes the connection, for this reason. */
  onClosing(connection: ClientConnection, reason: CloseReason, detail: string): void;
  /** The connection is gone. */
  onClosed(connection: ClientConnection): void;
  /** Runs `task`; an exception is a fault of ours that must not leave the connection it happened on. */
  guard(connection: ClientConnection, task: () => void): void;
}

/**
 * One client: requests in, replies out.
 *
 *   - Requests start in arrival order, the next one when the one before is answered or allows it (`startNext`).
 *     Produce allows it after its appends, so the order of appends is the order of arrival, while the wait for the
 *     disk overlaps. Fetch allows it when it parks. All others run alone, as on Kafka: a commit is done before the
 *     LeaveGroup behind it begins.
 *   - Replies leave in arrival order. Those that finish in one turn of the event loop leave in one send.
 *   - Reading stops while too many requests are in flight, while memory for requests is short, and while the client
 *     does not take its replies.
 */
export class ClientConnection implements Receiver, ExchangeOwner, Accepted {
  readonly receiver = this;
  readonly info: ConnectionInfo;
  readonly #transport: Connection;
  readonly #host: ConnectionHost;
  readonly #reader: FrameReader;
  readonly #abort = new AbortController();

  /** Complete requests that may not start yet. */
  readonly #waiting: Frame[] = [];
  /** Started requests whose replies have not been handed to the socket, in arrival order. */
  readonly #exchanges: Exchange[] = [];
  #running = false;
  #starting = false;
  #flushScheduled = false;
  /** Over {@link ServerOptions.unsentMaxBytes}: nothing starts until the client has taken its replies. */
  #congested = false;
  #unsentSinceMs: number | undefined;
  #lastActivityMs: number;
  #ending = false;
  #closed = false;

  constructor(id: number, transport: Connection, host: ConnectionHost) {
    this.#transport = transport;
    this.#host = host;
    this.info = { id, remoteHost: transport.remote.host, local: transport.local };
    this.#lastActivityMs = host.clock.monotonicMs();
    this.#reader = new FrameReader(host.memory, host.clock, host.options.requestMaxBytes, {
      onFrame: (frame) => this.#onFrame(frame),
      onFault: (fault, detail) => this.close(fault, detail),
      onFlow: (flowing) => (flowing ? this.#transport.resume() : this.#transport.pause()),
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Requests received and not answered yet. */
  get requestsInFlight(): number {
    return this.#waiting.length + this.#exchanges.length;
  }

  // ---- Receiver -----------------------------------------------------------------------------------------------

  buffer(): Uint8Array {
    return this.#reader.buffer();
  }

  received(length: number): void {
    this.#lastActivityMs = this.#host.clock.monotonicMs();
    this.#host.status.bytesIn += length;
    this.#host.guard(this, () => this.#reader.received(length));
  }

  drained(): void {
    this.#host.guard(this, () => this.#onUnsentChanged());
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.guard(this, () => this.#dispose());
  }

  // ---- ExchangeOwner ------------------------------------------------------------------------------------------

  onStartNext(): void {
    this.#running = false;
    this.#startWaiting();
  }

  onEndConnection(reason: CloseReason, detail: string): void {
    if (this.#closed) return;
    this.#host.onClosing(this, reason, detail);
    this.#ending = true;
    this.#dropWaiting();
  }

  onAnswered(): void {
    if (this.#closed) {
      this.#settleAnswered();
      return;
    }
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#host.clock.afterTurn(() => {
      this.#flushScheduled = false;
      this.#host.guard(this, () => this.#flush());
    });
  }

  onFault(reason: CloseReason, detail: string): void {
    this.close(reason, detail);
  }

  // ---- What the server does to us -----------------------------------------------------------------------------

  /** Enforces the deadlines; called about once a second. */
  checkDeadlines(nowMs: number): void {
    const { frameDeadlineMs, idleDeadlineMs, ...send } = this.#host.options;
    const wanted = this.#host.isFetchMemoryWanted();
    const sendDeadlineMs = wanted ? send.sendDeadlineUnderPressureMs : send.sendDeadlineMs;
    this.#onUnsentChanged();
    const partialSinceMs = this.#reader.partialSinceMs;
    if (partialSinceMs !== undefined && nowMs - partialSinceMs > frameDeadlineMs) {
      this.close('frame-deadline', `a request was not complete after ${frameDeadlineMs} ms`);
    } else if (this.#unsentSinceMs !== undefined && nowMs - this.#unsentSinceMs > sendDeadlineMs) {
      this.close(
        'send-deadline',
        `${this.#transport.unsentBytes} reply bytes were not taken in ${sendDeadlineMs} ms`,
      );
    } else if (this.requestsInFlight === 0 && nowMs - this.#lastActivityMs > idleDeadlineMs) {
      this.close('idle-deadline', `nothing was asked for ${idleDeadlineMs} ms`);
    }
  }

  finish(): void {
    this.#ending = true;
    this.#reader.hold();
    this.#endIfFinished();
  }

  cutOff(): void {
    this.close('shutdown', 'the broker stops');
  }

  /** Closes at once. */
  close(reason: CloseReason, detail: string): void {
    if (this.#closed) return;
    this.#host.onClosing(this, reason, detail);
    this.#closed = true;
    this.#transport.destroy();
    this.#dispose();
  }

  // ---- Requests -----------------------------------------------------------------------------------------------

  #onFrame(frame: Frame): void {
    this.#waiting.push(frame);
    this.#startWaiting();
    this.#regulate();
  }

  #startWaiting(): void {
    if (this.#starting) return;
    this.#starting = true;
    while (!this.#running && !this.#congested && !this.#closed) {
      const frame = this.#waiting.shift();
      if (frame === undefined) break;
      this.#start(frame);
    }
    this.#starting = false;
  }

  #start(frame: Frame): void {
    this.#host.status.requests += 1;
    const exchange = this.#host.dispatcher.open(frame, this);
    if (exchange === undefined) return;
    this.#host.status.countServed(exchange.apiKey, exchange.apiVersion);
    this.#running = true;
    this.#exchanges.push(exchange);
    this.#host.dispatcher.run(exchange);
  }

  /** Stops or resumes reading as the number of requests in flight and the unsent bytes tell. */
  #regulate(): void {
    if (this.#closed || this.#ending) return;
    if (this.#congested || this.requestsInFlight >= this.#host.options.requestsInFlightMax)
      this.#reader.hold();
    else this.#reader.unhold();
  }

  // ---- Replies ------------------------------------------------------------------------------------------------

  #flush(): void {
    if (this.#closed) return;
    const answered = this.#takeAnswered();
    if (answered.length === 0) return;
    const pieces = answered.flatMap((exchange) => exchange.reply ?? []);
    const { bytes, merged } = coalesce(pieces);
    if (bytes === 0) {
      for (const exchange of answered) exchange.settle();
    } else {
      this.#host.status.bytesOut += bytes;
      this.#host.status.sends += 1;
      this.#lastActivityMs = this.#host.clock.monotonicMs();
      this.#transport.send(merged, () => {
        this.#host.guard(this, () => {
          for (const exchange of answered) exchange.settle();
          this.#onUnsentChanged();
        });
      });
    }
    this.#onUnsentChanged();
    this.#endIfFinished();
  }

  #takeAnswered(): Exchange[] {
    let count = 0;
    while (this.#exchanges[count]?.reply !== undefined) count += 1;
    return this.#exchanges.splice(0, count);
  }

  #onUnsentChanged(): void {
    if (this.#closed) return;
    const unsentBytes = this.#transport.unsentBytes;
    if (unsentBytes === 0) this.#unsentSinceMs = undefined;
    else this.#unsentSinceMs ??= this.#host.clock.monotonicMs();
    this.#congested = unsentBytes > this.#host.options.unsentMaxBytes;
    if (!this.#congested) this.#startWaiting();
    this.#regulate();
  }

  // ---- The end ------------------------------------------------------------------------------------------------

  #endIfFinished(): void {
    if (!this.#ending || this.#closed || this.requestsInFlight > 0) return;
    // A paused socket would not hear that the peer has ended too; what it still sends is dropped.
    this.#reader.close();
    this.#transport.resume();
    this.#transport.end();
  }

  #dispose(): void {
    this.#dropWaiting();
    this.#abort.abort();
    this.#settleAnswered();
    this.#host.onClosed(this);
  }

  #dropWaiting(): void {
    this.#reader.close();
    for (const frame of this.#waiting.splice(0)) frame.release(true);
  }

  /** After the end nothing is sent; a request still being worked on settles when its handler is done. */
  #settleAnswered(): void {
    for (let at = this.#exchanges.length - 1; at >= 0; at -= 1) {
      const exchange = this.#exchanges[at];
      if (exchange?.reply === undefined) continue;
      this.#exchanges.splice(at, 1);
      exchange.settle();
    }
  }
}
