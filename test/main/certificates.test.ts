import { once } from 'node:events';
import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { TlsCredentialsError } from '../../broker-runtime/src/adapters/tls-credentials.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { Certificates } from '../../broker-runtime/src/main/certificates.ts';
import type { BrokerCredentials } from '../../broker-runtime/src/ports/broker-process.ts';
import type { Connection, Listener, PeerCredentials } from '../../broker-runtime/src/ports/network.ts';
import { numbered, Recorder } from '../adapters/recorder.ts';
import { TestAuthority, validity } from '../harness/certificates.ts';
import { RecordingEvents } from '../simulation/world/sim-events.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const CLUSTER = 'test.brokers.millrace.internal';

let authority: TestAuthority;
let stranger: TestAuthority;
const open: { destroy(): void }[] = [];
const listeners: Listener[] = [];

beforeAll(async () => {
  [authority, stranger] = await Promise.all([TestAuthority.create(), TestAuthority.create('Somebody else')]);
});
afterEach(async () => {
  for (const one of open.splice(0)) one.destroy();
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
});

function certificatesOf(credentials: BrokerCredentials) {
  const events = new RecordingEvents();
  const certificates = new Certificates({ ...systemEnv(), events }, credentials);
  return {
    certificates,
    told: (event: string) => events.all.filter(({ name }) => name === event).map(({ fields }) => fields),
  };
}

async function serve(network: Certificates['clients']) {
  const accepted: Recorder[] = [];
  const listener = await network.listen(LOOPBACK, (connection) => {
    open.push(connection);
    const recorder = new Recorder(connection);
    accepted.push(recorder);
    return recorder;
  });
  listeners.push(listener);
  return { address: listener.address, accepted };
}

/** Whom a client finds there. */
async function dial(address: tls.ConnectionOptions, options: tls.ConnectionOptions = {}) {
  const socket = tls.connect({ ...address, ca: authority.certificate, ...options });
  open.push(socket);
  await once(socket, 'secureConnect');
  return { socket, server: nameOn(socket.getPeerCertificate()) };
}

/** A resumed session shows no certificate again. */
function nameOn({ subject }: Partial<tls.PeerCertificate>): string | string[] | undefined {
  return subject?.CN;
}

const peer = async (signer: TestAuthority, name = CLUSTER): Promise<PeerCredentials> => ({
  ...(await signer.sign('a broker', [name])),
  authorities: signer.certificate,
  name: CLUSTER,
});

describe('a certificate for clients that is renewed', () => {
  test('is what new connections see; those that stand live on', async () => {
    const { certificates, told } = certificatesOf({ tls: await authority.sign('the old one') });
    const { address, accepted } = await serve(certificates.clients);
    const before = await dial(address);
    const next = await authority.sign('the new one', [], validity(90));
    certificates.renewFrom(() => ({ tls: next }));
    const after = await dial(address);
    expect([before.server, after.server]).toEqual(['the old one', 'the new one']);
    before.socket.write(numbered(50_000));
    await accepted[0]?.until((self) => self.arrivedBytes === 50_000);
    expect(told('certificate.in-use')).toMatchObject([{ side: 'clients', subject: 'CN=the new one' }]);
    expect(certificates.daysLeft).toBe(89);
  });

  test('takes its authorities with it: who was let in by the old ones is refused, a resumed session too', async () => {
    const shown = await authority.sign('client');
    const client = { cert: shown.certificate, key: shown.privateKey, maxVersion: 'TLSv1.2' } as const;
    const own = await authority.sign('broker');
    const { certificates } = certificatesOf({ tls: { ...own, clientAuthorities: authority.certificate } });
    const { address } = await serve(certificates.clients);
    const first = await dial(address, client);
    const session = first.socket.getSession();
    expect((await dial(address, { ...client, session })).socket.isSessionReused()).toBe(true);
    certificates.renewFrom(() => ({ tls: { ...own, clientAuthorities: stranger.certificate } }));
    await expect(dial(address, { ...client, session })).rejects.toThrow();
  });
});

