import net from 'node:net';
import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { PeerTlsNetwork } from '../../broker-runtime/src/adapters/peer-tls-network.ts';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import { TlsNetwork } from '../../broker-runtime/src/adapters/tls-network.ts';
import type {
  Connection,
  Listener,
  Network,
  PeerCredentials,
} from '../../broker-runtime/src/ports/network.ts';
import { TestAuthority } from '../harness/certificates.ts';
import { numbered, Recorder } from './recorder.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const CLUSTER = 'brokers.kafka.example.com';

let authority: TestAuthority;
let stranger: TestAuthority;
let ours: PeerCredentials;
let listener: Listener | undefined;
const connections: Connection[] = [];

async function credentialsOf(signer: TestAuthority, name = CLUSTER): Promise<PeerCredentials> {
  return { ...(await signer.sign('broker', [name])), authorities: signer.certificate, name };
}

beforeAll(async () => {
  [authority, stranger] = await Promise.all([TestAuthority.create(), TestAuthority.create('Somebody else')]);
  ours = await credentialsOf(authority);
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy();
  await listener?.close();
});

async function listen(network: Network) {
  const accepted: Recorder[] = [];
  const first = Promise.withResolvers<Recorder>();
  listener = await network.listen(LOOPBACK, (connection) => {
    const recorder = new Recorder(connection);
    accepted.push(recorder);
    first.resolve(recorder);
    connections.push(connection);
    return recorder;
  });
  return { address: listener.address, accepted, first: first.promise };
}

async function dial(network: Network, address: { host: string; port: number }): Promise<Recorder> {
  let mine: Recorder | undefined;
  connections.push(await network.connect(address, (connection) => (mine = new Recorder(connection))));
  if (mine === undefined) throw new Error('it stands');
  return mine;
}

test('brokers of one cluster talk, both ways and in order', async () => {
  const { address, first } = await listen(new PeerTlsNetwork(ours));
  // Another certificate of the same authority and name: each broker may have its own.
  const client = await dial(new PeerTlsNetwork(await credentialsOf(authority)), address);
  const server = await first;
  client.connection.send([numbered(300_000)]);
  server.connection.send([numbered(10), numbered(200_000)]);
  await server.until((self) => self.arrivedBytes === 300_000);
  await client.until((self) => self.arrivedBytes === 200_010);
  expect(Buffer.concat(server.arrived).equals(numbered(300_000))).toBe(true);
});

describe('a broker refuses, and says so,', () => {
  const refusing = async () => {
    const refused: string[] = [];
    const network = new PeerTlsNetwork(ours, { onRefused: (_remote, reason) => refused.push(reason) });
    const { address, accepted } = await listen(network);
    return { address, refused, accepted };
  };

  /** With TLS 1.3 the one who connects learns of it only by the end of the connection. */
  const connectAndEnd = async (network: Network, address: { host: string; port: number }): Promise<void> => {
    const client = await dial(network, address);
    await client.until((self) => self.ends.length > 0);
  };

  test('a peer whose certificate is of other authorities', async () => {
    const { address, refused, accepted } = await refusing();
    const theirs = { ...(await credentialsOf(stranger)), authorities: authority.certificate };
    await connectAndEnd(new PeerTlsNetwork(theirs), address);
    expect(accepted).toEqual([]);
    expect(refused).toHaveLength(1);
  });

  test("a peer of another cluster, although the authorities are the same: a client's certificate, say", async () => {
    const { address, refused, accepted } = await refusing();
    const theirs = { ...(await credentialsOf(authority, 'brokers.other.example.com')), name: CLUSTER };
    await connectAndEnd(new PeerTlsNetwork(theirs), address);
    expect(accepted).toEqual([]);
    expect(refused).toEqual([
      expect.stringMatching(/not one of this cluster's brokers.*brokers.other.example.com/),
    ]);
  });

  test('a peer that shows no certificate', async () => {
    const { address, refused, accepted } = await refusing();
    const socket = tls.connect({ ...address, ca: authority.certificate, servername: CLUSTER });
    socket.on('error', () => undefined);
    await new Promise((ended) => socket.once('close', ended));
    expect(accepted).toEqual([]);
    expect(refused).toHaveLength(1);
  });

  test.each([
    ['whose name is a wildcard, good for every cluster of the authority', 'broker', '*.kafka.example.com'],
    ['that has the name as its common name only', CLUSTER, 'brokers.other.example.com'],
  ])('loose-identity: a peer %s', async (_which, commonName, name) => {
    const { address, refused, accepted } = await refusing();
    const loose = await authority.sign(commonName, [name]);
    const theirs = { ...loose, authorities: authority.certificate, name: CLUSTER };
    await connectAndEnd(new PeerTlsNetwork(theirs), address);
    expect(accepted).toEqual([]);
    expect(refused).toHaveLength(1);
    await listener?.close();
    const other = await listen(new PeerTlsNetwork(theirs));
    await expect(dial(new PeerTlsNetwork(ours), other.address)).rejects.toThrow(/not one of this cluster's/);
  });

  test('a peer that speaks plaintext', async () => {
    const { address, refused, accepted } = await refusing();
    const client = await dial(new TcpNetwork(), address);
    client.connection.send([numbered(100)]);
    await client.until((self) => self.ends.length > 0);
    expect(accepted).toEqual([]);
    expect(refused).toHaveLength(1);
  });
});

describe('a broker does not connect', () => {
  test('to one of other authorities', async () => {
    const { address } = await listen(new PeerTlsNetwork(await credentialsOf(stranger)));
    const told: string[] = [];
    const network = new PeerTlsNetwork(ours, { onRefused: (_remote, reason) => told.push(reason) });
    await expect(dial(network, address)).rejects.toMatchObject({ name: 'ConnectError', code: 'FAILED' });
    expect(told).toEqual([expect.stringMatching(/cannot connect to 127.0.0.1:\d+: /)]);
  });

  test('to one of another cluster, although the authorities are the same', async () => {
    const { address } = await listen(
      new PeerTlsNetwork(await credentialsOf(authority, 'brokers.other.example.com')),
    );
    await expect(dial(new PeerTlsNetwork(ours), address)).rejects.toThrow(
      /its certificate is not one of this cluster's brokers/,
    );
  });

  test('to a listener of clients', async () => {
    const { address } = await listen(new TlsNetwork(new TcpNetwork(), await authority.sign('broker')));
    await expect(dial(new PeerTlsNetwork(ours), address)).rejects.toThrow(/its certificate is not one of/);
  });

  test('to one that speaks plaintext, or nothing at all, for longer than it is told', async () => {
    const silent = net.createServer(() => undefined).listen(LOOPBACK.port, LOOPBACK.host);
    await new Promise((listening) => silent.once('listening', listening));
    const { port } = silent.address() as net.AddressInfo;
    const network = new PeerTlsNetwork(ours);
    const connecting = network.connect({ host: LOOPBACK.host, port }, (one) => new Recorder(one), {
      timeoutMs: 100,
    });
    await expect(connecting).rejects.toMatchObject({ code: 'TIMED_OUT' });
    silent.close();
  });
});
