import tls from 'node:tls';
import { ConnectError } from '../ports/network.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
  PeerCredentials,
  Receiver,
  TlsCredentials,
} from '../ports/network.ts';
import { connectSocket } from './tcp-connect.ts';
import { TcpConnection } from './tcp-connection.ts';
import { TcpNetwork } from './tcp-network.ts';
import { foreignTo, TlsCredentialsError } from './tls-credentials.ts';
import { TlsNetwork, type TlsNetworkOptions } from './tls-network.ts';

/**
 * TLS 1.3 between processes of one cluster. Who connects and who is connected to both show a certificate of the same
 * authorities that carries the cluster's name: addresses change with every instance, so they say nothing.
 */
export class PeerTlsNetwork implements Network {
  #credentials: PeerCredentials;
  readonly #server: TlsNetwork;
  readonly #onRefused: TlsNetworkOptions['onRefused'];

  /** @throws {TlsCredentialsError} */
  constructor(credentials: PeerCredentials, options: TlsNetworkOptions = {}) {
    this.#credentials = credentials;
    this.#onRefused = options.onRefused;
    const { name } = credentials;
    this.#server = new TlsNetwork(new TcpNetwork(), serverSide(credentials), {
      ...options,
      refuses: (socket) => foreignTo(name, socket.getPeerCertificate().subjectaltname)?.message,
    });
  }

  /** As {@link TlsNetwork.renew}, for both directions. @throws {TlsCredentialsError} */
  renew(credentials: PeerCredentials): void {
    const { name } = this.#credentials;
    if (credentials.name !== name) {
      throw new TlsCredentialsError(
        `TLS: the cluster's name is ${name} and cannot become ${credentials.name} while the broker runs`,
      );
    }
    this.#server.renew(serverSide(credentials));
    this.#credentials = credentials;
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
          checkServerIdentity: (_host, { subjectaltname }) => foreignTo(name, subjectaltname),
          minVersion: 'TLSv1.3',
        }),
      standsAt: 'secureConnect',
      wrap: (socket) => new TcpConnection(socket),
    });
  }
}

function serverSide({ certificate, privateKey, authorities }: PeerCredentials): TlsCredentials {
  return { certificate, privateKey, clientAuthorities: authorities };
}
