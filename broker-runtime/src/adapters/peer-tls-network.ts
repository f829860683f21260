import tls from 'node:tls';
import { MillraceError } from '../base/errors.ts';
import { ConnectError } from '../ports/network.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
  PeerCredentials,
  Receiver,
} from '../ports/network.ts';
import { connectSocket } from './tcp-connect.ts';
import { TcpConnection } from './tcp-connection.ts';
import { TcpNetwork } from './tcp-network.ts';
import { TlsNetwork, type TlsNetworkOptions } from './tls-network.ts';

/**
 * TLS 1.3 between processes of one cluster. Who connects and who is connected to both show a certificate of the same
 * authorities that carries the cluster's name: addresses change with every instance, so they say nothing.
 */
export class PeerTlsNetwork implements Network {
  readonly #credentials: PeerCredentials;
  readonly #server: TlsNetwork;
  readonly #onRefused: TlsNetworkOptions['onRefused'];

  /** @throws {TlsCredentialsError} */
  constructor(credentials: PeerCredentials, options: TlsNetworkOptions = {}) {
    this.#credentials = credentials;
    this.#onRefused = options.onRefused;
    const { certificate, privateKey, authorities: clientAuthorities, name } = credentials;
    this.#server = new TlsNetwork(
      new TcpNetwork(),
      { certificate, privateKey, clientAuthorities },
      {
        ...options,
        refuses: (socket) => foreign(name, socket.getPeerCertificate())?.message,
      },
    );
  }

  listen(address: Address, accept: (connection: Connection) => Receiver): Promise<Listener> {
    return this.#server.listen(address, accept);
  }

  /** Whoever asked for it tries again, as after any failure; that it was refused is told here. */
  async connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    try {
      return await this.#connect(address, accept, options);
    } catch (error) {
      if (error instanceof ConnectError && error.code === 'FAILED')
        this.#onRefused?.(address.host, error.message);
      throw error;
    }
  }

  #connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options: ConnectOptions,
  ): Promise<Connection> {
    const { certificate, privateKey, authorities, name } = this.#credentials;
    return connectSocket(address, accept, options, {
      open: () =>
        tls.connect({
          ...address,
          cert: certificate,
          key: privateKey,
          ca: authorities,
          servername: name,
          // In place of the address, which says nothing.
          checkServerIdentity: (_host, certificate) => foreign(name, certificate),
          minVersion: 'TLSv1.3',
        }),
      standsAt: 'secureConnect',
      wrap: (socket) => new TcpConnection(socket),
    });
  }
}

/**
 * Why a certificate of our authorities is not one of this cluster's brokers. Stricter than what names of servers are held
 * to: a common name does not count, and a wildcard would be good for every cluster of the authority.
 */
function foreign(name: string, { subjectaltname }: tls.PeerCertificate): Error | undefined {
  const names = subjectaltname?.split(', ') ?? [];
  if (names.includes(`DNS:${name}`)) return undefined;
  return new PeerIdentityError(
    `its certificate is not one of this cluster's brokers: it carries ${subjectaltname ?? 'no name'}, not DNS:${name}`,
  );
}

/** A peer has a certificate of our authorities, and not of this cluster. */
export class PeerIdentityError extends MillraceError {
  readonly code = 'PEER_IDENTITY';
}
