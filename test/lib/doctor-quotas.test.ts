import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { quotas } from '../../bin/doctor-quotas.ts';
import { environments } from '../../environments/index.ts';
import type { Environment } from '../../lib/environment/environment.ts';
import { resolveEnvironment } from '../../lib/environment/resolve.ts';

/**
 * Service Quotas as its API says: two lists in pages, and the applied one leaves out quotas that nobody has raised.
 * The names are those of the consoles of EC2 and EBS; moto knows quotas of VPC alone.
 */
const IO2_IOPS = 'IOPS for Provisioned IOPS SSD (io2) volumes';
const IO2_TIB = 'Storage for Provisioned IOPS SSD (io2) volumes, in TiB';
const SPOT = 'All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests';
const ON_DEMAND = 'Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances';
const ADDRESSES = 'EC2-VPC Elastic IPs';
const VPCS = 'VPCs per Region';
const DEFAULTS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ebs: {
    'IOPS for Provisioned IOPS SSD (io1) volumes': 1,
    'IOPS modifications for Provisioned IOPS SSD (io2) volumes': 2,
    [IO2_IOPS]: 100_000,
    'Storage modifications for Provisioned IOPS SSD (io2) volumes, in TiB': 3,
    [IO2_TIB]: 20,
  },
  ec2: { 'All G and VT Spot Instance Requests': 0, [SPOT]: 5, [ON_DEMAND]: 5, [ADDRESSES]: 5 },
  vpc: { 'VPC security groups per Region': 2500, [VPCS]: 5 },
};
const PAGE = 2;
const PATIENCE_MS = 20_000;

let server: Server;
let applied: Record<string, Record<string, number>> = {};
let refused: string | undefined;

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      const operation = String(request.headers['x-amz-target']).replace('ServiceQuotasV20190624.', '');
      const { ServiceCode, NextToken = '0' } = JSON.parse(body) as {
        ServiceCode: string;
        NextToken?: string;
      };
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      if (operation === refused) {
        response.writeHead(400).end(JSON.stringify({ __type: 'AccessDeniedException', Message: 'no' }));
        return;
      }
      const values = operation === 'ListServiceQuotas' ? applied[ServiceCode] : DEFAULTS[ServiceCode];
      const all = Object.entries(values ?? {}).map(([QuotaName, Value]) => ({ QuotaName, Value }));
      const end = Number(NextToken) + PAGE;
      const page = { Quotas: all.slice(Number(NextToken), end) };
      response.end(JSON.stringify(end < all.length ? { ...page, NextToken: String(end) } : page));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  process.env['AWS_ENDPOINT_URL_SERVICE_QUOTAS'] = `http://127.0.0.1:${port}`;
  process.env['AWS_ACCESS_KEY_ID'] = process.env['AWS_SECRET_ACCESS_KEY'] = 'model';
}, PATIENCE_MS);
beforeEach(() => {
  applied = { ebs: { [IO2_IOPS]: 100_000, [IO2_TIB]: 20 }, ec2: { [SPOT]: 64, [ON_DEMAND]: 64 } };
  refused = undefined;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const asked = (name: string, change: Partial<Environment> = {}) => {
  const example = environments[name];
  if (example === undefined) throw new Error(`no example ${name}`);
  return quotas(resolveEnvironment({ ...example, ...change }));
};

test('an account that has enough is told what it has and what is needed, of io2 and of both kinds of instances', async () => {
  expect(await asked('prod')).toEqual([
    ['ok', `${IO2_IOPS}: 100000 IOPS, needed 6000 beside what runs already`],
    ['ok', `${IO2_TIB}: 20 TiB, needed 0.09 beside what runs already`],
    ['ok', `${SPOT}: 64 vCPUs, needed 6 beside what runs already`],
    ['ok', `${ON_DEMAND}: 64 vCPUs, needed 6 beside what runs already`],
    ['ok', `${VPCS}: 5 VPCs, needed 1 beside what runs already`],
    ['ok', `${ADDRESSES}: 5 addresses, needed 3 beside what runs already`],
  ]);
});

test('spot instances do not count as on demand', async () => {
  applied = { ec2: { [SPOT]: 64, [ON_DEMAND]: 0 } };
  const found = await asked('dev');
  expect(found.map(([level]) => level)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
  expect(found.map(([, says]) => says).join()).not.toContain('On-Demand');
});

test('half of an odd number above the base is rounded to what is never too little on demand', async () => {
  const instances = { types: ['m7g.large', 'm8g.large'], onDemandBasePerZone: 0, spotPercent: 50 };
  const scaling = { minPerZone: 2, maxPerZone: 3 };
  const found = await asked('prod', { slotsPerZone: 3, instances, scaling });
  // Three zones, two vCPUs: one spot and two on demand in each.
  expect(found[2]?.[1]).toContain('needed 6 ');
  expect(found[3]?.[1]).toContain('needed 12 ');
});

test('a quota that nobody has raised counts at its default', async () => {
  applied = {};
  expect((await asked('prod')).map(([level]) => level)).toEqual([
    'ok',
    'ok',
    'problem',
    'problem',
    'ok',
    'ok',
  ]);
});

test('an applied value counts before the default, and too little is a problem with its fix', async () => {
  applied = { ...applied, ebs: { [IO2_IOPS]: 5_999 } };
  const [iops, storage] = await asked('prod');
  expect(iops).toEqual([
    'problem',
    `${IO2_IOPS}: 5999 IOPS, needed 6000 beside what runs already: ask for more in Service Quotas`,
  ]);
  expect(storage?.[0]).toBe('ok');
});

test('an account without addresses for the NAT gateways is told so before half a network is made', async () => {
  applied = { ...applied, ec2: { [SPOT]: 64, [ON_DEMAND]: 64, [ADDRESSES]: 2 } };
  expect((await asked('prod')).at(-1)).toEqual([
    'problem',
    `${ADDRESSES}: 2 addresses, needed 3 beside what runs already: ask for more in Service Quotas`,
  ]);
});

test('without volumes nothing is asked about io2, and in a VPC that exists nothing about VPCs', async () => {
  expect((await asked('stage')).map(([, says]) => says.split(':')[0])).toEqual([SPOT]);
});

test.each(['ListServiceQuotas', 'ListAWSDefaultServiceQuotas'])(
  'a refusal of %s is thrown, which the doctor tells as "could not be asked"',
  async (operation) => {
    refused = operation;
    await expect(asked('prod')).rejects.toThrow(expect.objectContaining({ name: 'AccessDeniedException' }));
  },
);
