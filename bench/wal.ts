import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DirectBlockDevice } from '../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../broker-runtime/src/adapters/system-env.ts';
import { crc32c } from '../broker-runtime/src/base/crc32c.ts';
import type { Env } from '../broker-runtime/src/ports/env.ts';
import { BlockWal, formatBlockWal, recoverBlockWal } from '../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../broker-runtime/src/wal/fence.ts';
import { bareWrites } from './bare-writes.ts';
import { fioWrites, hasFio } from './fio.ts';
import { onLimitedDevice } from './limited-device.ts';
import { median } from './median.ts';
import { atRate } from './metronome.ts';

/** The block WAL beside fio doing the same writes: O_DIRECT, synced, sequential, into a file written before. */
export interface WalFigures {
  readonly groupBytes: number;
  readonly depth: number;
  /** Bytes per second, as many writes under way as `depth` all the time. Larger is better, 1 is fio's. */
  readonly throughputRatio: number;
  /** The same beside bare writes by Node, from as much memory: 1 is what a WAL in Node can reach. */
  readonly bareRatio: number;
  /**
   * p99 of an append at half load (of the WAL's own, or of a volume's where that is less), from the call to durable,
   * over p99 of fio's bare write at the same rate. Both keep at most `depth` under way: an append never waits for another one, as a write of fio never does.
   * (An append that finds others waiting shares their group; here each fills a group, so it would queue.)
   */
  readonly p99Ratio: number;
  /** As throughputRatio, on the same device held to {@link VOLUME_BYTES_PER_SECOND}; NaN without control groups. */
  readonly volumeRatio: number;
}

type Round = Omit<WalFigures, 'groupBytes' | 'depth'>;

interface Entry {
  readonly bytes: Uint8Array;
  readonly crc32c: number;
}

