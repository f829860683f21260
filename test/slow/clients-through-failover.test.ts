import { copyFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { checkHistory } from '../../drills/checker/check.ts';
import { HistoryWriter, readHistory } from '../../drills/history/file.ts';
import { Workload } from '../../drills/workload/workload.ts';
import { type ClientLife, franzGoLife, javaLife, kcatLife } from '../harness/client-lives.ts';
import { checkDrain } from '../harness/history.ts';
import { drain } from '../harness/producers.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { TwinProcess } from '../harness/twin-process.ts';

const SMALL = ['--wal-size', '64MiB', '--memory', '128MiB'];
const RECORDS_PER_SECOND = 150;
const STEADY_MS = 5_000;
/** Session timeout, takeover, and some load after it. */
const BROKEN_MS = 14_000;
/** Between two restarts, as in the drill: partitions come back to the broker that has just started. */
const SETTLE_MS = 3_000;
/** A kcat that was started again joins when the session of the one before has ended, 45 s. */
const READ_DEADLINE_MS = 90_000;
const DEADLINE_MS = 600_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The clients people use, as they come, beside each other on six brokers in three zones. */
describe.each([
  ['kill-broker', killBroker],
  ['rolling-restart', rollingRestart],
] as const)('%s', (name, happen) => {
  let dir: TempDir;
  let twin: TwinProcess;
  const lives: ClientLife[] = [];

  beforeAll(async () => {
    dir = new TempDir();
    twin = await TwinProcess.start(dir.join('data'), ['--zones', '3', '--brokers-per-zone', '2', ...SMALL]);
  }, DEADLINE_MS);
  afterAll(async () => {
    await Promise.all(lives.map((life) => life.stop()));
    await twin.stop();
    dir.remove();
  });

  test(
    'no client tells its application of an error, and all of them read what was acknowledged, once and in order',
    async () => {
      const { bootstrapServers: bootstrap } = twin;
      const writer = new HistoryWriter(dir.join('history.jsonl'));
      await createTopics(bootstrap, ['kcat-life', 'java-life', 'franz-go-life']);
      lives.push(kcatLife(bootstrap, RECORDS_PER_SECOND));
      lives.push(await javaLife(bootstrap, RECORDS_PER_SECOND, dir));
      lives.push(await franzGoLife(bootstrap, RECORDS_PER_SECOND));
      const kafkajs = await Workload.start(
        {
          bootstrapServers: bootstrap,
          topic: 'kafkajs-life',
          groupMembers: 2,
          tailReaders: 0,
          partitions: 6,
          recordsPerSecond: RECORDS_PER_SECOND,
        },
        writer,
      );
      await sleep(STEADY_MS);
      await happen(twin);
      await sleep(STEADY_MS);
      await Promise.all(lives.map((life) => life.endLoad()));
      const told = await kafkajs.stop();
      await writer.close();
      const verdict = await checkHistory(readHistory(writer.path));

      for (const life of lives) {
        const read = await drain(bootstrap, life.topic);
        await untilSeen(life);
        const unseen = [...life.acked].filter((value) => !life.seen.has(value));
        const present = new Set(read.map(({ value }) => value));
        const lost = [...life.acked].filter((value) => !present.has(value));
        const { duplicated, gaps, reordered } = checkDrain([], read);
        const stall =
          life.longestStallMs === undefined ? '' : `, longest stall ${Math.round(life.longestStallMs)} ms`;
        console.log(`${name}, ${life.name}: ${life.acked.size} acknowledged, ${read.length} read${stall}`);
        expect({ client: life.name, errors: life.errors.slice(0, 5), lost, unseen }).toEqual({
          ...{ client: life.name, errors: [], lost: [], unseen: [] },
        });
        expect({ duplicated, gaps, reordered }).toEqual({ duplicated: [], gaps: [], reordered: [] });
        expect(life.acked.size).toBeGreaterThan(1_000);
      }
      console.log(`${name}, kafkajs: ${told.acknowledged} acknowledged`);
      if (verdict.evidence.length > 0)
        copyFileSync(writer.path, `${tmpdir()}/clients-through-failover-history.jsonl`);
      expect(verdict.evidence).toEqual([]);
      expect(verdict).toMatchObject({ acknowledged: told.acknowledged, sendErrors: 0 });
      expect(told.isDrained).toBe(true);
    },
    DEADLINE_MS,
  );
});

async function createTopics(bootstrap: string, topics: readonly string[]): Promise<void> {
  const admin = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    topics: topics.map((topic) => ({ topic, numPartitions: 6 })),
    waitForLeaders: true,
  });
  await admin.disconnect();
}

async function killBroker({ faults }: TwinProcess): Promise<void> {
  const victim = (await faults.members()).find(({ isController }) => !isController)?.nodeId ?? 0;
  await faults.kill(victim);
  await sleep(BROKEN_MS);
  await faults.start(victim);
}

async function rollingRestart({ faults }: TwinProcess): Promise<void> {
  for (const { nodeId } of await faults.members()) {
    await faults.stop(nodeId);
    await faults.start(nodeId);
    await sleep(SETTLE_MS);
  }
}

async function untilSeen(life: ClientLife): Promise<void> {
  const lateMs = performance.now() + READ_DEADLINE_MS;
  while (performance.now() < lateMs && [...life.acked].some((value) => !life.seen.has(value)))
    await sleep(200);
}
