import { ConnectError, CONNECT_TIMEOUT_MS, ListenError } from '../../../broker-runtime/src/ports/network.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
} from '../../../broker-runtime/src/ports/network.ts';
import type { SimClock } from './sim-clock.ts';
import { SimConnection, systemError } from './sim-connection.ts';
import type { Accept, Wire } from './sim-connection.ts';
import { EVERYBODY, SimLinks } from './sim-links.ts';
import type { DelayRange } from './sim-links.ts';
import { SimNode } from './sim-node.ts';
import type { SimHost } from './sim-node.ts';
import type { SimRandom } from './sim-random.ts';

export type { Accept } from './sim-connection.ts';

const FIRST_EPHEMERAL_PORT = 49_152;
/** When a connection's first packet is lost it is sent again after this. */
const CONNECT_RETRY_MS = 1000;
/** Who uses the network itself, not a node of it, connects from here. */
const OUTSIDE: SimHost = { host: '127.0.0.1', isDead: false };

/**
 * TCP between processes of one simulation: bytes arrive in order, but chopped into pieces of 1 byte to 64 KiB,
 * each after a delay of its own. Everything a receiver hears comes from a timer of the clock, never from inside
 * a call it made.
 *
 * A simulated machine sees it through its {@link node}. Faults are named by hosts; {@link EVERYBODY} stands for all.
 * The network itself is one too, at 127.0.0.1, that may listen in the name of any host: for tests of one broker.
 */
export class SimNetwork implements Network {
  readonly #clock: SimClock;
  readonly #links: SimLinks;
  readonly #wire: Wire;
  readonly #listeners = new Map<string, SimListener>();
  readonly #connections = new Set<SimConnection>();
  readonly #nodes = new Map<string, SimNode>();
  #nextPort = FIRST_EPHEMERAL_PORT;
  /** Greatest piece of one delivery: tests of framing set it to 1. */
  maxChunkBytes = 64 * 1024;

