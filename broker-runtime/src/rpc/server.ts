import type { InvariantViolation } from '../base/errors.ts';
import { messageOf } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import { LimitedEvents } from '../ports/limited-events.ts';
import type { Address, Connection, Listener, Network, Receiver } from '../ports/network.ts';
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
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<RpcServerConnection>();
  #isClosing = false;
  #onLastClosed: (() => void) | undefined;

  constructor(env: Env, handlers: ReadonlyMap<string, RpcHandler>, options: RpcServerOptions) {
    this.#env = env;
    this.#events = new LimitedEvents(env);
    this.#connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
    this.#closeGraceMs = options.closeGraceMs ?? CLOSE_GRACE_MS;
    this.#host = {
      clock: env.clock,
      limits: { ...RPC_LIMITS, ...options.limits },
      readBuffer: new Uint8Array(READ_BUFFER_BYTES),
      handlers,
      onHandlerFailed: (method, error) => {
        this.#events.error('rpc.handler-failed', { method, error: textOf(error) });
      },
      onFatal: options.onFatal,
      onClosed: (connection, error) => this.#onClosed(connection, error),
    };
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Starts to accept. May be called for several addresses. @throws {ListenError} */
  async listen(network: Network, address: Address): Promise<Address> {
    const listener = await network.listen(address, (transport) => this.#accept(transport));
    this.#listeners.push(listener);
    this.#env.events.info('rpc.listening', { ...listener.address });
    return listener.address;
  }

  /** Accepts nothing more, answers what was received, then closes; after the grace time, regardless. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
    for (const connection of [...this.#connections]) connection.finish();
    await this.#allClosedWithin(this.#closeGraceMs);
    for (const { channel } of [...this.#connections]) channel.fail('shutdown', 'the server stops');
  }

  #accept(transport: Connection): Receiver {
    if (this.#isClosing || this.#connections.size >= this.#connectionsMax) {
      const limit = this.#isClosing ? 'shutdown' : this.#connectionsMax;
      this.#events.warn('rpc.connection-refused', { remote: transport.remote.host, limit });
      transport.destroy();
      return new RefusedConnection();
    }
    const connection = new RpcServerConnection(transport, this.#host);
    this.#connections.add(connection);
    return connection.channel;
  }

  #onClosed(connection: RpcServerConnection, error: Error | undefined): void {
    this.#connections.delete(connection);
    if (error instanceof RpcFaultError) {
      const { fault, message } = error;
      this.#events.warn('rpc.connection-closed', {
        ...connection.channel.remote,
        side: 'server',
        fault,
        detail: message,
      });
    }
    if (this.#connections.size === 0) this.#onLastClosed?.();
  }

  #allClosedWithin(graceMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#env.clock.timer(graceMs, resolve);
      this.#onLastClosed = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Hears the end of a connection that was refused. */
class RefusedConnection implements Receiver {
  readonly #memory = new Uint8Array(1);

  buffer(): Uint8Array {
    return this.#memory;
  }
  received(): void {
    return;
  }
  drained(): void {
    return;
  }
  closed(): void {
    return;
  }
}

/** The stack, because such an error is a fault of ours. */
function textOf(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : messageOf(error);
}