describe('a certificate between brokers that is renewed', () => {
  test('changes on both sides, one broker after the other, while they talk', async () => {
    const both = `${authority.certificate}\n${stranger.certificate}`;
    const old = { ...(await peer(authority)), authorities: both };
    const one = certificatesOf({ peerTls: old }).certificates;
    const two = certificatesOf({ peerTls: old }).certificates;
    const { address, accepted } = await serve(one.peers);
    const connect = async (): Promise<Recorder> => {
      let mine: Recorder | undefined;
      const connection: Connection = await two.peers.connect(address, (made) => (mine = new Recorder(made)));
      open.push(connection);
      if (mine === undefined) throw new Error('it stands');
      return mine;
    };
    const first = await connect();
    const next = { ...(await peer(stranger)), authorities: both };
    for (const side of [one, two]) {
      side.renewFrom(() => ({ peerTls: next }));
      (await connect()).connection.send([numbered(1_000)]);
    }
    first.connection.send([numbered(70_000)]);
    await accepted[0]?.until((self) => self.arrivedBytes === 70_000);
    await accepted[2]?.until((self) => self.arrivedBytes === 1_000);
  });
});

describe('bad-rotation: what cannot take the place of a certificate is refused, and the old one stays', () => {
  test.each<[string, () => Promise<BrokerCredentials>, RegExp]>([
    ['one that ended', async () => ({ tls: await authority.sign('x', [], validity(-1, -2)) }), /not today/],
    ['one of tomorrow', async () => ({ tls: await authority.sign('x', [], validity(9, 1)) }), /not today/],
    ['no PEM', async () => ({ tls: { ...(await authority.sign('x')), certificate: 'hi' } }), /is not PEM/],
    [
      "another's key",
      async () => ({
        tls: { ...(await authority.sign('x')), privateKey: (await authority.sign('y')).privateKey },
      }),
      /are they each other's/,
    ],
    ['none', () => Promise.resolve({}), /cannot be switched off/],
    [
      'one that wants certificates of clients, where none were wanted',
      async () => ({ tls: { ...(await authority.sign('x')), clientAuthorities: authority.certificate } }),
      /cannot change while/,
    ],
    ['a file that cannot be read', () => Promise.reject(new Error('no such file')), /no such file/],
  ])('for clients: %s', async (_which, next, reason) => {
    const { certificates, told } = certificatesOf({ tls: await authority.sign('the old one') });
    const { address } = await serve(certificates.clients);
    const read = await next().catch((error: unknown) => error);
    certificates.renewFrom(() => {
      if (read instanceof Error) throw read;
      return read as BrokerCredentials;
    });
    expect(told('certificate.refused')).toMatchObject([{ reason: expect.stringMatching(reason) }]);
    expect((await dial(address)).server).toBe('the old one');
  });

  test.each<[string, () => Promise<PeerCredentials>, RegExp]>([
    ["one without the cluster's name", () => peer(authority, 'other.internal'), /not one of this cluster's/],
    [
      'one that its own authorities did not sign: every other broker would refuse it',
      async () => ({ ...(await peer(stranger)), authorities: authority.certificate }),
      /none of the authorities signed/,
    ],
    [
      "another cluster's name",
      async () => ({ ...(await peer(authority, 'b')), name: 'b' }),
      /cannot become b/,
    ],
  ])('between brokers: %s', async (_which, next, reason) => {
    const { certificates, told } = certificatesOf({ peerTls: await peer(authority) });
    const peerTls = await next();
    certificates.renewFrom(() => ({ peerTls }));
    expect(told('certificate.refused')).toMatchObject([
      { side: 'peers', reason: expect.stringMatching(reason) },
    ]);
  });
});

test('how long the first of them is still good is known, and told when it is not long', async () => {
  const peerTls = { ...(await peer(authority)), ...(await authority.sign('p', [CLUSTER], validity(200))) };
  const { certificates, told } = certificatesOf({
    tls: await authority.sign('c', [], validity(13)),
    peerTls,
  });
  expect(certificates.daysLeft).toBe(12);
  expect(told('certificate.ends-soon')).toMatchObject([{ side: 'clients', daysLeft: 12 }]);
  expect(told('certificate.in-use')).toMatchObject([{ side: 'peers', daysLeft: 199 }]);
  expect(certificatesOf({}).certificates.daysLeft).toBeUndefined();
});

test('a certificate that cannot be read stops the start', () => {
  const tlsOf = { certificate: '-----BEGIN nothing', privateKey: '-----BEGIN nothing' };
  expect(() => certificatesOf({ tls: tlsOf })).toThrow(TlsCredentialsError);
});
