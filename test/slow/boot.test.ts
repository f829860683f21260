import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { ChildBrokers } from '../../broker-runtime/src/adapters/child-brokers.ts';
import { FileObjectStore } from '../../broker-runtime/src/adapters/file-object-store.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { Agent } from '../../broker-runtime/src/agent/agent.ts';
import type { InstanceConfig } from '../../broker-runtime/src/agent/instance-config.ts';
import type { BrokerConfig } from '../../broker-runtime/src/main/broker-config.ts';
import type { BrokerProcess } from '../../broker-runtime/src/ports/broker-process.ts';
import { AwsAccount, type ModelInstance } from '../aws-model/aws-account.ts';
import { SentRecords } from '../harness/sent-records.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { until } from '../harness/until.ts';

/**
 * The whole life of a cluster's instances: the agent and the bundled broker as on an instance, brokers as real processes, each on an
 * address of its own; around them the model of an account, files for volumes, a folder for the bucket.
 */
const ROOT = path.resolve(__dirname, '..', '..');
const BUNDLE = path.join(ROOT, 'broker-runtime', 'dist', 'millrace-broker.mjs');
const ZONES = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'] as const;
const PORT = 29_392;
const MIB = 1024 * 1024;
/** Of issue and README: process start to serving, without the instance's own boot. */
const SERVING_WITHIN_MS = 5_000;

const CONFIG: InstanceConfig = {
  cluster: 'life',
  region: 'eu-central-1',
  bucket: 'a-folder',
  walKind: 'block-shared',
  slots: [
    { nodeId: 1, zone: ZONES[0] },
    { nodeId: 2, zone: ZONES[0] },
    { nodeId: 101, zone: ZONES[1] },
    { nodeId: 201, zone: ZONES[2] },
  ],
  groups: Object.fromEntries(ZONES.map((zone) => [zone, `group-${zone}`])),
  launchHook: 'millrace-launch',
  terminateHook: 'millrace-terminate',
  dns: { hostedZoneId: 'Z1', domain: 'life.internal' },
  port: PORT,
  internalPort: PORT + 1,
  settings: { 'num.partitions': '6' },
};

const dir = new TempDir();
const env = systemEnv({ minLevel: 'error' });
const account = new AwsAccount(env.clock);
const machines: Machine[] = [];

/** One instance with its agent and its broker. */
class Machine {
  readonly instance: ModelInstance;
  readonly agent: Agent;
  readonly ended: Promise<unknown>;
  readonly bootedMs = performance.now();
  servingAfterMs: number | undefined;
  nodeId = 0;
  #broker: BrokerProcess | undefined;
  #isLost = false;

  constructor(zone: string, objects: FileObjectStore) {
    const instance = account.launch(zone, `group-${zone}`);
    this.instance = instance;
    const brokers = new ChildBrokers({
      program: BUNDLE,
      folder: dir.path,
      configOf: (launch): BrokerConfig => ({
        nodeId: launch.nodeId,
        host: launch.host,
        port: launch.port,
        internalPort: launch.internalPort,
        rack: launch.zone,
        dataDir: dir.join(instance.instanceId),
        store: { kind: 'files', directory: dir.join('bucket') },
        walPaths: [],
        walFileBytes: 64 * MIB,
        sharedVolumes: launch.devices,
        memoryBytes: 128 * MIB,
        settings: launch.settings,
      }),
    });
    const answered = <T>(act: () => T): Promise<T> => Promise.resolve().then(act);
    this.agent = new Agent(
      {
        env,
        objects,
        metadata: {
          identity: () => answered(() => instance),
          notice: () => answered(() => instance.notice),
        },
        volumes: {
          list: (cluster, zoneName) =>
            answered(() =>
              account.describeVolumes({ cluster }, 'node-id', zoneName).map((volume) => ({
                volumeId: volume.volumeId,
                nodeId: Number(volume.tags['node-id']),
                attachments: volume.attachments.map((one) => ({
                  ...one,
                  state: account.attachmentState(one),
                })),
              })),
            ),
          attach: (...asked) => answered(() => account.attachVolume(...asked)),
          isRunning: (id) => answered(() => account.describeInstance(id).state !== 'terminated'),
        },
        devices: {
          find: (volumeId) =>
            answered(() =>
              account.hasDevice(volumeId, instance.instanceId) ? dir.join('volumes', volumeId) : undefined,
            ),
        },
        names: {
          put: (name, address) => answered(() => account.changeRecord('UPSERT', name, address)),
          remove: (name, address) => answered(() => account.changeRecord('DELETE', name, address)),
        },
        metrics: {
          put: (values) =>
            answered(() => {
              for (const [name, value] of Object.entries(values)) account.putMetric('Millrace', name, value);
            }),
        },
        secrets: { read: (id) => answered(() => account.getSecretValue(id)) },
        lifecycle: {
          complete: (...asked) =>
            answered(() => {
              this.servingAfterMs ??= performance.now() - this.bootedMs;
              account.completeLifecycleAction(...asked);
            }),
          reportUnhealthy: (id) => answered(() => account.setInstanceHealth(id, 'Unhealthy')),
        },
        brokers: {
          checkRenewal: (credentials) => brokers.checkRenewal(credentials),
          start: (launch) => {
            const never = new Promise<never>(() => undefined);
            if (this.#isLost)
              return {
                ready: never,
                ended: never,
                load: undefined,
                renew: () => undefined,
                stop: () => undefined,
                kill: () => undefined,
              };
            this.nodeId = launch.nodeId;
            this.#broker = brokers.start(launch);
            return this.#broker;
          },
        },
      },
      CONFIG,
    );
    this.ended = this.agent.run();
    this.ended.catch(() => undefined);
    machines.push(this);
  }

  /** Power is gone: nothing of it says goodbye. */
  async lose(): Promise<void> {
    this.#isLost = true;
    this.#broker?.kill();
    await this.#broker?.ended;
    account.lose(this.instance.instanceId);
  }
}

function kafka(): Kafka {
  const brokers = machines
    .filter(({ instance }) => instance.state === 'running')
    .map(({ instance }) => `${instance.privateIp}:${PORT}`);
  return new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 20 } });
}

