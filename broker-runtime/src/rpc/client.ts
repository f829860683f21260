import { ClosedError } from '../base/errors.ts';
import type { Timer } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import type { Address, Connection, ConnectOptions, Network } from '../ports/network.ts';
import { RpcChannel } from './channel.ts';
import type { ChannelOwner } from './channel.ts';
import { RpcError, RpcFaultError, RpcRefusedError } from './errors.ts';
import type { RpcBody, RpcMessage } from './frame.ts';
import { RPC_LIMITS } from './limits.ts';
import type { RpcLimits } from './limits.ts';

const READ_BUFFER_BYTES = 64 * 1024;
const CORRELATION_IDS = 2 ** 32;

export interface RpcClientOptions extends ConnectOptions {
  /** {@link RPC_LIMITS} for what is left out. */
  readonly limits?: Partial<RpcLimits>;
}

export interface RpcCallOptions {
  /** Longer than the server may wait by intent: a time-out leaves the outcome unknown. */
  readonly timeoutMs: number;
}

interface Call {
  readonly method: string;
  readonly timer: Timer;
  readonly resolve: (body: RpcBody) => void;
  readonly reject: (error: Error) => void;
  /** Its caller was told that it timed out; its answer is still due. */
  isAbandoned: boolean;
}

/**
 * Calls methods of a server over one connection. Nothing is repeated and nothing reconnects: after {@link closed} a
 * new client is made. Calls overlap and are answered in any order.
 */
export class RpcClient implements ChannelOwner {
  readonly remote: Address;
  /** Resolves when the connection is over, with the reason: a `ClosedError` after `close`. */
  readonly closed: Promise<Error>;
  readonly #env: Env;
  readonly #limits: RpcLimits;
  readonly #channel: RpcChannel;
  readonly #ended = Promise.withResolvers<Error>();
  readonly #calls = new Map<number, Call>();
  #abandoned = 0;
  #nextCorrelationId = 0;
  #isClosing = false;

  private constructor(env: Env, address: Address, transport: Connection, limits: RpcLimits) {
    this.#env = env;
    this.remote = address;
    this.#limits = limits;
    this.closed = this.#ended.promise;
    this.#channel = new RpcChannel(transport, env.clock, limits, new Uint8Array(READ_BUFFER_BYTES), this);
  }

  /** @throws {ConnectError} or the signal's reason */
  static async connect(
    env: Env,
    network: Network,
    address: Address,
    options: RpcClientOptions = {},
  ): Promise<RpcClient> {
    const { limits, ...connectOptions } = options;
    const made = Promise.withResolvers<RpcClient>();
    const accept = (transport: Connection): RpcChannel => {
      const client = new RpcClient(env, address, transport, { ...RPC_LIMITS, ...limits });
      made.resolve(client);
      return client.#channel;
    };
    await network.connect(address, accept, connectOptions);
    return made.promise;
  }

  /** Calls sent and not answered, those that timed out included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /**
   * Sends a request and resolves with its answer. The blobs must never change afterwards, whatever the outcome.
   * @throws {RpcError} when there is no answer, with what is known about the outcome
   * @throws {RpcRefusedError} when the answer is an error
   */
  call(method: string, body: RpcBody, { timeoutMs }: RpcCallOptions): Promise<RpcBody> {
    return new Promise((resolve, reject) => {
      this.#requireRoom(method);
      const correlationId = this.#takeCorrelationId();
      if (!this.#channel.trySend({ type: 'request', correlationId, method, body })) {
        const { unsentMaxBytes } = this.#limits;
        throw this.#busy(
          method,
          `${this.#channel.unsentBytes} of at most ${unsentMaxBytes} bytes are unsent`,
        );
      }
      const timer = this.#env.clock.timer(timeoutMs, () => this.#onTimeout(correlationId, timeoutMs));
      this.#calls.set(correlationId, { method, timer, resolve, reject, isAbandoned: false });
    });
  }

  /** Closes at once. Calls in flight end with DISCONNECTED. */
  close(): void {
    this.#isClosing = true;
    this.#channel.close(undefined);
  }

  // ---- ChannelOwner -------------------------------------------------------------------------------------------

  get isBusy(): boolean {
    return this.#calls.size > this.#abandoned;
  }

  onMessage(message: RpcMessage): void {
    const call = this.#calls.get(message.correlationId);
    if (message.type === 'request' || call === undefined) {
      const what = `${message.type} ${message.correlationId} came, which no call of ours is waiting for`;
      this.#channel.fail('protocol', what);
      return;
    }
    this.#calls.delete(message.correlationId);
    call.timer.cancel();
    if (call.isAbandoned) this.#abandoned -= 1;
    else if (message.type === 'response') call.resolve(message.body);
    else call.reject(new RpcRefusedError(message.code, message.message));
  }

  onSent(): void {
    return;
  }

  onClosed(error: Error | undefined): void {
    const reason = error ?? this.#endReason();
    if (error instanceof RpcFaultError) {
      const { fault, message } = error;
      this.#env.events.warn('rpc.connection-closed', {
        ...this.remote,
        side: 'client',
        fault,
        detail: message,
      });
    }
    for (const { method, timer, reject } of this.#calls.values()) {
      timer.cancel();
      const what = `${this.#nameOf(method)} was sent, then ${reason.message}: it may have been done`;
      reject(new RpcError('DISCONNECTED', true, what, { cause: reason }));
    }
    this.#calls.clear();
    this.#abandoned = 0;
    this.#ended.resolve(reason);
  }

  // -------------------------------------------------------------------------------------------------------------

  #endReason(): Error {
    if (this.#isClosing) return new ClosedError('the connection was closed by its owner');
    return new RpcError('DISCONNECTED', false, 'the peer closed the connection');
  }

  #requireRoom(method: string): void {
    if (this.#channel.isClosed) {
      const what = `${this.#nameOf(method)} was not sent: the connection is closed; connect again`;
      throw new RpcError('DISCONNECTED', false, what);
    }
    const { inFlightMax } = this.#limits;
    if (this.#calls.size < inFlightMax) return;
    const why = `${this.#calls.size} of at most ${inFlightMax} calls are in flight, ${this.#abandoned} of them timed out`;
    throw this.#busy(method, why);
  }

  #busy(method: string, why: string): RpcError {
    return new RpcError('BUSY', false, `${this.#nameOf(method)} was not sent: ${why}; try again later`);
  }

  /** Wraps around, and then passes over calls of the lap before. */
  #takeCorrelationId(): number {
    let id = this.#nextCorrelationId;
    while (this.#calls.has(id)) id = (id + 1) % CORRELATION_IDS;
    this.#nextCorrelationId = (id + 1) % CORRELATION_IDS;
    return id;
  }

  #onTimeout(correlationId: number, timeoutMs: number): void {
    const call = this.#calls.get(correlationId);
    if (call === undefined) return;
    call.isAbandoned = true;
    this.#abandoned += 1;
    const what = `${this.#nameOf(call.method)} was not answered in ${timeoutMs} ms: it may have been done, or be done later`;
    call.reject(new RpcError('TIMED_OUT', true, what));
  }

  #nameOf(method: string): string {
    return `the call "${method}" to ${this.remote.host}:${this.remote.port}`;
  }
}
