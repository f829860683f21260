import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import type { PromotionOutcome } from '../../broker-runtime/src/main/run-promotion.ts';
import { type Finished, run } from '../harness/command.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { TempDir } from '../harness/temp-dir.ts';

const CLI = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
const TOPIC = 'orders';
const GROUP = 'billing';
const PARTITIONS = 3;
const RECORDS_PER_LIFE = 3_000;
const SMALL = ['--wal-size', '64MiB', '--memory', '128MiB'];
const READ_DEADLINE_MS = 60_000;

/** The region is lost: what arrived of its bucket is promoted, by the commands a person would use. */
describe('a copy of the bucket', () => {
  let dir: TempDir;
  let second: MillraceProcess | undefined;
  /** Data objects of the last life: not arrived yet. */
  let late: readonly string[] = [];
  let plan: PromotionOutcome;

  beforeAll(async () => {
    dir = new TempDir();
    const first = await MillraceProcess.start({
      dataDir: dir.join('first'),
      args: [...SMALL, '--store', dir.join('first-bucket')],
    });
    try {
      const kafka = clientOf(first);
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({
        topics: [{ topic: TOPIC, numPartitions: PARTITIONS }],
        waitForLeaders: true,
      });
      await admin.disconnect();
      await write(kafka, 0, 2 * RECORDS_PER_LIFE);
      await first.stop();
      const lastLifeMs = Date.now();
      await first.restart();
      await write(clientOf(first), 2 * RECORDS_PER_LIFE, RECORDS_PER_LIFE);
      await first.stop();
      const bucket = dir.join('first-bucket');
      const data = filesUnder(path.join(bucket, 'objects', 'data'));
      late = data.filter((file) => statSync(file).mtimeMs >= lastLifeMs);
      expect(late.length).toBeGreaterThan(0);
      cpSync(bucket, dir.join('copy'), { recursive: true });
      for (const file of late) rmSync(copyOf(file));
    } finally {
      await first.kill();
    }
  }, 120_000);
  afterAll(async () => {
    await second?.kill();
    dir.remove();
  });

  const copyOf = (file: string): string =>
    path.join(dir.join('copy'), path.relative(dir.join('first-bucket'), file));
  const millrace = (...args: readonly string[]): Promise<Finished> =>
    run(process.execPath, [CLI, ...args], { deadlineMs: 60_000 });
  const start = (generation: number): Promise<MillraceProcess> =>
    MillraceProcess.start({
      dataDir: dir.join('second'),
      args: [...SMALL, '--store', dir.join('copy'), '--generation', String(generation)],
    });

  test('a plan says what is kept, and changes nothing', async () => {
    const before = filesUnder(dir.join('copy'));
    const { status, stdout } = await millrace('promote', '--store', dir.join('copy'), '--plan', '--json');
    expect(status).toBe(0);
    plan = JSON.parse(stdout) as PromotionOutcome;
    expect(plan).toMatchObject({ generation: 1, cutShortBy: null });
    expect(plan.missingObjects).toBeGreaterThan(0);
    const kept = plan.partitions.filter(({ topic }) => topic === TOPIC);
    expect(kept).toHaveLength(PARTITIONS);
    expect(kept.reduce((sum, { endOffset }) => sum + endOffset, 0)).toBe(2 * RECORDS_PER_LIFE);
    expect(filesUnder(dir.join('copy'))).toEqual(before);
  });

  test('a broker does not start in a generation that is not there', async () => {
    await expect(start(1)).rejects.toThrow(/has no generation 1/);
  });

  test('is promoted once', async () => {
    const promoted = await millrace('promote', '--store', dir.join('copy'));
    expect(promoted).toMatchObject({ status: 0, stderr: '' });
    expect(promoted.stdout).toMatch(/generation 1/);
    const again = await millrace('promote', '--store', dir.join('copy'));
    expect(again.status).toBe(1);
    expect(again.stderr).toMatch(/^millrace: generation 0 was promoted already/);
  });

  test('a broker does not start in the generation before', async () => {
    await expect(start(0)).rejects.toThrow(/was promoted to generation 1/);
  });

  test('has every record up to the cut, in order, and none behind it, whatever still arrives', async () => {
    second = await start(1);
    for (const file of late) cpSync(file, copyOf(file));
    const records = await readAll(clientOf(second), 2 * RECORDS_PER_LIFE);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const values = records.filter((record) => record.partition === partition).map(({ value }) => value);
      const expected = Array.from({ length: 2 * RECORDS_PER_LIFE }, (_, n) => n).filter(
        (n) => n % PARTITIONS === partition,
      );
      expect(values).toEqual(expected);
    }
  }, 120_000);

  test('a group that had committed past the cut reads exactly what is new', async () => {
    if (second === undefined) throw new Error('the promoted broker runs');
    const kafka = clientOf(second);
    const admin = kafka.admin();
    await admin.connect();
    // As the group committed in the lost region, at the ends of its partitions there.
    const committed = Array.from({ length: PARTITIONS }, (_, partition) => ({
      partition,
      offset: String(RECORDS_PER_LIFE),
    }));
    await admin.setOffsets({ groupId: GROUP, topic: TOPIC, partitions: committed });
    const clamped = await millrace('clamp-offsets', '--bootstrap', second.bootstrapServers, '--json');
    expect(clamped.status).toBe(0);
    const end = (2 * RECORDS_PER_LIFE) / PARTITIONS;
    expect(JSON.parse(clamped.stdout)).toEqual({
      isPlan: false,
      failed: [],
      clamped: committed.map(({ partition }) => ({
        ...{ group: GROUP, topic: TOPIC, partition, committed: RECORDS_PER_LIFE, end },
      })),
    });
    await write(kafka, 9_000, 30);
    const consumer = kafka.consumer({ groupId: GROUP });
    const values = await read(consumer, 30, false);
    expect(values.map(({ value }) => value).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 30 }, (_, n) => 9_000 + n),
    );
    await admin.disconnect();
  }, 120_000);

  test('outlives a kill, as any cluster', async () => {
    if (second === undefined) throw new Error('the promoted broker runs');
    await second.kill();
    await second.restart();
    const records = await readAll(clientOf(second), 2 * RECORDS_PER_LIFE + 30);
    expect(new Set(records.map(({ value }) => value)).size).toBe(2 * RECORDS_PER_LIFE + 30);
    expect(await second.stop()).toBe(0);
  }, 120_000);
});