const records = new SentRecords({ topic: 'life', kafka });

describe('the life of a cluster on instances', () => {
  let objects: FileObjectStore;

  beforeAll(async () => {
    execFileSync(process.execPath, [path.join(ROOT, 'broker-runtime', 'build.mjs')]);
    account.addressPrefix = '127.61.0.';
    account.attachMs = 300;
    account.deviceMs = 100;
    for (const { nodeId, zone } of CONFIG.slots) {
      account.addVolume(`vol-${nodeId}`, zone, { cluster: CONFIG.cluster, 'node-id': String(nodeId) });
    }
    objects = await FileObjectStore.open(env, dir.join('bucket'));
  }, 60_000);

  afterAll(async () => {
    for (const machine of machines) machine.agent.stop();
    await Promise.allSettled(
      machines.filter(({ instance }) => instance.state === 'running').map((one) => one.ended),
    );
    await objects.close();
    dir.remove();
  }, 120_000);

  test('every instance boots, claims a slot of its zone and serves', async () => {
    for (const zone of [ZONES[0], ZONES[0], ZONES[1], ZONES[2]]) new Machine(zone, objects);
    await until('all serve', () => machines.every(({ servingAfterMs }) => servingAfterMs !== undefined), {
      limitMs: 60_000,
    });
    expect(machines.map(({ nodeId }) => nodeId).sort((a, b) => a - b)).toEqual([1, 2, 101, 201]);
    expect([...account.records.keys()].sort()).toEqual([
      'b1.life.internal',
      'b101.life.internal',
      'b2.life.internal',
      'b201.life.internal',
    ]);
    await records.produce(50);
    expect(await records.consumeAll()).toEqual(records.sent);
  });

  test('an instance is lost without a word: its neighbour takes over, and the replacement gets its slot', async () => {
    const [lost] = machines;
    if (lost === undefined) throw new Error('no instance');
    await lost.lose();
    await records.produce(30);
    const next = new Machine(ZONES[0], objects);
    await until('the replacement serves', () => next.servingAfterMs !== undefined);
    expect(next.nodeId).toBe(lost.nodeId);
    // One instance alone on the machine, so nothing but its own start is in this.
    expect(next.servingAfterMs).toBeLessThan(SERVING_WITHIN_MS);
    expect(account.records.get(`b${next.nodeId}.life.internal`)).toBe(next.instance.privateIp);
    await records.produce(20);
    expect(await records.consumeAll()).toEqual(records.sent);
  });

  test('an instance that is taken back drains, leaves and gives its slot to the next', async () => {
    const leaving = machines.find(({ instance }) => instance.zone === ZONES[1]);
    if (leaving === undefined) throw new Error('no instance');
    account.terminate(leaving.instance.instanceId);
    await until('it has left', () => leaving.instance.state === 'terminated');
    expect(await leaving.ended).toBeUndefined();
    await records.produce(20);
    const next = new Machine(ZONES[1], objects);
    await until('the replacement serves', () => next.servingAfterMs !== undefined);
    expect(next.nodeId).toBe(101);
    expect(await records.consumeAll()).toEqual(records.sent);
  });
});
