import type { PeerCredentials, TlsCredentials } from './network.ts';

/** Its certificates, which may be renewed while it runs. */
export interface BrokerCredentials {
  /** For clients. Absent: they speak plaintext. */
  readonly tls?: TlsCredentials;
  /** Between brokers. Absent: plaintext. All brokers of a cluster speak the same. */
  readonly peerTls?: PeerCredentials;
}

/** What a broker of this instance is started with. */
export interface BrokerLaunch {
  readonly nodeId: number;
  readonly zone: string;
  /** Where it listens, for clients and for brokers. */
  readonly host: string;
  readonly port: number;
  readonly internalPort: number;
  /** What clients are told. */
  readonly advertisedHost: string;
  /** By node id, the devices of its own volume and of those it stands by for; empty with the WAL in the bucket. */
  readonly devices: Readonly<Record<string, string>>;
  readonly credentials: BrokerCredentials;
  readonly settings: Readonly<Record<string, string>>;
}

/** Starts brokers as processes of their own. */
export interface BrokerProcesses {
  start(launch: BrokerLaunch): BrokerProcess;
  /**
   * Looks at credentials that shall take the place of others, which nobody watches.
   * @throws {MillraceError} why no broker should get them
   */
  checkRenewal(credentials: BrokerCredentials): void;
}

/** How much of what it has a broker uses. */
export interface BrokerLoad {
  /** Of its one thread, since it was last told: at 100 it can do no more, whatever the machine's other cores do. */
  readonly busyPercent: number;
  /** Of the write-ahead log; 100 when producers wait for room. */
  readonly walFullPercent: number;
  /** Until the first of its certificates ends; absent without TLS. */
  readonly certificateDaysLeft?: number;
}

export interface BrokerProcess {
  /** When it serves; never when it ends before. */
  readonly ready: Promise<void>;
  /** Its exit status, or the signal that ended it. */
  readonly ended: Promise<string>;
  /** As it was last told, every time by another object; undefined before that. */
  readonly load: BrokerLoad | undefined;
  /** From now on, when it serves. What cannot be used it refuses, and goes on with what it has. */
  renew(credentials: BrokerCredentials): void;
  /** Asks it to give its partitions away and stop. */
  stop(): void;
  /** At once. */
  kill(): void;
}
