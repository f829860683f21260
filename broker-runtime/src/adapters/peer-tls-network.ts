import tls from 'node:tls';
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

  /** @throws {TlsCredentialsError} */
  constructor(credentials: PeerCredentials, options: TlsNetworkOptions = {}) {
    this.#credentials = credentials;
    const { certificate, privateKey, authorities: clientAuthorities, name } = credentials;
    this.#server = new TlsNetwork(
      new TcpNetwork(),
      { certificate, privateKey, clientAuthorities },
      {
        ...options,
        refuses: (socket) => tls.checkServerIdentity(name, socket.getPeerCertificate())?.message,
      },
    );
  }

  listen(address: Address, accept: (connection: Connection) => Receiver): Promise<Listener> {
    return this.#server.listen(address, accept);
  }

  connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { certificate, privateKey, authorities, name } = this.#credentials;
    return connectSocket(address, accept, options, {
      open: () =>
        tls.connect({
          ...address,
          cert: certificate,
          key: privateKey,
          ca: authorities,
          // What the certificate is held against, in place of the address.
          servername: name,
          minVersion: 'TLSv1.3',
        }),
      standsAt: 'secureConnect',
      wrap: (socket) => new TcpConnection(socket),
    });
  }
}
