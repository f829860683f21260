import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { twinOptionsOf } from '../../bin/environment-commands.ts';
import { environments } from '../../environments/index.ts';
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

function templateConfig(name: string): InstanceConfig {
  const environment = environments[name];
  if (environment === undefined) throw new Error(`no example ${name}`);
  const app = new App({ outdir: dir.join(name) });
  const { cluster } = new Millrace(app, name, { environment, bundleFile });
  return instanceConfigOf(Template.fromStack(cluster).toJSON());
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
  let config: InstanceConfig;
  beforeAll(() => {
    config = templateConfig(name);
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
});
