import path from 'node:path';
import { MillraceProcess } from '../test/harness/millrace-process.ts';
import { TempDir } from '../test/harness/temp-dir.ts';
import { produce, recordsFile, type Throughput } from './load.ts';
import { median } from './median.ts';
import { singleRecordRequests } from './requests.ts';

const FILE_BYTES = 256 * 1024 ** 2;
/** 35 % of it are the WAL's, so a run that is held fits, and what was uploaded before makes room for it. */
const MEMORY = '1GiB';
/** From the first on all of the WAL's memory has been touched once; a broker pays for that once in its life. */
const WARM_UP_RUNS = 2;
const RUNS = 3;
/** Between two runs, for the uploads of the one before. */
const UPLOAD_MS = 6_000;
const HOLDS_UPLOADS = path.join(import.meta.dirname, 'held-uploads.ts');

/** Produce of 1 KiB records while no upload ends: what the way into the WAL costs alone. */
export async function produceWithoutUploads(): Promise<Throughput> {
  const dir = new TempDir();
  const broker = await MillraceProcess.start({
    dataDir: dir.join('data'),
    args: ['--wal-size', '1GiB', '--memory', MEMORY],
    env: { NODE_OPTIONS: `--import=${HOLDS_UPLOADS}` },
  });
  const measured = {
    name: 'Millrace',
    bootstrapServers: broker.bootstrapServers,
    pid: broker.pid,
    stop: () => broker.kill(),
    startAgain: () => Promise.reject(new Error('only measured once')),
    discard: () => broker.kill(),
  };
  try {
    await singleRecordRequests(measured, 'warm-up');
    const runs: Throughput[] = [];
    for (let run = 0; run < WARM_UP_RUNS + RUNS; run += 1) {
      process.kill(broker.pid, 'SIGUSR2');
      runs.push(await produce(measured, `run-${run}`, recordsFile(FILE_BYTES), FILE_BYTES));
      process.kill(broker.pid, 'SIGUSR2');
      await new Promise((uploaded) => setTimeout(uploaded, UPLOAD_MS));
    }
    const counted = runs.slice(WARM_UP_RUNS);
    return {
      mibPerSecond: median(counted.map((one) => one.mibPerSecond)),
      cpuSecondsPerGib: median(counted.map((one) => one.cpuSecondsPerGib)),
    };
  } finally {
    await broker.kill();
    dir.remove();
  }
}

if (import.meta.main) {
  const { cpuSecondsPerGib, mibPerSecond } = await produceWithoutUploads();
  console.log(
    `produce, uploads held: ${cpuSecondsPerGib.toFixed(2)} CPU s/GiB, ${mibPerSecond.toFixed(0)} MiB/s`,
  );
}
