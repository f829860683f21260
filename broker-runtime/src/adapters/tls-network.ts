import type { Socket } from 'node:net';
import tls from 'node:tls';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
  Receiver,
  TlsCredentials,
} from '../ports/network.ts';
import { TcpConnection } from './tcp-connection.ts';
import { listenOn } from './tcp-listener.ts';
import { contextOf, TlsCredentialsError } from './tls-credentials.ts';

/** A client that does not get through the handshake holds a socket and costs CPU: for so long, and so many at once. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const HANDSHAKES_MAX = 256;

export interface TlsNetworkOptions {
  /** A client that did not get in: plaintext, no certificate, one that nobody here knows. Not told of silent probes. */
  readonly onRefused?: (remote: string, reason: string) => void;
  /** @default 10 s and 256; a test may want less */
  readonly handshakeTimeoutMs?: number;
  readonly handshakesMax?: number;
  /** Looks at who came through the handshake. @returns why it is refused */
  readonly refuses?: (socket: tls.TLSSocket) => string | undefined;
}

/**
 * TLS 1.2 and later for those who connect to us; with `clientAuthorities` only for those who show a certificate. Received through
 * 'data' events: OpenSSL has its own memory in between, so nothing is gained by reading into ours.
 */
export class TlsNetwork implements Network {
  readonly #plain: Network;
  #context: tls.TlsOptions;
  readonly #options: TlsNetworkOptions;
  readonly #servers = new Set<tls.Server>();

  /** @throws {TlsCredentialsError} */
  constructor(plain: Network, credentials: TlsCredentials, options: TlsNetworkOptions = {}) {
    this.#plain = plain;
    this.#options = options;
    this.#context = contextOf(credentials);
  }

  /**
   * Whoever connects from now on sees these, and is held to these; connections that stand live on.
   * @throws {TlsCredentialsError} and the credentials that were there stay
   */
  renew(credentials: TlsCredentials): void {
    const context = contextOf(credentials);
    if (context.requestCert !== this.#context.requestCert) {
      throw new TlsCredentialsError(
        'TLS: whether clients show a certificate cannot change while the broker runs; start it again',
      );
    }
    this.#context = context;
    for (const server of this.#servers) server.setSecureContext(context);
  }

  async listen(address: Address, accept: (connection: Connection) => Receiver): Promise<Listener> {
    const {
      onRefused,
      handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS,
      handshakesMax = HANDSHAKES_MAX,
      refuses,
    } = this.#options;
    const server = tls.createServer({
      ...this.#context,
      allowHalfOpen: false,
      handshakeTimeout: handshakeTimeoutMs,
    });
    // By peer: Node does not tell which of its TLS sockets stands on which of these.
    const shaking = new Map<string, { reason: string }>();
    // Before Node's own listener, which begins the handshake.
    server.prependListener('connection', (socket: Socket) => {
      if (shaking.size >= handshakesMax) {
        socket.destroy();
        return;
      }
      const peer = peerOf(socket);
      const remote = socket.remoteAddress ?? '';
      const handshake = { reason: 'it left, or its certificate is of nobody known here' };
      shaking.set(peer, handshake);
      socket.once('close', () => {
        // A load balancer looks whether the port is open, and says nothing: that is not worth a word.
        if (shaking.delete(peer) && socket.bytesRead > 0) onRefused?.(remote, handshake.reason);
      });
    });
    server.on('secureConnection', (socket) => {
      shaking.delete(peerOf(socket));
      const refusal = refuses?.(socket);
      if (refusal !== undefined) {
        onRefused?.(socket.remoteAddress ?? '', refusal);
        socket.destroy();
        return;
      }
      const connection = new TcpConnection(socket);
      connection.deliverTo(accept(connection));
      connection.startReading();
    });
    server.on('tlsClientError', (error, socket) => {
      const handshake = shaking.get(peerOf(socket));
      if (handshake !== undefined) handshake.reason = reasonOf(error);
      socket.destroy();
    });
    const listener = await listenOn(server, address);
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    return listener;
  }

  /** Plain: this is the clients' side, and brokers connect to nobody there. */
  connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options?: ConnectOptions,
  ): Promise<Connection> {
    return this.#plain.connect(address, accept, options);
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

/** OpenSSL's own words without its addresses and files. */
function reasonOf(error: Error): string {
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
