import { ListenError } from '../../../broker-runtime/src/ports/network.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
} from '../../../broker-runtime/src/ports/network.ts';
import type { Accept } from './sim-connection.ts';

export interface SimHost {
  readonly host: string;
  /** It crashed: what it still does reaches nobody, and nothing reaches it. */
  readonly isDead: boolean;
}

/** What a node needs of the network. */
export interface SimNodeNetwork {
  listenAt(host: string, address: Address, accept: Accept): Listener;
  connectFrom(
    from: SimHost,
    address: Address,
    accept: Accept,
    options: ConnectOptions | undefined,
  ): Promise<Connection>;
}

/** Every address of the machine, and the one only itself can use. Here both mean the machine. */
const OWN_NAMES = ['0.0.0.0', '127.0.0.1'];

/** The network as one machine of the simulation sees it. */
export class SimNode implements Network, SimHost {
  readonly host: string;
  readonly #network: SimNodeNetwork;
  #isDead = false;

  constructor(host: string, network: SimNodeNetwork) {
    this.host = host;
    this.#network = network;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Called by the network. */
  die(): void {
    this.#isDead = true;
  }

  async listen(address: Address, accept: Accept): Promise<Listener> {
    if (this.#isDead) return new Promise(() => undefined);
    if (this.#resolve(address.host) !== this.host) {
      throw new ListenError('ADDRESS_NOT_AVAILABLE', `${address.host} is not an address of ${this.host}`);
    }
    return this.#network.listenAt(this.host, address, accept);
  }

  async connect(address: Address, accept: Accept, options?: ConnectOptions): Promise<Connection> {
    const there = { host: this.#resolve(address.host), port: address.port };
    return this.#network.connectFrom(this, there, accept, options);
  }

  #resolve(host: string): string {
    return OWN_NAMES.includes(host) ? this.host : host;
  }
}
