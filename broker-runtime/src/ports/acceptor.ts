import type { Clock } from './clock.ts';
import type { Address, Connection, Listener, Network, Receiver } from './network.ts';

/** What a server knows of one of its connections. */
export interface Accepted {
  readonly receiver: Receiver;
  /** Reads no further request, answers those received, then ends. */
  finish(): void;
  /** Closes at once. */
  cutOff(): void;
}

/** Takes a connection in, or undefined: it is refused, and closed before its first byte. */
export type Accept<C extends Accepted> = (transport: Connection) => C | undefined;

/** The listeners of a server and its connections, from the first to the end of all of them. */
export class Acceptor<C extends Accepted> {
  readonly #clock: Clock;
  readonly #accept: Accept<C>;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<C>();
  #isClosing = false;
  #onLastClosed: (() => void) | undefined;

  constructor(clock: Clock, accept: Accept<C>) {
    this.#clock = clock;
    this.#accept = accept;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** A copy: connections may close while it is gone through. */
  get connections(): readonly C[] {
    return [...this.#connections];
  }

  /** Starts to accept. May be called for several addresses. @throws {ListenError} */
  async listen(network: Network, address: Address): Promise<Address> {
    const listener = await network.listen(address, (transport) => this.#take(transport));
    this.#listeners.push(listener);
    return listener.address;
  }

  /** A connection is closed. @returns false: it was not one of these, or not any more */
  closed(connection: C): boolean {
    const isOurs = this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onLastClosed?.();
    return isOurs;
  }

  /** Accepts nothing more, has answered what was received, then closes; after the grace time, regardless. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
    for (const connection of this.connections) connection.finish();
    await this.#allClosedWithin(graceMs);
    for (const connection of this.connections) connection.cutOff();
  }

  #take(transport: Connection): Receiver {
    const connection = this.#accept(transport);
    if (connection === undefined) {
      transport.destroy();
      return new RefusedConnection();
    }
    this.#connections.add(connection);
    return connection.receiver;
  }

  #allClosedWithin(graceMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.timer(graceMs, resolve);
      this.#onLastClosed = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Hears nothing: the connection was destroyed before its first byte. */
class RefusedConnection implements Receiver {
  readonly #unused = new Uint8Array(1);

  buffer(): Uint8Array {
    return this.#unused;
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