interface Read {
  readonly partition: number;
  readonly value: number;
}

function clientOf(millrace: MillraceProcess): Kafka {
  return new Kafka({ brokers: [millrace.bootstrapServers], logLevel: logLevel.NOTHING });
}

/** Numbers from `first` on, each to the partition of its remainder. */
async function write(kafka: Kafka, first: number, count: number): Promise<void> {
  const producer: Producer = kafka.producer({ idempotent: true });
  await producer.connect();
  for (let at = 0; at < count; at += 500) {
    const messages = Array.from({ length: Math.min(500, count - at) }, (_, n) => {
      const value = first + at + n;
      return { partition: value % PARTITIONS, value: String(value) };
    });
    await producer.send({ topic: TOPIC, messages });
  }
  await producer.disconnect();
}

function readAll(kafka: Kafka, count: number): Promise<readonly Read[]> {
  return read(kafka.consumer({ groupId: `all-${Math.random()}` }), count, true);
}

/** Until `count` records came, and then for a second more: there must be no other. */
async function read(consumer: Consumer, count: number, fromBeginning: boolean): Promise<readonly Read[]> {
  const records: Read[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning });
  await consumer.run({
    eachMessage: ({ partition, message }) => {
      records.push({ partition, value: Number(message.value?.toString()) });
      return Promise.resolve();
    },
  });
  const deadlineMs = performance.now() + READ_DEADLINE_MS;
  while (records.length < count && performance.now() < deadlineMs) await sleep(50);
  await sleep(1_000);
  await consumer.disconnect();
  expect(records).toHaveLength(count);
  return records;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function filesUnder(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}
