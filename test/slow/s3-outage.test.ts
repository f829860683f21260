import { afterEach, expect, test } from '@jest/globals';
import { checkDrain } from '../harness/history.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { processStats } from '../harness/process-stats.ts';
import { drain, javaProducer, kafkajsProducer } from '../harness/producers.ts';
import { S3Server } from '../harness/s3-server.ts';
import { TempDir } from '../harness/temp-dir.ts';

const FIRST_ACK_MS = 60_000;
const OUTAGE_MS = 30_000;
const MIB = 1024 ** 2;
const MEMORY_BYTES = 256 * MIB;
/** What a Node process has besides the buffers that --memory divides: heap, code, the SDK's own buffers. */
const BESIDES_BUDGET_BYTES = 256 * MIB;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const dir = new TempDir();
let s3: S3Server | undefined;
let millrace: MillraceProcess | undefined;

afterEach(async () => {
  await millrace?.kill();
  await s3?.stop();
  dir.remove();
});

test('the object store stops for 30 s under load: no error beyond client retries, no loss, memory within budget', async () => {
  s3 = await S3Server.start(dir.join('s3'));
  millrace = await MillraceProcess.start({
    dataDir: dir.join('data'),
    // A small log and a small budget, so that the outage outlasts both and back-pressure has to work.
    args: ['--wal-size', '64MiB', '--memory', `${MEMORY_BYTES / MIB}MiB`, ...s3.storeArgs('outage')],
    env: s3.credentials,
  });
  const bootstrap = millrace.bootstrapServers;
  const java = await javaProducer(bootstrap, 'java', 10_000, dir);
  const kafkajs = await kafkajsProducer(bootstrap, 'kafkajs', 500);
  // A JVM beside others may take long to send its first record.
  for (let waitedMs = 0; java.acked.length === 0 && waitedMs < FIRST_ACK_MS; waitedMs += 100)
    await sleep(100);
  await sleep(2_000);
  expect(java.acked.length).toBeGreaterThan(0);

  await s3.pause();
  let largestBytes = 0;
  let fullestShare = 0;
  for (let waitedMs = 0; waitedMs < OUTAGE_MS; waitedMs += 250) {
    await sleep(250);
    largestBytes = Math.max(largestBytes, processStats(millrace.pid).residentBytes);
    const status = millrace.lastEvent('status') as
      { store?: { walUsedBytes: number; walCapacityBytes: number } } | undefined;
    if (status?.store)
      fullestShare = Math.max(fullestShare, status.store.walUsedBytes / status.store.walCapacityBytes);
  }
  await s3.resume();

  const beforeHealing = kafkajs.acked.length + java.acked.length;
  await sleep(10_000);
  expect(kafkajs.acked.length + java.acked.length).toBeGreaterThan(beforeHealing);
  await Promise.all([java.stop(), kafkajs.stop()]);

  console.log(
    `fullest log ${Math.round(fullestShare * 100)} %, largest resident ${Math.round(largestBytes / MIB)} MiB, ` +
      `${java.acked.length + kafkajs.acked.length} acknowledged`,
  );
  expect(largestBytes).toBeLessThan(MEMORY_BYTES + BESIDES_BUDGET_BYTES);
  expect([...java.errors, ...kafkajs.errors].slice(0, 5)).toEqual([]);
  for (const [topic, producer] of Object.entries({ java, kafkajs })) {
    const report = checkDrain(producer.acked, await drain(bootstrap, topic));
    expect(report).toMatchObject({ lost: [], duplicated: [], inconsistent: [], gaps: [], reordered: [] });
  }
}, 300_000);
