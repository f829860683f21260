import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import { TlsCredentialsError } from '../../broker-runtime/src/adapters/tls-credentials.ts';
import { TlsNetwork, type TlsNetworkOptions } from '../../broker-runtime/src/adapters/tls-network.ts';
import type { Listener, TlsCredentials } from '../../broker-runtime/src/ports/network.ts';
import { type CertificateAndKey, TestAuthority } from '../harness/certificates.ts';
import { numbered, pauseMs, Recorder } from './recorder.ts';

let authority: TestAuthority;
let stranger: TestAuthority;
let server: CertificateAndKey;
let client: CertificateAndKey;
let listener: Listener | undefined;
const sockets: net.Socket[] = [];

beforeAll(async () => {
  [authority, stranger] = await Promise.all([TestAuthority.create(), TestAuthority.create('Somebody else')]);
  [server, client] = await Promise.all([authority.sign('broker'), authority.sign('client')]);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await listener?.close();
});

async function listen(credentials: TlsCredentials, options?: TlsNetworkOptions) {
  const accepted: Recorder[] = [];
  const waiting = Promise.withResolvers<Recorder>();
  const network = new TlsNetwork(new TcpNetwork(), credentials, options);
  listener = await network.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    const recorder = new Recorder(connection);
    recorder.bufferBytes = 1_000;
    accepted.push(recorder);
    waiting.resolve(recorder);
    return recorder;
  });
  return { address: listener.address, accepted, first: waiting.promise };
}

function dial(address: { host: string; port: number }, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const socket = tls.connect({ ...address, ca: authority.certificate, ...options });
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}

/** The alert that ends a handshake of TLS 1.3 comes after the client took it for done. */
const ended = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });

describe('a listener with TLS', () => {
  test('carries bytes both ways, in order, also when the reader pauses', async () => {
    const { address, first } = await listen(server);
    const socket = dial(address);
    const sent = numbered(500_000);
    socket.end(sent);
    const recorder = await first;
    recorder.onReceived = () => {
      recorder.connection.pause();
      setImmediate(() => recorder.connection.resume());
    };
    await recorder.until((self) => self.ends.length > 0);
    expect(Buffer.concat(recorder.arrived).equals(sent)).toBe(true);
  });

  test('tells once for each answer that its memory is free, and the peer has it', async () => {
    const { address, first } = await listen(server);
    const socket = dial(address);
    socket.write('x');
    const recorder = await first;
    let sent = 0;
    const pieces = [numbered(10), numbered(3_000_000)];
    recorder.connection.send(pieces, () => sent++);
    const received: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received.push(chunk);
      if (received.reduce((sum, one) => sum + one.length, 0) === 3_000_010) break;
    }
    expect(Buffer.concat(received).equals(Buffer.concat(pieces))).toBe(true);
    expect(sent).toBe(1);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('speaks %s', async (version) => {
    const { address } = await listen(server);
    const socket = dial(address, { minVersion: version, maxVersion: version });
    await once(socket, 'secureConnect');
    expect(socket.getProtocol()).toBe(version);
  });

  test('does not speak TLS 1.1', async () => {
    const { address, accepted } = await listen(server);
    await ended(dial(address, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }));
    expect(accepted).toEqual([]);
  });

  test('refuses plaintext, tells of it, and goes on', async () => {
    const refused: string[] = [];
    const { address, accepted } = await listen(server, { onRefused: (_, reason) => refused.push(reason) });
    const plain = net.connect(address);
    sockets.push(plain);
    plain.on('error', () => undefined);
    plain.write(Buffer.from([0, 0, 0, 20, 0, 18, 0, 0]));
    await ended(plain);
    expect(accepted).toEqual([]);
    expect(refused).toHaveLength(1);
    await once(dial(address), 'secureConnect');
  });

  test('says nothing of a load balancer that only looks whether the port is open', async () => {
    const refused: string[] = [];
    const { address } = await listen(server, { onRefused: (_, reason) => refused.push(reason) });
    const probe = net.connect(address);
    await once(probe, 'connect');
    probe.destroy();
    await pauseMs(50);
    expect(refused).toEqual([]);
  });

  test('lets go of whoever does not finish the handshake in time', async () => {
    const { address, accepted } = await listen(server, { handshakeTimeoutMs: 100 });
    const silent = net.connect(address);
    sockets.push(silent);
    await ended(silent);
    expect(accepted).toEqual([]);
  });

  test('begins a limited number of handshakes at once', async () => {
    const { address } = await listen(server, { handshakesMax: 2 });
    const silent = [net.connect(address), net.connect(address)];
    sockets.push(...silent);
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    await pauseMs(20);
    await ended(dial(address));
    for (const socket of silent) socket.destroy();
    await pauseMs(20);
    await once(dial(address), 'secureConnect');
  });
});

describe('a listener that asks for certificates', () => {
  const asking = (): TlsCredentials => ({ ...server, clientAuthorities: authority.certificate });

  test('accepts a client with one of its authorities', async () => {
    const { address, first } = await listen(asking());
    dial(address, { cert: client.certificate, key: client.privateKey }).write('hello');
    const recorder = await first;
    await recorder.until((self) => self.arrivedBytes === 5);
  });

  test.each(['without a certificate', "with a stranger's certificate"])(
    'refuses a client %s',
    async (which) => {
      const refused: string[] = [];
      const { address, accepted } = await listen(asking(), {
        onRefused: (_, reason) => refused.push(reason),
      });
      const other = await stranger.sign('client');
      const shown = which.startsWith('without') ? {} : { cert: other.certificate, key: other.privateKey };
      await ended(dial(address, shown));
      await pauseMs(20);
      expect(accepted).toEqual([]);
      expect(refused).toHaveLength(1);
    },
  );
});

describe('credentials that do not make a server', () => {
  test.each<[string, () => Partial<TlsCredentials>, RegExp]>([
    ['no PEM', () => ({ certificate: 'hello' }), /the certificate is not PEM/],
    ["another certificate's key", () => ({ privateKey: client.privateKey }), /are they each other's/],
  ])('%s: a clear error before anything listens', (_, wrong, message) => {
    const make = () => new TlsNetwork(new TcpNetwork(), { ...server, ...wrong() });
    expect(make).toThrow(TlsCredentialsError);
    expect(make).toThrow(message);
  });
});
