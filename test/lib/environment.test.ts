import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { environments } from '../../environments/index.ts';
import type { Environment } from '../../lib/environment/environment.ts';
import { LIMITS, vcpusOf } from '../../lib/environment/limits.ts';
import { resolveEnvironment, slotsOf } from '../../lib/environment/resolve.ts';
import { InvalidEnvironmentError, problemsOf } from '../../lib/environment/validate.ts';

const good: Environment = {
  name: 'try',
  account: '111111111111',
  region: 'eu-central-1',
  zones: ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'],
  clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: true },
};
const goodProd: Environment = {
  ...good,
  tier: 'prod',
  clients: {
    allowedCidrs: ['10.0.0.0/8'],
    tls: { secretArn: 'arn:aws:secretsmanager:eu-central-1:111111111111:secret:tls-AbCdEf' },
  },
  peerTls: { secretArn: 'arn:aws:secretsmanager:eu-central-1:111111111111:secret:peers-AbCdEf' },
  recovery: { region: 'eu-west-1', alarmTopicArn: 'arn:aws:sns:eu-west-1:111111111111:operators' },
  alarms: { topicArn: 'arn:aws:sns:eu-central-1:111111111111:operators' },
};

describe('an environment', () => {
  test.each(Object.entries(environments))('the example %s can be used', (_, environment) => {
    expect(problemsOf(environment)).toEqual([]);
  });

  test('of only what is required gets a default for everything else', () => {
    expect(resolveEnvironment(good)).toMatchObject({
      tier: 'dev',
      slotsPerZone: 2,
      wal: { kind: 'block-shared', sizeGiB: 8, iops: 500 },
      data: { bucketName: 'millrace-try-111111111111-eu-central-1', removal: 'retain' },
      network: { cidr: '10.60.0.0/16' },
      dns: { domain: 'try.millrace.internal' },
      scaling: { minPerZone: 2, maxPerZone: 2 },
      recovery: undefined,
    });
  });

  test.each<[code: string, path: string, wrong: Partial<Environment>]>([
    ['Name', 'name', { name: 'My Cluster' }],
    ['Name', 'name', { name: 'try-' }],
    ['Account', 'account', { account: '1234' }],
    ['Region', 'region', { region: 'frankfurt', zones: ['frankfurta', 'frankfurtb', 'frankfurtc'] }],
    ['ZoneCount', 'zones', { zones: ['eu-central-1a', 'eu-central-1b'] }],
    ['ZoneTwice', 'zones', { zones: ['eu-central-1a', 'eu-central-1a', 'eu-central-1b'] }],
    ['ZoneName', 'zones', { zones: ['eu-central-1a', 'eu-central-1b', 'us-east-1c'] }],
    ['SlotsPerZone', 'slotsPerZone', { slotsPerZone: 17 }],
    ['InstanceType', 'instances.types', { instances: { types: ['m5.large'] } }],
    ['InstanceType', 'instances.types', { instances: { architecture: 'x86_64', types: ['m7g.large'] } }],
    ['ImageId', 'instances.imageId', { instances: { imageId: 'al2023' } }],
    ['SpotPercent', 'instances.spotPercent', { instances: { spotPercent: 101 } }],
    ['WalIops', 'wal.iops', { wal: { iops: 50 } }],
    ['WalIopsRatio', 'wal.iops', { wal: { sizeGiB: 40, iops: 40_001 } }],
    ['WalRing', 'wal.sizeGiB', { wal: { sizeGiB: 4, iops: 3_000 } }],
    ['DestroyUnconfirmed', 'data.confirmDestroy', { data: { removal: 'destroy' } }],
    ['DestroyUnconfirmed', 'data.confirmDestroy', { data: { removal: 'destroy', confirmDestroy: 'prod' } }],
    ['BucketName', 'data.bucketName', { data: { bucketName: 'My_Bucket' } }],
    ['PeerTlsSecret', 'peerTls.secretArn', { peerTls: { secretArn: 'millrace/peers' } }],
    ['PromotedBucket', 'data.bucketName', { data: { promoted: { generation: 1 } } }],
    ['Generation', 'data.promoted.generation', { data: { bucketName: 'copy', promoted: { generation: 0 } } }],
    [
      'PromotedRecovery',
      'recovery',
      {
        data: { bucketName: 'copy', promoted: { generation: 1 } },
        recovery: { region: 'us-west-2' },
      },
    ],
    ['RecoveryRegionSame', 'recovery.region', { recovery: { region: 'eu-central-1' } }],
    ['Cidr', 'network.cidr', { network: { cidr: '10.0.0.0/24' } }],
    ['Cidr', 'network.cidr', { network: { cidr: '10.0.0.256/16' } }],
    [
      'SubnetOfZone',
      'network.subnetIds.eu-central-1c',
      {
        network: {
          vpcId: 'vpc-0123456789abcdef0',
          vpcCidr: '10.0.0.0/16',
          subnetIds: {
            'eu-central-1a': 'subnet-0123456789abcdef0',
            'eu-central-1b': 'subnet-0123456789abcdef1',
          },
        },
      },
    ],
    ['Cidr', 'network.cidr', { network: { cidr: '10.60.1.0/16' } }],
    ['Cidr', 'network.cidr', { network: { cidr: '8.8.0.0/16' } }],
    ['Cidr', 'network.cidr', { network: { cidr: '172.32.0.0/16' } }],
    [
      'SubnetOfZone',
      'network.subnetIds.eu-central-1b',
      {
        network: {
          vpcId: 'vpc-0123456789abcdef0',
          vpcCidr: '10.0.0.0/16',
          subnetIds: {
            'eu-central-1a': 'subnet-0123456789abcdef0',
            'eu-central-1b': 'subnet-0123456789abcdef0',
            'eu-central-1c': 'subnet-0123456789abcdef2',
          },
        },
      },
    ],
    ['Domain', 'dns.domain', { dns: { domain: 'Kafka' } }],
    ['HostedZoneId', 'dns.hostedZoneId', { dns: { domain: 'kafka.io', hostedZoneId: 'kafka.io' } }],
    [
      'PortTaken',
      'clients.port',
      { clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: true, port: 9093 } },
    ],
    [
      'Plaintext',
      'clients.acceptPlaintext',
      { clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: false } },
    ],
    [
      'TlsSecret',
      'clients.tls.secretArn',
      { clients: { allowedCidrs: ['10.0.0.0/8'], tls: { secretArn: 'millrace/tls' } } },
    ],
    [
      'TlsSecret',
      'clients.tls.secretArn',
      {
        clients: {
          allowedCidrs: ['10.0.0.0/8'],
          tls: { secretArn: 'arn:aws:secretsmanager:us-east-1:111111111111:secret:elsewhere-AbCdEf' },
        },
      },
    ],
    [
      // A policy for it would not match the secret, whose ARN ends in six characters more.
      'TlsSecret',
      'clients.tls.secretArn',
      {
        clients: {
          allowedCidrs: ['10.0.0.0/8'],
          tls: { secretArn: 'arn:aws:secretsmanager:eu-central-1:111111111111:secret:millrace/tls' },
        },
      },
    ],
    [
      'ClientRange',
      'clients.allowedCidrs',
      { clients: { allowedCidrs: ['0.0.0.0/0'], acceptPlaintext: true } },
    ],
    [
      'ClientRange',
      'clients.allowedCidrs',
      { clients: { allowedCidrs: ['10.60.0.1/16'], acceptPlaintext: true } },
    ],
    [
      'ClientRanges',
      'clients.allowedCidrs',
      {
        clients: {
          allowedCidrs: Array.from({ length: 51 }, (_, n) => `10.0.${n}.0/24`),
          acceptPlaintext: true,
        },
      },
    ],
    ['NoClients', 'clients.allowedCidrs', { clients: { allowedCidrs: [], acceptPlaintext: true } }],
    ['ScalingMax', 'scaling.maxPerZone', { scaling: { maxPerZone: 3 } }],
    ['ScalingOrder', 'scaling.minPerZone', { scaling: { minPerZone: 2, maxPerZone: 1 } }],
    [
      'ScheduledCron',
      'scaling.schedule.x',
      { scaling: { schedule: [{ name: 'x', cron: 'daily', perZone: 2 }] } },
    ],
    [
      'ScheduledCron',
      'scaling.schedule.x',
      { scaling: { schedule: [{ name: 'x', cron: '0 noon * * *', perZone: 2 }] } },
    ],
    [
      'ScheduledName',
      'scaling.schedule[0].name',
      { scaling: { schedule: [{ name: 'a b/c', cron: '0 6 * * *', perZone: 2 }] } },
    ],
    [
      'ScheduledTwice',
      'scaling.schedule.x',
      {
        scaling: {
          schedule: [
            { name: 'x', cron: '0 6 * * MON-FRI', perZone: 2 },
            { name: 'x', cron: '*/5 20 * * 1,3', perZone: 2 },
          ],
        },
      },
    ],
    [
      'AlarmTopic',
      'recovery.alarmTopicArn',
      {
        recovery: { region: 'eu-west-1', alarmTopicArn: 'arn:aws:sns:eu-central-1:111111111111:operators' },
      },
    ],
    ['TagReserved', 'tags', { tags: { 'aws:x': 'y' } }],
    ['PermissionsBoundary', 'permissionsBoundaryArn', { permissionsBoundaryArn: 'Boundary' }],
  ])('%s: is told at %s', (code, path, wrong) => {
    expect(problemsOf({ ...good, ...wrong })).toContainEqual(expect.objectContaining({ code, path }));
  });

  // Nobody's compiler looks at an environment before Node runs it.
  test.each<[code: string, path: string, got: string, allowed: RegExp, wrong: object]>([
    ['UnknownField', 'slotPerZone', '3', /slotsPerZone, instances/, { slotPerZone: 3 }],
    ['UnknownField', 'wal.iop', '5000', /^kind, sizeGiB, iops$/, { wal: { iop: 5_000 } }],
    [
      'UnknownField',
      'network.cidr',
      '"10.0.0.0/16"',
      /^vpcId, vpcCidr, subnetIds$/,
      {
        network: {
          vpcId: 'vpc-0123456789abcdef0',
          vpcCidr: '10.0.0.0/16',
          subnetIds: {},
          cidr: '10.0.0.0/16',
        },
      },
    ],
    ['MissingField', 'zones', 'missing', /^a list of texts$/, { zones: undefined }],
    ['MissingField', 'clients', 'missing', /^an object with allowedCidrs/, { clients: undefined }],
    [
      'MissingField',
      'network.subnetIds',
      'missing',
      /^an object of texts/,
      {
        network: { vpcId: 'vpc-0123456789abcdef0', vpcCidr: '10.0.0.0/16' },
      },
    ],
    [
      'MissingField',
      'scaling.schedule[0].perZone',
      'missing',
      /^a number$/,
      {
        scaling: { schedule: [{ name: 'x', cron: '0 6 * * *' }] },
      },
    ],
    ['WrongForm', 'tier', '"production"', /^"dev" or "prod"$/, { tier: 'production' }],
    ['WrongForm', 'wal.kind', '"gp3"', /^"block-shared" or "object"$/, { wal: { kind: 'gp3' } }],
    ['WrongForm', 'data.removal', '"Destroy"', /^"retain" or "destroy"$/, { data: { removal: 'Destroy' } }],
    [
      'WrongForm',
      'recovery.storageClass',
      '"GLACIER"',
      /GLACIER_IR/,
      {
        recovery: { region: 'eu-west-1', storageClass: 'GLACIER' },
      },
    ],
    ['WrongForm', 'account', '111111111111', /^a text$/, { account: 111111111111 }],
    ['WrongForm', 'zones', '"eu-central-1a"', /^a list of texts$/, { zones: 'eu-central-1a' }],
    ['WrongForm', 'slotsPerZone', '"2"', /^a number$/, { slotsPerZone: '2' }],
    ['WrongForm', 'instances', '["m7g.large"]', /^an object with/, { instances: ['m7g.large'] }],
    [
      'WrongForm',
      'clients.acceptPlaintext',
      '"true"',
      /^true or false$/,
      {
        clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: 'true' },
      },
    ],
    ['WrongForm', 'scaling.schedule', '{}', /^a list of objects/, { scaling: { schedule: {} } }],
    [
      'WrongForm',
      'brokerSettings',
      '{"num.partitions":6}',
      /numbers as in '6'/,
      {
        brokerSettings: { 'num.partitions': 6 },
      },
    ],
  ])('%s: %s that is %s is told, and no check falls over it', (code, path, got, allowed, wrong) => {
    expect(problemsOf({ ...good, ...wrong })).toEqual([
      expect.objectContaining({ code, path, got, allowed: expect.stringMatching(allowed) }),
    ]);
  });

  test.each<[code: string, wrong: Partial<Environment>]>([
    ['ProdDestroy', { data: { removal: 'destroy', confirmDestroy: 'try' } }],
    ['ProdPlaintext', { clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: true } }],
    ['ProdPeerPlaintext', { peerTls: undefined }],
    ['ProdRecovery', { recovery: undefined }],
    ['ProdAlarms', { alarms: undefined }],
    ['ProdRecoveryAlarms', { recovery: { region: 'eu-west-1' } }],
    ['ProdSlots', { slotsPerZone: 1 }],
    ['ProdScalingMin', { scaling: { minPerZone: 1 } }],
    ['ProdBurstable', { instances: { types: ['t4g.medium', 'm7g.large'] } }],
    ['ProdSpotPool', { instances: { types: ['m7g.large'] } }],
  ] as [string, Partial<Environment>][])('%s: production refuses what is weak', (code, wrong) => {
    expect(problemsOf(goodProd)).toEqual([]);
    // JSON leaves out what is undefined: the field is missing then, as in a user's file.
    const weak = JSON.parse(JSON.stringify({ ...goodProd, ...wrong })) as Environment;
    expect(problemsOf(weak).map((problem) => problem.code)).toEqual([code]);
  });

  test('with several problems is told them all at once, each with what, got, allowed and a fix', () => {
    const wrong = { ...good, account: 'x', wal: { sizeGiB: 10, iops: 30_000 } };
    expect(() => resolveEnvironment(wrong)).toThrow(InvalidEnvironmentError);
    expect(() => resolveEnvironment(wrong)).toThrow(
      /Account: account is "x", allowed twelve digits; .*\n.*WalIopsRatio: wal.iops is 30000, allowed up to 10000 for 10 GiB; raise sizeGiB to 30/,
    );
  });

  test('keeps the node id of a slot when slots or zones are added', () => {
    const two = slotsOf({ zones: ['a', 'b', 'c'], slotsPerZone: 2 });
    const three = slotsOf({ zones: ['a', 'b', 'c', 'd'], slotsPerZone: 3 });
    expect(three).toEqual(expect.arrayContaining(two));
    expect(two.map(({ nodeId }) => nodeId)).toEqual([1, 2, 101, 102, 201, 202]);
  });
});

test.each([
  ['m7g.medium', 1],
  ['t4g.medium', 2],
  ['t3.medium', 2],
  ['m7g.large', 2],
  ['r8g.4xlarge', 16],
  ['m5.metal', 0],
])('%s has %i vCPUs, which is what quotas count', (type, vcpus) => {
  expect(vcpusOf(type)).toBe(vcpus);
});

test.each(Object.entries(LIMITS))(
  'the limit %s stands in the documentation as it is checked',
  (name, limit) => {
    const { min, max, unit, source } = limit;
    const row = [`\`${name}\``, min, `${max} ${unit}`.trim(), source].join(' | ');
    expect(readFileSync('docs/kit.md', 'utf8')).toContain(`| ${row} |`);
  },
);
