import { afterEach, describe, expect, test } from '@jest/globals';
import { checkHistory } from '../../drills/checker/check.ts';
import { HistoryWriter, readHistory } from '../../drills/history/file.ts';
import { Workload } from '../../drills/workload/workload.ts';
import { checkDrain } from '../harness/history.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { drain, javaProducer } from '../harness/producers.ts';
import { S3Server } from '../harness/s3-server.ts';
import { TempDir } from '../harness/temp-dir.ts';

const KILLS = 20;
const LOAD_BETWEEN_KILLS_MS = 2_000;
const DEADLINE_MS = 600_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('kill -9 under load, twenty times in a row', () => {
  let dir: TempDir;
  let millrace: MillraceProcess | undefined;
  let s3: S3Server | undefined;

  afterEach(async () => {
    await millrace?.kill();
    await s3?.stop();
    s3 = undefined;
    dir.remove();
  });

  test.each(['files', 's3'] as const)(
    'no acknowledged record is lost, none stands twice, offsets are dense (object store: %s)',
    async (store) => {
      dir = new TempDir();
      if (store === 's3') s3 = await S3Server.start(dir.join('s3'));
      millrace = await MillraceProcess.start({
        dataDir: dir.join('data'),
        args: ['--set', 'num.partitions=3', ...(s3?.storeArgs('kill-nine') ?? [])],
        ...(s3 === undefined ? {} : { env: s3.credentials }),
      });
      const bootstrap = millrace.bootstrapServers;
      const java = await javaProducer(bootstrap, 'java', 3_000, dir);
      const writer = new HistoryWriter(dir.join('history.jsonl'));
      const kafkajs = await Workload.start(
        { bootstrapServers: bootstrap, topic: 'kafkajs', partitions: 3, recordsPerSecond: 1_000 },
        writer,
      );

      const restartMs: number[] = [];
      for (let kill = 0; kill < KILLS; kill += 1) {
        const before = { java: java.acked.length, kafkajs: kafkajs.acknowledged };
        await sleep(LOAD_BETWEEN_KILLS_MS);
        // A kill proves something only under load: both were acknowledged since the last one.
        for (let waits = 0; waits < 30; waits += 1) {
          if (java.acked.length > before.java && kafkajs.acknowledged > before.kafkajs) break;
          await sleep(500);
        }
        expect(java.acked.length).toBeGreaterThan(before.java);
        expect(kafkajs.acknowledged).toBeGreaterThan(before.kafkajs);
        await millrace.kill();
        restartMs.push(await millrace.restart());
      }
      await sleep(LOAD_BETWEEN_KILLS_MS);
      await java.stop();
      const told = await kafkajs.stop();
      await writer.close();

      expect(java.errors.slice(0, 5)).toEqual([]);
      const report = checkDrain(java.acked, await drain(bootstrap, 'java'));
      const verdict = await checkHistory(readHistory(writer.path));
      console.log(
        `${store}: java ${report.acknowledged} acknowledged, ${report.read} read; kafkajs ${verdict.acknowledged} ` +
          `acknowledged, ${verdict.read} read; restarts ${restartMs.map((ms) => Math.round(ms)).join(' ')} ms`,
      );
      expect(report).toMatchObject({ lost: [], duplicated: [], inconsistent: [], gaps: [], reordered: [] });
      expect(verdict.evidence).toEqual([]);
      expect(verdict).toMatchObject({ acknowledged: told.acknowledged, sendErrors: 0 });
      expect(told.isDrained).toBe(true);
    },
    DEADLINE_MS,
  );
});
