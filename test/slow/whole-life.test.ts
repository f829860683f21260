import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { connect, type ConnectionOptions } from 'node:tls';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Kafka, logLevel } from 'kafkajs';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import type { Environment } from '../../lib/environment/environment.ts';
import { INTERNAL_PORT } from '../../lib/instance-contract.ts';
import { Millrace } from '../../lib/millrace.ts';
import { AwsAccount } from '../aws-model/aws-account.ts';
import { AwsServer } from '../aws-model/aws-server.ts';
import { S3Server } from '../harness/s3-server.ts';
import { SentRecords } from '../harness/sent-records.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { type Patience, until } from '../harness/until.ts';
import { instanceConfigOf, userDataOf } from '../harness/user-data.ts';
import { type CertificateAndKey, TestAuthority } from '../harness/certificates.ts';
import { Instance, type InstanceWorld } from '../instance/instance.ts';

/**
 * From an environment to records: its templates are synthesized, and every instance boots by the very user data and bundle that
 * a launch template and a bucket of assets would give it, unprivileged, on a root of its own. Clients and brokers know each other by certificates. Around them a metadata service each,
 * the model of an account behind the SDK's protocols, and an S3 server. The WAL is in the bucket: what attaches volumes is in
 * boot.test.ts.
 */
const ROOT = path.resolve(__dirname, '..', '..');
const PORT = 29_492;
const ZONES = ['us-east-1a', 'us-east-1b', 'us-east-1c'] as const;
/** Process start to serving, without the instance's own boot. */
const SERVING_WITHIN_MS = 5_000;

const SECRET = 'arn:aws:secretsmanager:us-east-1:111111111111:secret:life-AbCdEf';

const PEER_SECRET = 'arn:aws:secretsmanager:us-east-1:111111111111:secret:peers-AbCdEf';

const environment: Environment = {
  name: 'life',
  account: '111111111111',
  region: 'us-east-1',
  zones: ZONES,
  slotsPerZone: 1,
  wal: { kind: 'object' },
  data: { bucketName: 'millrace' },
  clients: { allowedCidrs: ['10.60.0.0/16'], port: PORT, tls: { secretArn: SECRET } },
  peerTls: { secretArn: PEER_SECRET },
  brokerSettings: { 'num.partitions': '6' },
};

const dir = new TempDir();
const account = new AwsAccount(systemEnv().clock);
const instances: Instance[] = [];
let world: InstanceWorld;
let domain: string;
let groups: Readonly<Record<string, string>>;
let aws: AwsServer;
let s3: S3Server;
let authority: TestAuthority;
let client: CertificateAndKey;

beforeAll(async () => {
  execFileSync(process.execPath, [path.join(ROOT, 'broker-runtime', 'build.mjs')]);
  const bundleFile = dir.join('bundle.mjs');
  cpSync(path.join(ROOT, 'broker-runtime', 'dist', 'millrace-broker.mjs'), bundleFile);
  const app = new App({ outdir: dir.join('assets') });
  const { cluster } = new Millrace(app, 'life', { environment, bundleFile });
  app.synth();
  const template: object = Template.fromStack(cluster).toJSON();
  ({
    groups,
    dns: { domain },
  } = instanceConfigOf(template));
  account.addressPrefix = '127.62.0.';
  authority = await TestAuthority.create();
  const server = await authority.sign('brokers', [domain, `*.${domain}`]);
  client = await authority.sign('a client');
  const peers = await TestAuthority.create('Brokers alone');
  const peer = await peers.sign('a broker', ['life.brokers.millrace.internal']);
  account.secrets.set(PEER_SECRET, JSON.stringify({ ...peer, authorities: peers.certificate }));
  account.secrets.set(SECRET, JSON.stringify({ ...server, clientAuthorities: authority.certificate }));
  [aws, s3] = await Promise.all([AwsServer.start(account), S3Server.start(dir.join('s3'))]);
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = s3.credentials;
  world = {
    dir,
    assets: dir.join('assets'),
    userData: userDataOf(template),
    env: { AWS_ENDPOINT_URL: aws.endpoint, AWS_ENDPOINT_URL_S3: s3.endpoint },
    credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
  };
}, 120_000);

afterAll(async () => {
  await Promise.all(instances.map((one) => one.lose()));
  await Promise.all([aws.close(), s3.stop()]);
  dir.remove();
}, 60_000);

/** What the group of a zone does when it has too few. */
async function launch(zone: string): Promise<Instance> {
  const instance = await Instance.boot(account.launch(zone, groups[zone] ?? ''), world);
  instances.push(instance);
  return instance;
}

