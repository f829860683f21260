import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { runBroker } from '../../broker-runtime/src/main.ts';
import { checkDataFolder, planCluster } from '../../twin/layout.ts';
import { slowestFailover } from '../../twin/twin-faults.ts';
import { run } from '../harness/command.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { TwinProcess } from '../harness/twin-process.ts';

const COMMAND = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
const SMALL = ['--wal-size', '48MiB', '--memory', '128MiB'];
const MIB = 1024 * 1024;
const START_MS = 120_000;

const millrace = (...args: string[]) => run(process.execPath, [COMMAND, ...args]);

const plan = (dataDir: string, brokersPerZone: number) =>
  planCluster({
    zones: 3,
    brokersPerZone,
    dataDir,
    host: '127.0.0.1',
    port: 9092,
    store: { kind: 'files', directory: path.join(dataDir, 'objects') },
    walFileBytes: 16 * MIB,
    memoryBytes: 128 * MIB,
    walKind: 'block',
    acceptWalLoss: false,
    settings: {},
  });

describe('the plan of a cluster', () => {
  test('puts neighbours into the same zone, where each reaches the volumes of both', () => {
    const brokers = plan('/data', 2);
    expect(brokers.map(({ nodeId, zone, config }) => [nodeId, zone, config.port])).toEqual([
      [1, 'zone-a', 9092],
      [2, 'zone-b', 9093],
      [3, 'zone-c', 9094],
      [4, 'zone-a', 9095],
      [5, 'zone-b', 9096],
      [6, 'zone-c', 9097],
    ]);
    expect(brokers[3]?.config.sharedVolumes).toEqual({
      1: '/data/zone-a/node-1/wal',
      4: '/data/zone-a/node-4/wal',
    });
  });
});

describe('a cluster of three zones on this machine', () => {
  let dir: TempDir;
  let twin: TwinProcess | undefined;

  beforeEach(() => {
    dir = new TempDir();
  });
  afterEach(async () => {
    await twin?.stop();
    twin = undefined;
    dir.remove();
  });

  test(
    'serves through every broker, restarts one that dies, refuses a second start, and stops cleanly',
    async () => {
      twin = await TwinProcess.start(dir.join('data'), SMALL);
      const brokers = twin.bootstrapServers.split(',');
      expect(brokers).toHaveLength(3);
      const kafka = (broker: number) =>
        new Kafka({ brokers: [brokers[broker] ?? ''], logLevel: logLevel.NOTHING });
      const admin = kafka(0).admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: 'spread', numPartitions: 3 }] });
      const { topics } = await admin.fetchTopicMetadata({ topics: ['spread'] });
      expect(new Set(topics[0]?.partitions.map(({ leader }) => leader))).toEqual(new Set([1, 2, 3]));

      const producer = kafka(1).producer();
      await producer.connect();
      await producer.send({
        topic: 'spread',
        messages: [0, 1, 2].map((partition) => ({ partition, value: `of ${partition}` })),
      });
      await producer.disconnect();

      // Nobody wanted this death: the supervisor starts it again, and it replays its own log.
      const file = dir.join('data', 'twin.json');
      expect(statSync(file).mode & 0o077).toBe(0);
      const { brokers: listed } = JSON.parse(readFileSync(file, 'utf8')) as {
        brokers: { nodeId: number; pid: number; folder: string }[];
      };
      process.kill(listed[2]?.pid ?? 0, 'SIGKILL');
      while (twin.named('broker.serving').length < 4) await new Promise((resolve) => setTimeout(resolve, 50));
      const offsets = await admin.fetchTopicOffsets('spread');
      expect(offsets.map(({ high }) => high)).toEqual(['1', '1', '1']);
      expect(twin.named('controller.node-fenced')).toEqual([]);
      await admin.disconnect();

      const again = await millrace('up', '--port', '0', '--data', dir.join('data'), ...SMALL);
      expect(again.status).toBe(1);
      expect(again.stderr).toMatch(/^millrace: the folder .* is held by another process: .*\n$/);
      // A second process of one node, started by hand, is refused before it registers.
      const [first] = plan(dir.join('data'), 1);
      if (first === undefined) throw new Error('no plan');
      await expect(runBroker({ ...first.config, port: 0 }, { write: () => undefined })).rejects.toMatchObject(
        {
          code: 'FOLDER_LOCKED',
        },
      );

      expect(await twin.stop()).toBe(0);
      expect(existsSync(file)).toBe(false);
      expect(() => checkDataFolder(dir.join('data'), plan(dir.join('data'), 1))).not.toThrow();
      expect(() => checkDataFolder(dir.join('data'), [])).toThrow(/zone-a\/node-1.*--brokers-per-zone/);
    },
    START_MS,
  );

  test(
    'a mistake ends all of them with one clear line',
    async () => {
      const args = ['up', '--port', '0', '--data', dir.join('data'), ...SMALL, '--set', 'num.partitons=4'];
      const { status, stderr } = await millrace(...args);
      expect(status).toBe(1);
      expect(stderr).toMatch(/^millrace: .*num\.partitons.*\n$/);
    },
    START_MS,
  );

  test('devices for one broker are refused for several', async () => {
    const { status, stderr } = await millrace('up', '--data', dir.join('data'), '--wal', '/dev/null');
    expect(status).toBe(1);
    expect(stderr).toBe(
      'millrace: --wal names the devices of one broker, and several were asked for: add --zones 1, or leave it out\n',
    );
  });

  test(
    'a drill without a cluster, and one that does not exist, say so',
    async () => {
      const nowhere = await millrace('drill', 'kill-broker', '--data', dir.join('data'));
      expect(nowhere.status).toBe(1);
      expect(nowhere.stderr).toMatch(/^millrace: no cluster runs on .*millrace up.*\n$/);
      const unknown = await millrace('drill', 'nonsense', '--data', dir.join('data'));
      expect(unknown.stderr).toMatch(/no drill "nonsense", allowed: kill-broker, /);
      const list = await millrace('drill', 'list');
      expect(list.stdout).toContain('kill-broker');
    },
    START_MS,
  );
});

test('the times of a failover come from the events of those who took part', () => {
  const base = { level: 'info', time: '2026-01-01T00:00:00Z' };
  const events = [
    { ...base, broker: 2, event: 'controller.node-fenced', nodeId: 1, nodeEpoch: 3, silentMs: 6_001 },
    {
      ...base,
      broker: 4,
      event: 'takeover.finished',
      nodeId: 1,
      nodeEpoch: 3,
      fenceMs: 2,
      replayMs: 3,
      commitMs: 4,
    },
    // The victim's own life after it, and a partition that nobody asked for until much later, say nothing.
    { ...base, broker: 3, event: 'partition.opened', time: '2026-01-01T00:00:00.250Z', openMs: 7 },
    { ...base, broker: 5, event: 'partition.opened', time: '2026-01-01T00:00:00.400Z', openMs: 9 },
    { ...base, broker: 1, event: 'partition.opened', time: '2026-01-01T00:00:05Z', openMs: 3 },
    { ...base, broker: 3, event: 'partition.opened', time: '2026-01-01T00:01:00Z', openMs: 3 },
  ];
  expect(slowestFailover(events)).toEqual({
    detectMs: 6_001,
    fenceMs: 2,
    replayMs: 3,
    commitMs: 4,
    reopenMs: 400,
  });
  expect(slowestFailover([])).toBeUndefined();
});
