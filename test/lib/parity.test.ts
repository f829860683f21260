import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { twinOptionsOf } from '../../bin/environment-commands.ts';
import { environments } from '../../environments/index.ts';
import { estimateCost } from '../../lib/cost/estimate.ts';
import { HOURS } from '../../lib/cost/load.ts';
import { PRICES } from '../../lib/cost/prices.ts';
import type { InstanceConfig } from '../../lib/instance-contract.ts';
import { Millrace } from '../../lib/millrace.ts';
import { planCluster } from '../../twin/layout.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { instanceConfigOf } from '../harness/user-data.ts';

/** The twin that `millrace up --env NAME` starts and the template that `cdk deploy -c env=NAME` sends are one cluster. */
const dir = new TempDir();
const bundleFile = dir.join('bundle.mjs');
beforeAll(() => writeFileSync(bundleFile, ''));
afterAll(() => dir.remove());

function kitOf(name: string): Millrace {
  const environment = environments[name];
  if (environment === undefined) throw new Error(`no example ${name}`);
  return new Millrace(new App({ outdir: dir.join(name) }), name, { environment, bundleFile });
}

describe.each(Object.keys(environments))('the twin and the template of %s', (name) => {
  const options = twinOptionsOf(name);
  const brokers = planCluster({
    ...options,
    settings: options.set,
    dataDir: '/data',
    host: '127.0.0.1',
    store: { kind: 'files', directory: '/data/objects' },
    walFileBytes: 1,
    acceptWalLoss: false,
    memoryBytes: 1,
  });
  let kit: Millrace;
  let config: InstanceConfig;
  beforeAll(() => {
    kit = kitOf(name);
    config = instanceConfigOf(Template.fromStack(kit.cluster).toJSON());
  }, 60_000);

  test('have as many zones, and as many slots in each', () => {
    const perZone = (zones: readonly string[]): number[] =>
      [...new Set(zones)].map((zone) => zones.filter((other) => other === zone).length);
    expect(perZone(brokers.map(({ zone }) => zone))).toEqual(perZone(config.slots.map(({ zone }) => zone)));
  });

  test('let a broker reach the logs of its own zone alone', () => {
    for (const { zone, config: planned } of brokers) {
      const neighbours = brokers.filter((other) => other.zone === zone).map(({ nodeId }) => String(nodeId));
      expect(Object.keys(planned.sharedVolumes ?? {})).toEqual(neighbours);
    }
  });

  test('keep the log in the same kind of place, serve the same port, and have the same settings', () => {
    expect(options.walKind).toBe(config.walKind === 'object' ? 'object' : 'block');
    expect(options.port).toBe(config.port);
    expect(options.set).toEqual(config.settings);
  });

  test('cost what is in them: as many alarms, gateways, addresses and endpoints', () => {
    const stacks = [kit.recovery, kit.storage, kit.network, kit.cluster, kit.observability];
    const resources = stacks.flatMap((stack) =>
      stack === undefined
        ? []
        : Object.values(
            (Template.fromStack(stack).toJSON() as { Resources: Record<string, Made> }).Resources,
          ),
    );
    const made = (type: string, kind?: string): number =>
      resources.filter(
        ({ Type, Properties }) =>
          Type === type && (kind === undefined || Properties?.VpcEndpointType === kind),
      ).length;
    const load = { writeMiBPerSecond: 1, fanout: 1, retentionDays: 1 };
    const { lines } = estimateCost(kit.environment, load);
    const priced = (item: string, usd: number): number =>
      Math.round((lines.find((line) => line.item === item)?.monthlyUsd ?? 0) / usd);
    const hourly = (usd: number): number => usd * HOURS;
    expect({
      alarms: priced('alarms', PRICES.alarm.usd),
      gateways: priced('NAT gateways', hourly(PRICES.natGateway.usd)),
      addresses: priced('NAT gateways, addresses', hourly(PRICES.publicAddress.usd)),
      endpoints: priced('endpoints (EC2, Auto Scaling)', hourly(PRICES.interfaceEndpoint.usd)),
    }).toEqual({
      alarms: made('AWS::CloudWatch::Alarm'),
      gateways: made('AWS::EC2::NatGateway'),
      addresses: made('AWS::EC2::EIP'),
      // One in each zone, which is what is paid.
      endpoints: made('AWS::EC2::VPCEndpoint', 'Interface') * kit.environment.zones.length,
    });
  });
});

interface Made {
  readonly Type: string;
  readonly Properties?: { readonly VpcEndpointType?: string };
}
