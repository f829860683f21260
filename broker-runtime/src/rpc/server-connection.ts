import { ClosedError, InvariantViolation, MillraceError, messageOf } from '../base/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Accepted } from '../ports/acceptor.ts';
import type { Address, Connection, Receiver } from '../ports/network.ts';
import { RpcChannel } from './channel.ts';
import type { ChannelOwner } from './channel.ts';
import { RPC_REFUSAL, RpcError } from './errors.ts';
import type { RpcBody, RpcFailure, RpcMessage, RpcRequest } from './frame.ts';
import type { RpcLimits } from './limits.ts';

/** Text of an error as it travels: enough for people, and no frame fails for it. */
const ERROR_MESSAGE_MAX_CHARS = 4096;

export interface RpcContext {
  readonly remote: Address;
  /** Aborted when nobody waits any more, or the server stops: a handler that waits answers at once then. */
  readonly signal: AbortSignal;
}

/**
 * Answers one method. A `MillraceError` it throws travels as its code and message; any other is a fault of ours.
 * The blobs of its answer must never change afterwards.
 */
export type RpcHandler = (body: RpcBody, context: RpcContext) => Promise<RpcBody>;

/** What a connection needs of its server. */
export interface RpcConnectionHost {
  readonly clock: Clock;
  readonly limits: RpcLimits;
  /** Shared by all connections: a read is over when it is told. */
  readonly readBuffer: Uint8Array;
  readonly handlers: ReadonlyMap<string, RpcHandler>;
  onHandlerFailed(method: string, error: unknown): void;
  onFatal(error: InvariantViolation): void;
  onClosed(connection: RpcServerConnection, error: Error | undefined): void;
}

/** Requests of one client, each run when it arrives, answered when it is done. */
export class RpcServerConnection implements ChannelOwner, Accepted {
  readonly channel: RpcChannel;
  readonly #host: RpcConnectionHost;
  readonly #abort = new AbortController();
  readonly #context: RpcContext;
  /** Bytes of the frame, by correlation id. */
  readonly #inFlight = new Map<number, number>();
  #inFlightBytes = 0;
  #isFinishing = false;

  constructor(transport: Connection, host: RpcConnectionHost) {
    this.#host = host;
    this.#context = { remote: transport.remote, signal: this.#abort.signal };
    this.channel = new RpcChannel(transport, host.clock, host.limits, host.readBuffer, this);
  }

  get receiver(): Receiver {
    return this.channel;
  }

  finish(): void {
    this.#isFinishing = true;
    this.channel.pause();
    this.#abort.abort();
    this.#endIfFinished();
  }

  cutOff(): void {
    this.channel.fail('shutdown', 'the server stops');
  }

  // ---- ChannelOwner -------------------------------------------------------------------------------------------

  get isBusy(): boolean {
    return this.#inFlight.size > 0;
  }

  onMessage(message: RpcMessage, frameBytes: number): void {
    if (message.type !== 'request') {
      this.channel.fail('protocol', `a client sent a ${message.type}`);
      return;
    }
    const { correlationId } = message;
    if (this.#inFlight.has(correlationId)) {
      this.channel.fail(
        'protocol',
        `request ${correlationId} was sent while one of that number is in flight`,
      );
      return;
    }
    const refusal = this.#refusalOf(frameBytes);
    if (refusal !== undefined) {
      this.#answer(message, failure(correlationId, RPC_REFUSAL.busy, refusal));
      return;
    }
    const handler = this.#host.handlers.get(message.method);
    if (handler === undefined) {
      const known = [...this.#host.handlers.keys()].join(', ');
      const what = `there is no method "${message.method}", there are: ${known}; do the versions differ?`;
      this.#answer(message, failure(correlationId, RPC_REFUSAL.unknownMethod, what));
      return;
    }
    void this.#serve(message, handler, frameBytes);
  }

  onSent(): void {
    this.#regulate();
  }

  onClosed(error: Error | undefined): void {
    // A handler that ends with this reason has not failed: nobody waits for its answer any more.
    this.#abort.abort(new ClosedError('the connection of the request is over'));
    this.#host.onClosed(this, error);
  }

  // -------------------------------------------------------------------------------------------------------------

  /** A client of ours counts as we do, so only one with other limits, or none of ours, hears this. */
  #refusalOf(frameBytes: number): string | undefined {
    const { inFlightMax, inFlightMaxBytes } = this.#host.limits;
    if (this.#isFinishing) return 'the server stops';
    if (this.#inFlight.size >= inFlightMax)
      return `${inFlightMax} requests are in flight, as many as allowed`;
    const bytes = this.#inFlightBytes + frameBytes;
    if (this.#inFlight.size === 0 || bytes <= inFlightMaxBytes) return undefined;
    return `${bytes} bytes of requests would be in flight, ${inFlightMaxBytes} are allowed`;
  }

  async #serve(request: RpcRequest, handler: RpcHandler, frameBytes: number): Promise<void> {
    const { correlationId } = request;
    this.#inFlight.set(correlationId, frameBytes);
    this.#inFlightBytes += frameBytes;
    let answer: RpcMessage;
    try {
      answer = { type: 'response', correlationId, body: await handler(request.body, this.#context) };
    } catch (error) {
      answer = this.#failureOf(request, error);
    }
    this.#inFlight.delete(correlationId);
    this.#inFlightBytes -= frameBytes;
    this.#answer(request, answer);
    this.#endIfFinished();
  }

  #failureOf({ correlationId, method }: RpcRequest, error: unknown): RpcFailure {
    if (error instanceof MillraceError && !(error instanceof InvariantViolation)) {
      return failure(correlationId, error.code, error.message);
    }
    // Nobody waits for the answer any more, and the handler was told so.
    const isGivenUp = this.#abort.signal.aborted && error === this.#abort.signal.reason;
    if (!isGivenUp) this.#host.onHandlerFailed(method, error);
    if (error instanceof InvariantViolation) this.#host.onFatal(error);
    const what = `the method "${method}" failed by a fault of the server: see its event rpc.handler-failed`;
    return failure(correlationId, RPC_REFUSAL.internal, what);
  }

  #answer(request: RpcRequest, answer: RpcMessage): void {
    if (this.channel.isClosed) return;
    let isTaken: boolean;
    try {
      isTaken = this.channel.trySend(answer);
    } catch (error) {
      this.#host.onHandlerFailed(request.method, error);
      const isTooLarge = error instanceof RpcError && error.code === 'TOO_LARGE';
      const code = isTooLarge ? RPC_REFUSAL.answerTooLarge : RPC_REFUSAL.internal;
      const what = `the method "${request.method}" was done, its answer cannot be sent: ${messageOf(error)}`;
      isTaken = this.channel.trySend(failure(request.correlationId, code, what));
    }
    if (isTaken) this.#regulate();
    else this.channel.fail('unsent-bytes', `${this.channel.unsentBytes} bytes of answers were not taken`);
  }

  /** Reads on or not, as the bytes tell that the client has not taken. */
  #regulate(): void {
    if (this.#isFinishing) return;
    if (this.channel.unsentBytes > this.#host.limits.unsentMaxBytes / 2) this.channel.pause();
    else this.channel.resume();
  }

  #endIfFinished(): void {
    if (this.#isFinishing && this.#inFlight.size === 0) this.channel.end();
  }
}

function failure(correlationId: number, code: string, message: string): RpcFailure {
  return { type: 'error', correlationId, code, message: message.slice(0, ERROR_MESSAGE_MAX_CHARS) };
}
