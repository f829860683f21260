import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DirectBlockDevice } from '../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../broker-runtime/src/adapters/system-env.ts';
import type { Env } from '../broker-runtime/src/ports/env.ts';
import { BlockWal, formatBlockWal, recoverBlockWal } from '../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../broker-runtime/src/wal/fence.ts';
import { median } from './median.ts';

/** The block WAL beside fio doing the same writes: O_DIRECT, synced, sequential, into a file written before. */
export interface WalFigures {
  readonly groupBytes: number;
  readonly depth: number;
  /** Bytes per second, as many writes under way as `depth` all the time. Larger is better, 1 is fio's. */
  readonly throughputRatio: number;
  /** p99 of an append at half that load, from the call to durable, over fio's p99 of the bare write. Smaller is better. */
  readonly p99Ratio: number;
}

interface Figures {
  readonly bytesPerSecond: number;
  readonly p99Ms: number;
}

const CASES = [
  { groupBytes: 4 * 1024, depth: 1 },
  { groupBytes: 64 * 1024, depth: 2 },
  { groupBytes: 256 * 1024, depth: 2 },
  { groupBytes: 1024 * 1024, depth: 2 },
] as const;
const ROUNDS = 3;
const RUN_MS = 2000;
const FILE_BYTES = 256 * 1024 * 1024;
/** Header of a group and of its one entry. */
const OVERHEAD_BYTES = 68 + 32;

/** Empty when fio is not installed. WAL and fio take turns, so that what else the machine does falls on both. */
export async function walBesideFio(progress: (what: string) => void): Promise<WalFigures[]> {
  if (!hasFio()) {
    progress('fio is not installed: nothing to compare the WAL with');
    return [];
  }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'millrace-bench-wal-'));
  try {
    const env = systemEnv({ minLevel: 'error' });
    const [walFile, fioFile] = [path.join(folder, 'wal'), path.join(folder, 'fio')];
    // Written once in full, for both: the first write of a block costs the file system more.
    await (await DirectBlockDevice.open(env, fioFile, { createBytes: FILE_BYTES })).close();
    const figures: WalFigures[] = [];
    for (const { groupBytes, depth } of CASES) {
      const rounds: { wal: Figures; fio: Figures }[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${groupBytes / 1024} KiB, ${depth} under way, round ${round} of ${ROUNDS}`);
        const fio = runFio(fioFile, groupBytes, depth);
        rounds.push({ fio, wal: await runWal(env, walFile, groupBytes, depth) });
        rmSync(walFile);
      }
      figures.push({
        groupBytes,
        depth,
        throughputRatio: median(rounds.map(({ wal, fio }) => wal.bytesPerSecond / fio.bytesPerSecond)),
        p99Ratio: median(rounds.map(({ wal, fio }) => wal.p99Ms / fio.p99Ms)),
      });
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hasFio(): boolean {
  try {
    execFileSync('fio', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function runFio(file: string, groupBytes: number, depth: number): Figures {
  const output = execFileSync(
    'fio',
    [
      '--name=wal',
      `--filename=${file}`,
      '--rw=write',
      `--bs=${groupBytes}`,
      '--direct=1',
      '--sync=dsync',
      '--ioengine=psync',
      '--thread',
      `--numjobs=${depth}`,
      `--size=${FILE_BYTES / depth}`,
      `--offset_increment=${FILE_BYTES / depth}`,
      '--time_based',
      `--runtime=${RUN_MS}ms`,
      '--group_reporting',
      '--output-format=json',
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

async function runWal(env: Env, file: string, groupBytes: number, depth: number): Promise<Figures> {
  const device = await DirectBlockDevice.open(env, file, { createBytes: FILE_BYTES });
  const owner = { clusterId: 'bench', nodeId: 1 };
  await formatBlockWal([device], owner, env);
  const recovery = await recoverBlockWal([device], owner, env, previousProcessExited([device]));
  for await (const group of recovery.groups()) throw new Error(`a new log holds group ${group.sequence}`);
  const wal = await BlockWal.open(
    recovery,
    { nodeEpoch: 1, mayAcknowledge: () => true, groupBytes, writesInFlight: depth },
    env,
    {
      onDurable: (group) => void wal.trim(group.sequence),
      onMemoryWanted: () => undefined,
      onFailed: (error) => {
        throw error;
      },
    },
  );
  // One entry fills a group to the last byte, so the WAL writes what fio writes.
  const entry = new Uint8Array(groupBytes - OVERHEAD_BYTES).fill(7);
  try {
    await saturate(wal, entry, depth, RUN_MS / 4);
    const bytesPerSecond = await saturate(wal, entry, depth, RUN_MS);
    const latencies = await appendEvery(wal, entry, groupBytes / (bytesPerSecond / 2 / 1000));
    latencies.sort((a, b) => a - b);
    return { bytesPerSecond, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? NaN };
  } finally {
    await wal.close();
  }
}

/** Keeps twice `depth` entries between append and durable. @returns bytes per second that became durable */
async function saturate(wal: BlockWal, entry: Uint8Array, depth: number, forMs: number): Promise<number> {
  const startMs = performance.now();
  let durableBytes = 0;
  const producer = async (): Promise<void> => {
    for (let offset = 0; performance.now() - startMs < forMs; offset++) {
      const waiting = wal.admit(entry.length, 1);
      if (waiting !== undefined) await waiting;
      await wal.append(1, offset, 1, -1, entry).durable;
      durableBytes += entry.length + OVERHEAD_BYTES;
    }
  };
  await Promise.all(Array.from({ length: 2 * depth }, producer));
  return (durableBytes * 1000) / (performance.now() - startMs);
}

/** An open loop: one entry each `intervalMs`, whatever became of those before. @returns milliseconds from call to durable */
async function appendEvery(wal: BlockWal, entry: Uint8Array, intervalMs: number): Promise<number[]> {
  const startMs = performance.now();
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  let appended = 0;
  const appendOne = async (offset: number): Promise<void> => {
    const beginMs = performance.now();
    const waiting = wal.admit(entry.length, 1);
    if (waiting !== undefined) await waiting;
    await wal.append(2, offset, 1, -1, entry).durable;
    latencies.push(performance.now() - beginMs);
  };
  while (performance.now() - startMs < RUN_MS) {
    // Timers of Node are too coarse for this rate, so the loop turns until the next one is due.
    await new Promise((turn) => setImmediate(turn));
    while (appended * intervalMs < performance.now() - startMs) pending.push(appendOne(appended++));
  }
  await Promise.all(pending);
  return latencies;
}

if (import.meta.main) {
  const figures = await walBesideFio((what) => process.stderr.write(`bench: ${what}\n`));
  for (const { groupBytes, depth, throughputRatio, p99Ratio } of figures) {
    console.log(
      `${groupBytes / 1024} KiB, ${depth} under way: throughput ${throughputRatio.toFixed(2)} of fio, ` +
        `p99 of an append at half load ${p99Ratio.toFixed(2)} of fio's write`,
    );
  }
}