const isServing = ({ model }: Instance): boolean =>
  model.state === 'running' && !model.hooks.has('millrace-launch');

const patience: Patience = {
  limitMs: 60_000,
  told: () =>
    instances.map(({ model, lines }) => `${model.instanceId}: ${lines.slice(-8).join('\n  ')}`).join('\n'),
};

/** How a broker that serves ends a connection to which it does not answer; 'answered' when it does. */
function refusal(port: number, options: ConnectionOptions): Promise<string> {
  const [instance] = instances.filter(isServing);
  const host = instance?.model.privateIp ?? '';
  const socket = connect({ host, port, servername: domain, ca: authority.certificate, ...options });
  return new Promise((resolve) => {
    socket.once('error', ({ message }: Error) => resolve(message)).once('close', () => resolve('closed'));
    socket.once('data', () => resolve('answered'));
  });
}

/** A client that knows one name: the load balancer sends it to any that serves, and Route 53 knows the brokers' own names. */
function kafka(): Kafka {
  return new Kafka({
    brokers: [`${domain}:${PORT}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 20 },
    socketFactory: ({ host, port, onConnect }) => {
      const serving = instances.filter(isServing);
      const behind = serving[Math.floor(Math.random() * serving.length)]?.model.privateIp;
      const address = (host === domain ? behind : account.records.get(host)) ?? host;
      const mine = { ca: authority.certificate, cert: client.certificate, key: client.privateKey };
      // The name is what the certificate is for; the address only where it happens to be.
      return connect({ host: address, port, servername: host, ...mine }, onConnect);
    },
  });
}

const records = new SentRecords({ topic: 'life', kafka, patience });

describe('an environment, from its templates to records', () => {
  test('a bundle other than the one that was synthesized is not started', async () => {
    const wrong = dir.join('wrong-assets');
    cpSync(world.assets, wrong, { recursive: true });
    const [key] = /[0-9a-f]{64}\.mjs/.exec(world.userData) ?? [];
    cpSync(path.join(ROOT, 'package.json'), path.join(wrong, `asset.${key ?? ''}`));
    const instance = await Instance.boot(account.launch(ZONES[0], ''), { ...world, assets: wrong });
    expect(await instance.ended).not.toBe(0);
    expect(instance.lines.join('\n')).toMatch(/checksum did NOT match/);
    expect(instance.startedAtMs).toBeUndefined();
  });

  test('every group member boots, takes its slot, writes its name and serves as one cluster', async () => {
    for (const zone of ZONES) await launch(zone);
    await until('all serve', () => instances.every(isServing), patience);
    expect([...account.records.keys()].sort()).toEqual(['b1', 'b101', 'b201'].map((b) => `${b}.${domain}`));
    await records.produce(50);
    expect(await records.consumeAll()).toEqual(records.sent);
  });

  test('a client without a certificate gets no word out of a broker', async () => {
    expect(await refusal(PORT, {})).toMatch(/certificate required/);
  });

  test("a client's certificate opens no door between brokers", async () => {
    // Not even one who does not look at the server's own certificate gets a word.
    const mine = { cert: client.certificate, key: client.privateKey, rejectUnauthorized: false };
    expect(await refusal(INTERNAL_PORT, mine)).toBe('closed');
    await until(
      'a broker tells of it',
      () => instances.some(({ lines }) => lines.some((line) => line.includes('peer.handshake-failed'))),
      patience,
    );
  });

  test('an instance loses power: the others go on, and its replacement serves within five seconds of its start', async () => {
    const [lost] = instances;
    if (lost === undefined) throw new Error('no instance');
    await lost.lose();
    account.lose(lost.model.instanceId);
    await records.produce(30);
    const next = await launch(lost.model.zone);
    await until('the replacement serves', () => isServing(next), patience);
    const startToServingMs = performance.now() - (next.startedAtMs ?? 0);
    console.log(`process start to serving: ${Math.round(startToServingMs)} ms`);
    expect(startToServingMs).toBeLessThan(SERVING_WITHIN_MS);
    expect(account.records.get(`b1.${domain}`)).toBe(next.model.privateIp);
    await records.produce(20);
    expect(await records.consumeAll()).toEqual(records.sent);
  });

  test('an instance that the group takes back hands over, removes its name and leaves', async () => {
    const leaving = instances.find(({ model }) => model.zone === ZONES[1]);
    if (leaving === undefined) throw new Error('no instance');
    account.terminate(leaving.model.instanceId);
    await until('it has left', () => leaving.model.state === 'terminated', patience);
    await leaving.ended;
    expect(account.records.has(`b101.${domain}`)).toBe(false);
    await records.produce(20);
    expect(await records.consumeAll()).toEqual(records.sent);
  });
});