  constructor(clock: SimClock, random: SimRandom) {
    this.#clock = clock;
    this.#links = new SimLinks(clock, random, () => {
      for (const connection of this.#connections) connection.resumeDelivery();
    });
    this.#wire = {
      clock,
      delayMs: (from, to) => this.#links.delayMs(from, to),
      passes: (from, to) => this.#links.passes(from, to),
      chunkBytes: () => random.between(1, this.maxChunkBytes),
      resets: () => random.chance(0.5),
      gone: (connection) => this.#connections.delete(connection),
    };
  }

  /** Greatest delay of one delivery, on links without a delay of their own. */
  set maxDelayMs(maxMs: number) {
    this.#links.delay = { minMs: Math.min(this.#links.delay.minMs, maxMs), maxMs };
  }

  /** The network as the machine of this name sees it: a new machine, when the one before crashed. */
  node(host: string): SimNode {
    const running = this.#nodes.get(host);
    if (running !== undefined) return running;
    const node = new SimNode(host, this);
    this.#nodes.set(host, node);
    this.#links.bringUp(host);
    return node;
  }

  async listen(address: Address, accept: Accept): Promise<Listener> {
    return this.listenAt(address.host, address, accept);
  }

  connect(address: Address, accept: Accept, options?: ConnectOptions): Promise<Connection> {
    return this.connectFrom(OUTSIDE, address, accept, options);
  }

  /** Listens on `host`, and says it does on `address`. */
  listenAt(host: string, address: Address, accept: Accept): Listener {
    const port = address.port === 0 ? this.#nextPort++ : address.port;
    const name = `${host}:${port}`;
    if (this.#listeners.has(name)) throw new ListenError('ADDRESS_IN_USE', `${name} is already in use`);
    const listener = new SimListener(host, { host: address.host, port }, accept, () => {
      if (this.#listeners.get(name) === listener) this.#listeners.delete(name);
    });
    this.#listeners.set(name, listener);
    return listener;
  }

  async connectFrom(
    from: SimHost,
    address: Address,
    accept: Accept,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { timeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
    signal?.throwIfAborted();
    const deadline = new AbortController();
    const timer = this.#clock.timer(timeoutMs, () => {
      deadline.abort(connectError('TIMED_OUT', address, `nobody answered in ${timeoutMs} ms`));
    });
    try {
      await this.#reach(
        from.host,
        address.host,
        signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal]),
      );
    } catch (error) {
      if (!from.isDead) throw error;
    } finally {
      timer.cancel();
    }
    // A machine that is gone hears nothing any more.
    if (from.isDead) return new Promise(() => undefined);
    const listener = this.#listeners.get(`${address.host}:${address.port}`);
    if (listener === undefined) throw connectError('REFUSED', address, 'nobody listens there');
    return this.#join({ host: from.host, port: this.#nextPort++ }, address, accept, listener.accept);
  }

  /** Ends that have not heard `closed` yet: a leak test asks for 0. */
  get openEnds(): number {
    return this.#connections.size;
  }

  // ---- Faults -------------------------------------------------------------------------------------------------

  /** Nothing passes in either direction until `heal`; connections live on, and what they sent arrives then. */
  partition(a: string, b = EVERYBODY): void {
    this.block(a, b);
    this.block(b, a);
  }

  /** Nothing passes in this direction until `heal`. */
  block(from: string, to: string): void {
    this.#links.block(from, to);
  }

  heal(a: string, b = EVERYBODY): void {
    this.#links.unblock(a, b);
    this.#links.unblock(b, a);
  }

  /** Takes back partitions, clogs and delays of links. What was reset, silenced or crashed stays so. */
  healAll(): void {
    this.#links.healAll();
  }

  /** Nothing passes in this direction for so long. */
  clog(from: string, to: string, forMs: number): void {
    this.#links.clog(from, to, forMs);
  }

  /** Delay of every delivery from the one to the other. */
  setDelay(from: string, to: string, range: DelayRange): void {
    this.#links.setDelay(from, to, range);
  }

  /** The connections between the two are half-open for ever: nothing arrives, nobody is told. New ones work. */
  silence(a: string, b = EVERYBODY): void {
    for (const connection of this.#between(a, b)) connection.silence();
  }

  /** Cuts the connections between the two, and both hear of it. */
  reset(a: string, b = EVERYBODY): void {
    for (const connection of this.#between(a, b)) {
      connection.reset(systemError('ECONNRESET', 'simulated: the link failed'));
    }
  }

  /** Cuts every connection, as a failing link does. */
  resetAll(): void {
    this.reset(EVERYBODY);
  }

  /**
   * The process of this host is gone: its code hears nothing any more, and what it had sent and had not arrived is
   * lost. Its peers are told, and who connects is refused. When the machine went as well (`silent`), nobody is told
   * anything until the host's next {@link node} is there.
   */
  crash(host: string, { silent = false } = {}): void {
    this.thaw(host);
    this.#nodes.get(host)?.die();
    this.#nodes.delete(host);
    for (const [name, listener] of this.#listeners) if (listener.host === host) this.#listeners.delete(name);
    if (silent) this.#links.takeDown(host);
    for (const connection of [...this.#connections]) {
      if (connection.local.host === host) connection.crash(silent);
    }
  }

  /** SIGSTOP: nothing is delivered to this host until {@link thaw}; what it had sent arrives. */
  freeze(host: string): void {
    this.#links.freeze(host);
  }

  thaw(host: string): void {
    this.#links.thaw(host);
  }

  #between(a: string, b: string): SimConnection[] {
    const isOf = (host: string, name: string): boolean => name === EVERYBODY || name === host;
    return [...this.#connections].filter(
      ({ local, remote }) =>
        (isOf(local.host, a) && isOf(remote.host, b)) || (isOf(local.host, b) && isOf(remote.host, a)),
    );
  }

  /** Returns when a packet has gone there and its answer could come back. */
  async #reach(from: string, to: string, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.#links.delayMs(from, to), signal);
    while (!this.#links.passes(from, to) || !this.#links.passes(to, from)) {
      await this.#clock.sleep(CONNECT_RETRY_MS, signal);
    }
  }

  #join(local: Address, remote: Address, accept: Accept, acceptThere: Accept): SimConnection {
    const client = new SimConnection(this.#wire, local, remote);
    const server = new SimConnection(this.#wire, remote, local);
    this.#connections.add(client).add(server);
    client.join(server, accept);
    server.join(client, acceptThere);
    return client;
  }
}

class SimListener implements Listener {
  readonly host: string;
  readonly address: Address;
  readonly accept: Accept;
  readonly #stop: () => void;

  constructor(host: string, address: Address, accept: Accept, stop: () => void) {
    this.host = host;
    this.address = address;
    this.accept = accept;
    this.#stop = stop;
  }

  async close(): Promise<void> {
    this.#stop();
  }
}

function connectError(code: 'REFUSED' | 'TIMED_OUT', { host, port }: Address, why: string): ConnectError {
  return new ConnectError(code, `cannot connect to ${host}:${port}: ${why}`);
}