const CASES = [
  { groupBytes: 4 * 1024, depth: 1 },
  { groupBytes: 64 * 1024, depth: 2 },
  { groupBytes: 256 * 1024, depth: 2 },
  { groupBytes: 1024 * 1024, depth: 2 },
] as const;
const ROUNDS = 5;
const RUN_MS = 2000;
/** What EBS gives an instance of 10 Gbit/s (m7g.2xlarge): a local disk of several GB/s measures memory and threads. */
export const VOLUME_BYTES_PER_SECOND = 1_250_000_000;
const FILE_BYTES = 256 * 1024 * 1024;
const WAL_MEMORY_BYTES = 64 * 1024 * 1024;
/** Header of a group and of its one entry. */
const OVERHEAD_BYTES = 68 + 32;
const OWNER = { clusterId: 'bench', nodeId: 1 };

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
    // Both written in full, once for all rounds: the first write of a block costs the file system more, and removing
    // a file while the other is measured makes work for its journal.
    await (await DirectBlockDevice.open(env, fioFile, { createBytes: FILE_BYTES })).close();
    const created = await DirectBlockDevice.open(env, walFile, { createBytes: FILE_BYTES });
    await formatBlockWal([created], OWNER, env);
    await created.close();
    const figures: WalFigures[] = [];
    let nodeEpoch = 0;
    for (const { groupBytes, depth } of CASES) {
      const rounds: Round[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${groupBytes / 1024} KiB, ${depth} under way, round ${round} of ${ROUNDS}`);
        nodeEpoch += 1;
        rounds.push(await oneRound(env, { walFile, fioFile, groupBytes, depth, nodeEpoch }));
      }
      figures.push({
        groupBytes,
        depth,
        throughputRatio: median(rounds.map((round) => round.throughputRatio)),
        bareRatio: median(rounds.map((round) => round.bareRatio)),
        p99Ratio: median(rounds.map((round) => round.p99Ratio)),
        volumeRatio: median(rounds.map((round) => round.volumeRatio)),
      });
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function oneRound(
  env: Env,
  of: { walFile: string; fioFile: string; groupBytes: number; depth: number; nodeEpoch: number },
): Promise<Round> {
  const { groupBytes, depth } = of;
  const run = { file: of.fioFile, fileBytes: FILE_BYTES, writeBytes: groupBytes, depth, runMs: RUN_MS };
  const wal = await openWal(env, of.walFile, of);
  // One entry fills a group to the last byte, so the WAL writes what fio writes.
  const bytes = new Uint8Array(groupBytes - OVERHEAD_BYTES).fill(7);
  // Known, as it is of every batch that a client sent: the log has checked it before it appends.
  const entry = { bytes, crc32c: crc32c(bytes) };
  try {
    await saturate(wal, entry, depth, RUN_MS / 4);
    const fioFull = fioWrites(run);
    const bytesPerSecond = await saturate(wal, entry, depth, RUN_MS);
    const bareBytesPerSecond = await bareWrites(env, { ...run, memoryBytes: WAL_MEMORY_BYTES });
    const writesPerSecond = Math.min(bytesPerSecond, VOLUME_BYTES_PER_SECOND) / groupBytes / 2;
    const fioHalf = fioWrites({ ...run, writesPerSecond });
    const latencies = await appendAtRate(wal, entry, depth, writesPerSecond);
    latencies.sort((a, b) => a - b);
    const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? NaN;
    const onVolume = await onLimitedDevice(of.fioFile, VOLUME_BYTES_PER_SECOND, async () => {
      const fio = fioWrites(run).bytesPerSecond;
      return (await saturate(wal, entry, depth, RUN_MS)) / fio;
    });
    return {
      throughputRatio: bytesPerSecond / fioFull.bytesPerSecond,
      bareRatio: bytesPerSecond / bareBytesPerSecond,
      p99Ratio: p99Ms / fioHalf.p99Ms,
      volumeRatio: onVolume ?? NaN,
    };
  } finally {
    await wal.close();
  }
}

async function openWal(
  env: Env,
  file: string,
  { groupBytes, depth, nodeEpoch }: { groupBytes: number; depth: number; nodeEpoch: number },
): Promise<BlockWal> {
  const devices = [await DirectBlockDevice.open(env, file)];
  const recovery = await recoverBlockWal(devices, OWNER, env, previousProcessExited(devices));
  for await (const group of recovery.groups()) throw new Error(`a trimmed log holds group ${group.sequence}`);
  const wal = await BlockWal.open(
    recovery,
    {
      nodeEpoch,
      mayAcknowledge: () => true,
      groupBytes,
      writesInFlight: depth,
      memoryBytes: WAL_MEMORY_BYTES,
    },
    env,
    {
      onDurable: (group) => void wal.trim(group.sequence),
      onMemoryWanted: () => undefined,
      onFailed: (error) => {
        throw error;
      },
    },
  );
  return wal;
}

/** Keeps twice `depth` entries between append and durable. @returns bytes per second that became durable */
async function saturate(wal: BlockWal, entry: Entry, depth: number, forMs: number): Promise<number> {
  const startMs = performance.now();
  let durableBytes = 0;
  const producer = async (): Promise<void> => {
    for (let offset = 0; performance.now() - startMs < forMs; offset++) {
      const waiting = wal.admit(entry.bytes.length, 1);
      if (waiting !== undefined) await waiting;
      await wal.append(1, offset, 1, -1, entry.bytes, entry.crc32c).durable;
      durableBytes += entry.bytes.length + OVERHEAD_BYTES;
    }
  };
  await Promise.all(Array.from({ length: 2 * depth }, producer));
  return (durableBytes * 1000) / (performance.now() - startMs);
}

/** @returns milliseconds from call to durable */
async function appendAtRate(
  wal: BlockWal,
  entry: Entry,
  depth: number,
  perSecond: number,
): Promise<number[]> {
  const latencies: number[] = [];
  let offset = 0;
  await atRate(perSecond, RUN_MS, depth, async () => {
    const beginMs = performance.now();
    const waiting = wal.admit(entry.bytes.length, 1);
    if (waiting !== undefined) await waiting;
    await wal.append(2, offset++, 1, -1, entry.bytes, entry.crc32c).durable;
    latencies.push(performance.now() - beginMs);
  });
  return latencies;
}

if (import.meta.main) {
  const figures = await walBesideFio((what) => process.stderr.write(`bench: ${what}\n`));
  for (const { groupBytes, depth, throughputRatio, bareRatio, volumeRatio, p99Ratio } of figures) {
    console.log(
      `${groupBytes / 1024} KiB, ${depth} under way: throughput ${throughputRatio.toFixed(2)} of fio, ${bareRatio.toFixed(2)} of bare writes, ` +
        `${volumeRatio.toFixed(2)} of fio on a device of ${VOLUME_BYTES_PER_SECOND / 1e6} MB/s, ` +
        `p99 of an append at half load ${p99Ratio.toFixed(2)} of fio's write`,
    );
  }
}
