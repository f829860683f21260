import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { ListenError } from '../ports/network.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  ListenErrorCode,
  Network,
  Receiver,
} from '../ports/network.ts';
import { acceptIntoOwnMemory } from './socket-onread.ts';
import { systemErrorCode } from './system-error.ts';
import { connectTcp } from './tcp-connect.ts';
import { TcpConnection } from './tcp-connection.ts';

/** Connections that wait in the kernel until we accept them; Linux cuts it at net.core.somaxconn (4096). */
const BACKLOG = 1024;

export interface TcpNetworkOptions {
  /** False receives through 'data' events only, as when a future Node lacks what {@link acceptIntoOwnMemory} uses. */
  readonly receiveIntoOwnMemory?: boolean;
}

/** TCP. TLS is another adapter on the same seam. */
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
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(address, error)));
      server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, resolve);
    });
    // An error of a listening server (out of descriptors at accept) costs that one connection; Node goes on.
    server.on('error', () => undefined);
    if (this.#receiveIntoOwnMemory) acceptIntoOwnMemory(server, start);
    const bound = server.address() as AddressInfo;
    return new TcpListener(server, { host: address.host, port: bound.port });
  }

  connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    return connectTcp(address, accept, { ...options, receiveIntoOwnMemory: this.#receiveIntoOwnMemory });
  }
}

class TcpListener implements Listener {
  readonly address: Address;
  readonly #server: net.Server;

  constructor(server: net.Server, address: Address) {
    this.#server = server;
    this.address = address;
  }

  /** Resolves when the port is free again; Node's own callback would wait for every connection to end. */
  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
  }
}

const LISTEN_ERRORS: Readonly<Record<string, { readonly code: ListenErrorCode; readonly help: string }>> = {
  EADDRINUSE: {
    code: 'ADDRESS_IN_USE',
    help: 'another process listens there: stop it, or choose another port (0 lets the system choose)',
  },
  EACCES: {
    code: 'PERMISSION_DENIED',
    help: 'ports below 1024 need privileges: choose a higher one, or grant CAP_NET_BIND_SERVICE',
  },
  EADDRNOTAVAIL: {
    code: 'ADDRESS_NOT_AVAILABLE',
    help: 'no interface of this machine has the address: listen on 0.0.0.0 and advertise the other one',
  },
  ENOTFOUND: {
    code: 'ADDRESS_NOT_AVAILABLE',
    help: 'the name does not resolve: check its spelling or use an address',
  },
};

function listenError(address: Address, cause: Error): ListenError {
  const known = LISTEN_ERRORS[systemErrorCode(cause) ?? ''];
  const where = `${address.host}:${address.port}`;
  return new ListenError(
    known?.code ?? 'FAILED',
    `cannot listen on ${where}: ${known?.help ?? cause.message}`,
    { cause },
  );
}
