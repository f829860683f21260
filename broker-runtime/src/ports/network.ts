import { MillraceError } from '../base/errors.ts';

/**
 * Byte streams between processes. Built around one idea measured in production-like tests: the reader says
 * where the next bytes shall land, so a frame is received into its own memory without another copy.
 */
export interface Network {
  /** @throws {ListenError} when the address is taken or not ours */
  listen(address: Address, accept: (connection: Connection) => Receiver): Promise<Listener>;

  /**
   * Opens a connection. `accept` is called once it stands, before anything is received, as for `listen`.
   * @throws {ConnectError} also when it does not stand in time; the signal's reason when that is aborted first
   */
  connect(
    address: Address,
    accept: (connection: Connection) => Receiver,
    options?: ConnectOptions,
  ): Promise<Connection>;
}

/** How long a peer may take to answer at all: a lost first packet is sent again after 1 s and after 3 s. */
export const CONNECT_TIMEOUT_MS = 5_000;

export interface ConnectOptions {
  /** {@link CONNECT_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Of a server, as PEM. */
export interface TlsCredentials {
  /** The server's own certificate first, then those between it and a root. */
  readonly certificate: string;
  readonly privateKey: string;
  /** Clients have to show a certificate of one of these. Without it they show none. */
  readonly clientAuthorities?: string;
}

/** Of a broker towards other brokers, as PEM: each shows its certificate and looks at the other's. */
export interface PeerCredentials {
  /** The broker's own certificate first, then those between it and a root. */
  readonly certificate: string;
  readonly privateKey: string;
  /** Those who sign for brokers. */
  readonly authorities: string;
  /** DNS name that the certificates of this cluster's brokers carry, and no others. */
  readonly name: string;
}

export interface Address {
  readonly host: string;
  /** 0 lets the system choose; {@link Listener.address} tells. */
  readonly port: number;
}

export interface Listener {
  readonly address: Address;
  /** Stops accepting; connections live on until they are closed. */
  close(): Promise<void>;
}

/** What a connection delivers to. Called by the adapter only, never re-entrantly. */
export interface Receiver {
  /** Memory for the next bytes, at least one byte long. Must stay put until `received` is called. */
  buffer(): Uint8Array;

  /** `length` bytes now stand at the start of the memory that `buffer` returned last. */
  received(length: number): void;

  /** Everything handed to `send` has left for the system's socket buffer, after it had once piled up. */
  drained(): void;

  /** The stream is over, in both directions; called exactly once. `error` when it did not end by our or the peer's close. */
  closed(error?: Error): void;
}

export interface Connection {
  readonly remote: Address;
  readonly local: Address;

  /**
   * Queues bytes in order; the pieces must not change until `sent` is called. `sent` is called exactly once,
   * when the memory may be used again: the bytes left the process, or the connection is gone.
   */
  send(pieces: readonly Uint8Array[], sent?: () => void): void;

  /** Bytes handed to `send` that have not left the process: what a reader that never drains costs us. */
  readonly unsentBytes: number;

  /** Stops and resumes reading; the peer feels TCP back-pressure. Both may be called repeatedly. */
  pause(): void;
  resume(): void;

  /** Sends what is queued, then closes. */
  end(): void;

  /** Closes at once and drops what is queued. */
  destroy(): void;
}

/**
 * ADDRESS_IN_USE: another process listens there. ADDRESS_NOT_AVAILABLE: the host is not an address of this
 * machine. PERMISSION_DENIED: the port is reserved for privileged users. FAILED: anything else.
 */
export type ListenErrorCode = 'ADDRESS_IN_USE' | 'ADDRESS_NOT_AVAILABLE' | 'PERMISSION_DENIED' | 'FAILED';

export class ListenError extends MillraceError {
  readonly code: ListenErrorCode;

  constructor(code: ListenErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/**
 * REFUSED: the machine answered that nobody listens there. UNREACHABLE: no way leads to the host, or its name means
 * nothing. TIMED_OUT: nobody answered. FAILED: anything else.
 */
export type ConnectErrorCode = 'REFUSED' | 'UNREACHABLE' | 'TIMED_OUT' | 'FAILED';

/** No connection was made, and nothing was sent. */
export class ConnectError extends MillraceError {
  readonly code: ConnectErrorCode;

  constructor(code: ConnectErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
