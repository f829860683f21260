import type net from 'node:net';
import type { AddressInfo } from 'node:net';
import { ListenError } from '../ports/network.ts';
import type { Address, Listener, ListenErrorCode } from '../ports/network.ts';
import { systemErrorCode } from './system-error.ts';

/** Connections that wait in the kernel until we accept them; Linux cuts it at net.core.somaxconn (4096). */
const BACKLOG = 1024;

/** Binds a server of Node's, plain or TLS. @throws {ListenError} */
export async function listenOn(server: net.Server, address: Address): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(address, error)));
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, resolve);
  });
  // An error of a listening server (out of descriptors at accept) costs that one connection; Node goes on.
  server.on('error', () => undefined);
  const bound = server.address() as AddressInfo;
  return new TcpListener(server, { host: address.host, port: bound.port });
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
