import net from 'node:net';
import { ConnectError, CONNECT_TIMEOUT_MS } from '../ports/network.ts';
import type { Address, Connection, ConnectErrorCode, ConnectOptions, Receiver } from '../ports/network.ts';
import { FIRST_READ_BYTES } from './socket-onread.ts';
import { systemErrorCode } from './system-error.ts';
import { TcpConnection } from './tcp-connection.ts';

export interface TcpConnectOptions extends ConnectOptions {
  readonly receiveIntoOwnMemory: boolean;
}

/** See {@link FIRST_READ_BYTES}; made when the first connection is. */
let firstRead: Uint8Array | undefined;

/** Opens a TCP connection that receives the way accepted ones do. Settles once, within the deadline. */
export function connectTcp(
  address: Address,
  accept: (connection: Connection) => Receiver,
  { receiveIntoOwnMemory, ...options }: TcpConnectOptions,
): Promise<Connection> {
  const scratch = receiveIntoOwnMemory ? (firstRead ??= new Uint8Array(FIRST_READ_BYTES)) : undefined;
  const made: { connection?: TcpConnection } = {};
  return connectSocket(address, accept, options, {
    open: () =>
      net.connect({
        host: address.host,
        port: address.port,
        allowHalfOpen: false,
        noDelay: true,
        ...(scratch === undefined ? {} : { onread: onread(scratch, made) }),
      }),
    standsAt: 'connect',
    wrap: (socket) => (made.connection = new TcpConnection(socket, scratch)),
  });
}

/** How a socket is opened, which of its events says that it stands, and what is made of it then. */
export interface SocketKind {
  open(): net.Socket;
  readonly standsAt: 'connect' | 'secureConnect';
  wrap(socket: net.Socket): TcpConnection;
}

/** Settles once, within the deadline. @throws {ConnectError} (rejects), or the signal's reason */
export function connectSocket(
  address: Address,
  accept: (connection: Connection) => Receiver,
  { timeoutMs = CONNECT_TIMEOUT_MS, signal }: ConnectOptions,
  kind: SocketKind,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const socket = kind.open();

    const fail = (error: unknown): void => {
      settle();
      // Whatever the dying socket still says was said with `error`.
      socket.on('error', () => undefined);
      socket.destroy();
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is its owner's
      reject(error);
    };
    const onError = (error: Error): void => fail(connectError(address, error));
    const onAbort = (): void => fail(signal?.reason);
    const onDeadline = (): void => fail(deadlineError(address, timeoutMs));
    const onConnect = (): void => {
      settle();
      const connection = kind.wrap(socket);
      try {
        connection.deliverTo(accept(connection));
      } catch (error) {
        fail(error);
        return;
      }
      // Before the event is over nothing is read: the first bytes find their receiver.
      connection.startReading();
      resolve(connection);
    };
    const timer = setTimeout(onDeadline, timeoutMs);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError).off(kind.standsAt, onConnect);
    };
    socket.once('error', onError).once(kind.standsAt, onConnect);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Node asks once for memory before there is a connection: then it is the scratch, as with accepted ones. */
function onread(scratch: Uint8Array, made: { readonly connection?: TcpConnection }): net.OnReadOpts {
  return {
    buffer: () => made.connection?.nextBuffer() ?? scratch,
    callback: (length: number) => made.connection?.read(length) ?? false,
  };
}

const UNREACHABLE = 'no way leads there: check the address, routes and security groups';
const UNRESOLVED = 'the name does not resolve: check its spelling, or the name server';

const CONNECT_ERRORS: Readonly<Record<string, { readonly code: ConnectErrorCode; readonly help: string }>> = {
  ECONNREFUSED: {
    code: 'REFUSED',
    help: 'nobody listens there: the process is not started yet, is gone, or listens on another port',
  },
  EHOSTUNREACH: { code: 'UNREACHABLE', help: UNREACHABLE },
  ENETUNREACH: { code: 'UNREACHABLE', help: UNREACHABLE },
  ENOTFOUND: { code: 'UNREACHABLE', help: UNRESOLVED },
  EAI_AGAIN: { code: 'UNREACHABLE', help: UNRESOLVED },
  ETIMEDOUT: { code: 'TIMED_OUT', help: 'nobody answered: the machine is gone, or a firewall drops packets' },
};

function connectError(address: Address, cause: Error): ConnectError {
  const known = CONNECT_ERRORS[systemErrorCode(cause) ?? ''];
  const text = known?.help ?? cause.message;
  return new ConnectError(known?.code ?? 'FAILED', `cannot connect to ${nameOf(address)}: ${text}`, {
    cause,
  });
}

function deadlineError(address: Address, timeoutMs: number): ConnectError {
  const why = `nobody answered in ${timeoutMs} ms: the machine is gone or overloaded, or a firewall drops packets`;
  return new ConnectError('TIMED_OUT', `cannot connect to ${nameOf(address)}: ${why}`);
}

function nameOf({ host, port }: Address): string {
  return `${host}:${port}`;
}
