import net from 'node:net';
import type { Address, Connection, ConnectOptions, Listener, Network, Receiver } from '../ports/network.ts';
import { acceptIntoOwnMemory } from './socket-onread.ts';
import { connectTcp } from './tcp-connect.ts';
import { TcpConnection } from './tcp-connection.ts';
import { listenOn } from './tcp-listener.ts';

export interface TcpNetworkOptions {
  /** False receives through 'data' events only, as when a future Node lacks what {@link acceptIntoOwnMemory} uses. */
  readonly receiveIntoOwnMemory?: boolean;
}

/** TCP. TLS is another adapter on the same seam: tls-network.ts. */
export class TcpNetwork implements Network {
  readonly #receiveIntoOwnMemory: boolean;

  constructor(options: TcpNetworkOptions = {}) {
    this.#receiveIntoOwnMemory = options.receiveIntoOwnMemory ?? true;
  }

  async listen(address: Address, accept: (connection: Connection) => Receiver): Promise<Listener> {
    // Half-open connections end: when the peer has said its last word, so have we, once our answers are sent.
    const server = net.createServer({ allowHalfOpen: false, noDelay: true, pauseOnConnect: true });
    const start = (socket: net.Socket, firstRead?: Uint8Array): TcpConnection => {
      const connection = new TcpConnection(socket, firstRead);
      connection.deliverTo(accept(connection));
      return connection;
    };
    server.on('connection', (socket) => start(socket).startReading());
    const listener = await listenOn(server, address);
    if (this.#receiveIntoOwnMemory) acceptIntoOwnMemory(server, start);
    return listener;
  }

  connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    return connectTcp(address, accept, { ...options, receiveIntoOwnMemory: this.#receiveIntoOwnMemory });
  }
}
