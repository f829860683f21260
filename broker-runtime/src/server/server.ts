import { InvariantViolation, stackOf } from '../base/errors.ts';
import { MemoryShare } from '../base/memory-budget.ts';
import { Acceptor } from '../ports/acceptor.ts';
import type { Env } from '../ports/env.ts';
import { LimitedEvents } from '../ports/limited-events.ts';
import type { Address, Connection, Network } from '../ports/network.ts';
import type { Api } from './api.ts';
import { AcceptLimits } from './accept-limits.ts';
import type { CloseReason } from './close-reason.ts';
import { ClientConnection, type ConnectionHost } from './connection.ts';
import { Dispatcher, type Failure } from './dispatch.ts';
import { FrameMemory } from './frame.ts';
import type { Services } from './services.ts';
import { ServerStatus } from './status.ts';

/** How often deadlines are looked at: they are exact to this. */
const SWEEP_INTERVAL_MS = 1000;

export interface ServerHooks {
  /** Rule R10: a broken invariant stops the process. Called once per violation; the server goes on until closed. */
  readonly onFatal: (error: InvariantViolation) => void;
}

/** The Kafka listeners of one broker and all their connections. */
export class KafkaServer {
  readonly status = new ServerStatus();
  readonly #env: Env;
  readonly #services: Services;
  readonly #hooks: ServerHooks;
  readonly #events: LimitedEvents;
  readonly #host: ConnectionHost;
  readonly #limits: AcceptLimits;
  readonly #requestMemory: MemoryShare;
  readonly #acceptor: Acceptor<ClientConnection>;
  #nextConnectionId = 1;
  #sweeping = false;

  constructor(services: Services, apis: readonly Api[], hooks: ServerHooks) {
    const { env, options } = services;
    this.#env = env;
    this.#services = services;
    this.#hooks = hooks;
    this.#events = new LimitedEvents(env);
    this.#limits = new AcceptLimits(options, env.clock);
    this.#acceptor = new Acceptor(env.clock, (transport) => this.#accept(transport));
    this.#requestMemory = new MemoryShare('server.requests', options.requestMemoryBytes);
    const readAhead = new MemoryShare('server.read-ahead', options.readAheadMemoryBytes);
    this.#host = {
      clock: env.clock,
      options,
      memory: new FrameMemory(this.#requestMemory, readAhead, options.idleFramesBytes),
      status: this.status,
      dispatcher: new Dispatcher(apis, services, {
        onFailure: (failure) => this.#onFailure(failure),
        onFatal: hooks.onFatal,
      }),
      isFetchMemoryWanted: () => services.fetchMemory.waiting > 0,
      onClosing: (connection, reason, detail) => this.#onClosing(connection, reason, detail),
      onClosed: (connection) => this.#onClosed(connection),
      guard: (connection, task) => this.#guard(connection, task),
    };
  }

  /** Memory of requests received and not yet done with. */
  get requestMemoryBytes(): number {
    return this.#requestMemory.usedBytes;
  }

  /** Starts to accept. May be called for several addresses. @throws {ListenError} */
  async listen(network: Network, address: Address): Promise<Address> {
    const bound = await this.#acceptor.listen(network, address);
    this.#env.events.info('server.listening', { ...bound });
    return bound;
  }

  /** Accepts nothing more, answers what was received, then closes; after the grace time, regardless. */
  close(): Promise<void> {
    return this.#acceptor.close(this.#services.options.closeGraceMs);
  }

  #accept(transport: Connection): ClientConnection | undefined {
    const refused = this.#acceptor.isClosing ? 'shutdown' : this.#limits.tryTake(transport.remote.host);
    if (refused !== undefined) {
      this.status.countClose('too-many-connections');
      this.#events.warn('server.connection-refused', { limit: refused, remote: transport.remote.host });
      return undefined;
    }
    const connection = new ClientConnection(this.#nextConnectionId++, transport, this.#host);
    this.status.connections += 1;
    this.status.connectionsAccepted += 1;
    this.#sweepSoon();
    return connection;
  }

  #onClosing(connection: ClientConnection, reason: CloseReason, detail: string): void {
    this.status.countClose(reason);
    this.#events.warn('server.connection-closed', {
      reason,
      detail,
      connection: connection.info.id,
      remote: connection.info.remoteHost,
    });
  }

  #onClosed(connection: ClientConnection): void {
    if (!this.#acceptor.closed(connection)) return;
    this.status.connections -= 1;
    this.#limits.release(connection.info.remoteHost);
  }

  #onFailure({ apiKey, apiVersion, error }: Failure): void {
    this.status.failures += 1;
    this.#events.error('server.request-failed', { apiKey, apiVersion, error: stackOf(error) });
  }

  #guard(connection: ClientConnection, task: () => void): void {
    try {
      task();
    } catch (error) {
      if (error instanceof InvariantViolation) this.#hooks.onFatal(error);
      this.status.failures += 1;
      this.#events.error('server.connection-failed', {
        connection: connection.info.id,
        error: stackOf(error),
      });
      connection.close('failed-request', 'a fault of the broker');
    }
  }

  /** One timer for all connections, and none while there are none. */
  #sweepSoon(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.#env.clock.timer(SWEEP_INTERVAL_MS, () => {
      this.#sweeping = false;
      const nowMs = this.#env.clock.monotonicMs();
      for (const connection of this.#acceptor.connections) {
        this.#guard(connection, () => connection.checkDeadlines(nowMs));
      }
      if (this.#acceptor.size > 0) this.#sweepSoon();
    });
  }
}
