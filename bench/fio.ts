import { execFileSync } from 'node:child_process';

export interface WriteFigures {
  readonly bytesPerSecond: number;
  readonly p99Ms: number;
}

export interface FioRun {
  /** Written before, in full. */
  readonly file: string;
  readonly fileBytes: number;
  readonly writeBytes: number;
  /** So many threads, each with one write under way in its own part of the file. */
  readonly depth: number;
  readonly runMs: number;
  /** Of all threads together; without it as fast as they can. */
  readonly writesPerSecond?: number;
}

export function hasFio(): boolean {
  try {
    execFileSync('fio', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Sequential O_DIRECT writes, each synced: what the WAL asks of a device, with nothing around it. */
export function fioWrites({
  file,
  fileBytes,
  writeBytes,
  depth,
  runMs,
  writesPerSecond,
}: FioRun): WriteFigures {
  const output = execFileSync(
    'fio',
    [
      '--name=wal',
      `--filename=${file}`,
      '--rw=write',
      `--bs=${writeBytes}`,
      '--direct=1',
      '--sync=dsync',
      '--ioengine=psync',
      '--thread',
      `--numjobs=${depth}`,
      `--size=${fileBytes / depth}`,
      `--offset_increment=${fileBytes / depth}`,
      '--time_based',
      `--runtime=${runMs}ms`,
      '--group_reporting',
      '--output-format=json',
      ...(writesPerSecond === undefined ? [] : [`--rate_iops=${Math.ceil(writesPerSecond / depth)}`]),
    ],
    { encoding: 'utf8' },
  );
  const report = JSON.parse(output) as {
    jobs: { write: { bw_bytes: number; clat_ns: { percentile: Record<string, number> } } }[];
  };
  const write = report.jobs[0]?.write;
  const p99Ns = write?.clat_ns.percentile['99.000000'];
  if (write === undefined || p99Ns === undefined) throw new Error(`fio reported no writes: ${output}`);
  return { bytesPerSecond: write.bw_bytes, p99Ms: p99Ns / 1e6 };
}
