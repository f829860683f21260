import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { checkHistory } from '../../drills/checker/check.ts';
import { HistoryWriter, readHistory } from '../../drills/history/file.ts';
import { Workload } from '../../drills/workload/workload.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { TempDir } from '../harness/temp-dir.ts';

const LOAD_MS = 5_000;

const dir = new TempDir();
let millrace: MillraceProcess | undefined;

afterEach(async () => {
  await millrace?.kill();
  dir.remove();
});

test('kill -9 in the middle of the workload: the history is clean, and clients saw a stall, not an error', async () => {
  millrace = await MillraceProcess.start({ dataDir: dir.join('data') });
  const writer = new HistoryWriter(dir.join('history.jsonl'));
  const workload = await Workload.start(
    { bootstrapServers: millrace.bootstrapServers, topic: 'drill', partitions: 4, recordsPerSecond: 800 },
    writer,
  );
  await sleep(LOAD_MS);
  const before = workload.acknowledged;
  expect(before).toBeGreaterThan(0);

  const fromMs = performance.now();
  await millrace.kill();
  await sleep(1_000);
  await millrace.restart();
  const toMs = performance.now();
  await sleep(LOAD_MS);
  const { acknowledged, isDrained, errors, complaints } = await workload.stop();
  await writer.close();

  const verdict = await checkHistory(readHistory(writer.path));
  const stall = verdict.stalls.longest('send', { fromMs, toMs });
  console.log(
    `${acknowledged} acknowledged, ${verdict.read} read, ${verdict.operations} operations, ` +
      `down ${Math.round(toMs - fromMs)} ms, longest stall ${Math.round(stall?.ms ?? 0)} ms, ` +
      `p50 ${verdict.stalls.summary('send')?.p50.toFixed(1) ?? '?'} ms; complaints ${[...complaints.values()].reduce((a, b) => a + b, 0)}`,
  );
  expect(verdict.evidence).toEqual([]);
  expect(acknowledged).toBeGreaterThan(before);
  expect(verdict.acknowledged).toBe(acknowledged);
  expect(verdict.read).toBe(acknowledged + verdict.recovered);
  expect(isDrained).toBe(true);
  expect(errors.filter((error) => error.includes(' send: '))).toEqual([]);
  expect(stall?.ms).toBeGreaterThan(1_000);
  expect(complaints.size).toBeGreaterThan(0);
});
