import type { InvariantViolation } from '../base/errors.ts';
import { stackOf } from '../base/errors.ts';
import { Acceptor } from '../ports/acceptor.ts';
import type { Env } from '../ports/env.ts';
import { LimitedEvents } from '../ports/limited-events.ts';
import type { Address, Connection, Network } from '../ports/network.ts';
import { RpcFaultError } from './errors.ts';
import { RPC_LIMITS } from './limits.ts';
import type { RpcLimits } from './limits.ts';
import { RpcServerConnection } from './server-connection.ts';
import type { RpcConnectionHost, RpcHandler } from './server-connection.ts';

export type { RpcContext, RpcHandler } from './server-connection.ts';

const READ_BUFFER_BYTES = 64 * 1024;
/** One from each broker, and one or two that are still on their way out. */
const CONNECTIONS_MAX = 1000;
/** How long requests that were received may take to be answered after `close`. */
const CLOSE_GRACE_MS = 5_000;

export interface RpcServerOptions {
  /** {@link RPC_LIMITS} for what is left out. */
  readonly limits?: Partial<RpcLimits>;
  readonly connectionsMax?: number;
  readonly closeGraceMs?: number;
  /** Rule R10: a broken invariant stops the process. The server goes on until closed. */
  readonly onFatal: (error: InvariantViolation) => void;
}

/** Answers methods by name. Requests of one connection run side by side, so one that waits holds up no other. */
export class RpcServer {
  readonly #env: Env;
  readonly #events: LimitedEvents;
  readonly #host: RpcConnectionHost;
  readonly #connectionsMax: number;
  readonly #closeGraceMs: number;
  readonly #acceptor: Acceptor<RpcServerConnection>;

  constructor(env: Env, handlers: ReadonlyMap<string, RpcHandler>, options: RpcServerOptions) {
    this.#env = env;
    this.#events = new LimitedEvents(env);
    this.#connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
    this.#closeGraceMs = options.closeGraceMs ?? CLOSE_GRACE_MS;
    this.#acceptor = new Acceptor(env.clock, (transport) => this.#accept(transport));
    this.#host = {
      clock: env.clock,
      limits: { ...RPC_LIMITS, ...options.limits },
      readBuffer: new Uint8Array(READ_BUFFER_BYTES),
      handlers,
      onHandlerFailed: (method, error) => {
        this.#events.error('rpc.handler-failed', { method, error: stackOf(error) });
      },
      onFatal: options.onFatal,
      onClosed: (connection, error) => this.#onClosed(connection, error),
    };
  }

  get connections(): number {
    return this.#acceptor.size;
  }

  /** Starts to accept. May be called for several addresses. @throws {ListenError} */
  async listen(network: Network, address: Address): Promise<Address> {
    const bound = await this.#acceptor.listen(network, address);
    this.#env.events.info('rpc.listening', { ...bound });
    return bound;
  }

  /** Accepts nothing more, answers what was received, then closes; after the grace time, regardless. */
  close(): Promise<void> {
    return this.#acceptor.close(this.#closeGraceMs);
  }

  #accept(transport: Connection): RpcServerConnection | undefined {
    const { isClosing, size } = this.#acceptor;
    if (isClosing || size >= this.#connectionsMax) {
      const limit = isClosing ? 'shutdown' : this.#connectionsMax;
      this.#events.warn('rpc.connection-refused', { remote: transport.remote.host, limit });
      return undefined;
    }
    return new RpcServerConnection(transport, this.#host);
  }

  #onClosed(connection: RpcServerConnection, error: Error | undefined): void {
    this.#acceptor.closed(connection);
    if (error instanceof RpcFaultError) {
      const { fault, message } = error;
      this.#events.warn('rpc.connection-closed', {
        ...connection.channel.remote,
        side: 'server',
        fault,
        detail: message,
      });
    }
  }
}
