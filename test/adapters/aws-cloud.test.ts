import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AutoScalingLifecycle,
  CloudWatchMetrics,
  Ec2Volumes,
  ManagedSecrets,
  Route53Names,
} from '../../broker-runtime/src/adapters/aws-cloud.ts';
import { Imds } from '../../broker-runtime/src/adapters/imds.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { AwsAccount } from '../aws-model/aws-account.ts';
import { AwsServer, startImds } from '../aws-model/aws-server.ts';

/** The SDK itself against the model of an account: what is sent, and how answers are understood. */
const env = systemEnv();
const account = new AwsAccount(env.clock);
const TAGS = { cluster: 'millrace:cluster', nodeId: 'millrace:node-id' };
let server: AwsServer;
let options: { region: string; endpoint: string };

beforeAll(async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  server = await AwsServer.start(account);
  options = { region: 'eu-central-1', endpoint: server.endpoint };
  account.attachMs = 0;
  account.addVolume('vol-1', 'eu-central-1a', { 'millrace:cluster': 'test', 'millrace:node-id': '1' });
  account.addVolume('vol-2', 'eu-central-1b', { 'millrace:cluster': 'test', 'millrace:node-id': '101' });
  account.addVolume('vol-3', 'eu-central-1a', { 'millrace:cluster': 'other', 'millrace:node-id': '1' });
});
afterAll(() => server.close());

describe('volumes', () => {
  test('are found by tags and zone, with what they are attached to', async () => {
    const volumes = new Ec2Volumes(options, TAGS);
    const { instanceId } = account.launch('eu-central-1a', 'group-a');
    await volumes.attach('vol-1', instanceId, '/dev/sdf');
    expect(await volumes.list('test', 'eu-central-1a')).toEqual([
      {
        volumeId: 'vol-1',
        nodeId: 1,
        attachments: [{ instanceId, state: 'attached', deviceName: '/dev/sdf' }],
      },
    ]);
  });

  test.each([
    ['a volume of another zone', 'vol-2', 'DENIED', /InvalidVolume.ZoneMismatch/],
    ['no volume', 'vol-9', 'DENIED', /InvalidVolume.NotFound/],
    ['one that is attached already', 'vol-1', 'CONFLICT', /VolumeInUse/],
  ])('%s is refused with a code that says whether to ask again', async (_, volumeId, code, message) => {
    const volumes = new Ec2Volumes(options, TAGS);
    const [instance] = account.instances.keys();
    const attaching = volumes.attach(volumeId, instance ?? '', '/dev/sdg');
    await expect(attaching).rejects.toMatchObject({ code });
    await expect(attaching).rejects.toThrow(message);
  });

  test('a throttled call is repeated', async () => {
    account.throttled = 2;
    expect(await new Ec2Volumes(options, TAGS).list('test', 'eu-central-1b')).toHaveLength(1);
    expect(account.throttled).toBe(0);
  });

  test('an instance runs until it is terminated, or unknown', async () => {
    const volumes = new Ec2Volumes(options, TAGS);
    const { instanceId } = account.launch('eu-central-1a', 'group-a');
    expect(await volumes.isRunning(instanceId)).toBe(true);
    account.lose(instanceId);
    expect(await volumes.isRunning(instanceId)).toBe(false);
    expect(await volumes.isRunning('i-unknown')).toBe(false);
  });
});

test('a name is written, and removed unless it names another address', async () => {
  const names = new Route53Names(options, 'Z1');
  await names.put('b1.test.internal', '10.0.0.1');
  expect(account.records.get('b1.test.internal')).toBe('10.0.0.1');
  await names.remove('b1.test.internal', '10.0.0.2');
  expect(account.records.get('b1.test.internal')).toBe('10.0.0.1');
  await names.remove('b1.test.internal', '10.0.0.1');
  expect(account.records.size).toBe(0);
});

test('a hook is completed once; a second time, and an unhealthy report, do no harm', async () => {
  const lifecycle = new AutoScalingLifecycle(options);
  const instance = account.launch('eu-central-1a', 'group-a');
  await lifecycle.complete('group-a', 'millrace-launch', instance.instanceId);
  await lifecycle.complete('group-a', 'millrace-launch', instance.instanceId);
  expect(instance.hooks.size).toBe(0);
  await lifecycle.reportUnhealthy(instance.instanceId);
  expect(instance.isHealthy).toBe(false);
});

describe('the metadata service', () => {
  test('tells who we are, to those with a token, also after it failed for a moment', async () => {
    const instance = account.launch('eu-central-1a', 'group-a');
    const imds = await startImds(instance, { failures: 2 });
    try {
      const { instanceId, zone, privateIp } = instance;
      expect(await new Imds(env.clock, imds.endpoint).identity()).toEqual({ instanceId, zone, privateIp });
    } finally {
      imds.close();
    }
  });

  test.each([undefined, 'spot-interruption', 'rebalance', 'terminating'] as const)(
    'gives notice: %s',
    async (notice) => {
      const instance = account.launch('eu-central-1a', 'group-a');
      instance.notice = notice;
      const imds = await startImds(instance);
      try {
        expect(await new Imds(env.clock, imds.endpoint).notice()).toBe(notice);
      } finally {
        imds.close();
      }
    },
  );

  test('that is not there is an error that says so, not an instance that may stay for ever', async () => {
    await expect(new Imds(env.clock, 'http://127.0.0.1:9').notice()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});

describe('secrets', () => {
  test('are read by their ARN', async () => {
    account.secrets.set('arn:secret', '{"certificate":"..."}');
    expect(await new ManagedSecrets(options).read('arn:secret')).toBe('{"certificate":"..."}');
  });

  test('that are not there are told by name', async () => {
    await expect(new ManagedSecrets(options).read('arn:none')).rejects.toThrow(/arn:none/);
  });
});

test('metrics are put under their namespace', async () => {
  await new CloudWatchMetrics(options, 'Millrace').put(
    { BusyPercent: 12, WalFullPercent: 3 },
    { Cluster: 'test' },
  );
  expect(account.metrics.get('Millrace/BusyPercent')).toEqual([12]);
  expect(account.metrics.get('Millrace/WalFullPercent')).toEqual([3]);
});

test('hung-forever: a service that takes a request and never answers is an error after every attempt', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const secrets = new ManagedSecrets({
    ...options,
    endpoint: `http://127.0.0.1:${port}`,
    requestTimeoutMs: 50,
  });
  await expect(secrets.read('arn:any')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  silent.closeAllConnections();
  silent.close();
}, 60_000);
