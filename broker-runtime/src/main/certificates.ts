import { PeerTlsNetwork } from '../adapters/peer-tls-network.ts';
import { TcpNetwork } from '../adapters/tcp-network.ts';
import { checkRenewal, describeCertificate, TlsCredentialsError } from '../adapters/tls-credentials.ts';
import { TlsNetwork } from '../adapters/tls-network.ts';
import { CERTIFICATE_ENDS_SOON_DAYS } from '../agent/instance-config.ts';
import { messageOf } from '../base/errors.ts';
import type { BrokerCredentials } from '../ports/broker-process.ts';
import type { Env } from '../ports/env.ts';
import { LimitedEvents } from '../ports/limited-events.ts';
import type { Network, PeerCredentials, TlsCredentials } from '../ports/network.ts';

const DAY_MS = 86_400_000;

/** The two sides of a broker, with or without TLS, and their certificates, which may change while it runs. */
export class Certificates {
  /** The same as {@link peers} when neither side has TLS. */
  readonly clients: Network;
  readonly peers: Network;
  readonly #env: Env;
  readonly #clientSide: Side<TlsCredentials> | undefined;
  readonly #peerSide: Side<PeerCredentials> | undefined;

  /** @throws {TlsCredentialsError} */
  constructor(env: Env, { tls, peerTls }: BrokerCredentials) {
    this.#env = env;
    const plain = new TcpNetwork();
    this.peers = plain;
    this.clients = plain;
    if (peerTls !== undefined) {
      const network = new PeerTlsNetwork(peerTls, { onRefused: refusals(env, 'peer.handshake-failed') });
      this.#peerSide = new Side(env, 'peers', network, peerTls);
      this.peers = network;
    }
    if (tls !== undefined) {
      const network = new TlsNetwork(plain, tls, { onRefused: refusals(env, 'server.handshake-failed') });
      this.#clientSide = new Side(env, 'clients', network, tls);
      this.clients = network;
    }
  }

  /** Whole days until the first of them ends; undefined without TLS. */
  get daysLeft(): number | undefined {
    const ends = [this.#clientSide, this.#peerSide].flatMap((side) => side?.notAfterMs ?? []);
    return ends.length === 0 ? undefined : daysUntil(this.#env, Math.min(...ends));
  }

  /** Takes what is good of what `read` gives, and stays with the old in place of what is not. Told by events, never thrown. */
  renewFrom(read: () => BrokerCredentials): void {
    try {
      const { tls, peerTls } = read();
      this.#clientSide?.renew(tls);
      this.#peerSide?.renew(peerTls);
    } catch (error) {
      this.#env.events.error('certificate.refused', { reason: messageOf(error) });
    }
  }
}

class Side<C extends TlsCredentials | PeerCredentials> {
  readonly #env: Env;
  readonly #name: 'clients' | 'peers';
  readonly #network: { renew(credentials: C): void };
  #credentials: C;

  constructor(env: Env, name: 'clients' | 'peers', network: { renew(credentials: C): void }, credentials: C) {
    this.#env = env;
    this.#name = name;
    this.#network = network;
    this.#credentials = credentials;
    this.#tell();
  }

  get notAfterMs(): number {
    return describeCertificate(this.#credentials.certificate).notAfterMs;
  }

  renew(next: C | undefined): void {
    try {
      if (next === undefined)
        throw new TlsCredentialsError('TLS cannot be switched off while the broker runs');
      checkRenewal(next, this.#env.clock.wallMs());
      this.#network.renew(next);
    } catch (error) {
      this.#env.events.error('certificate.refused', { side: this.#name, reason: messageOf(error) });
      return;
    }
    this.#credentials = next;
    this.#tell();
  }

  #tell(): void {
    const { subject, notAfterMs } = describeCertificate(this.#credentials.certificate);
    const daysLeft = daysUntil(this.#env, notAfterMs);
    const fields = { side: this.#name, subject, notAfter: new Date(notAfterMs).toISOString(), daysLeft };
    if (daysLeft < CERTIFICATE_ENDS_SOON_DAYS) this.#env.events.warn('certificate.ends-soon', fields);
    else this.#env.events.info('certificate.in-use', fields);
  }
}

function daysUntil(env: Env, wallMs: number): number {
  return Math.floor((wallMs - env.clock.wallMs()) / DAY_MS);
}

/** Told a few times and then only counted: whoever is refused may come back at any rate. */
function refusals(env: Env, event: string): (remote: string, reason: string) => void {
  const events = new LimitedEvents(env);
  return (remote, reason) => events.warn(event, { remote, reason });
}
