import type { LogConfig } from '../../broker-runtime/src/wire/log-config.ts';
import { openPartition, type Partition } from '../../broker-runtime/src/log/partition.ts';
import type { AppendResult, LogRead } from '../../broker-runtime/src/log/partition-log.ts';
import {
  type NewBatch,
  buildBatch,
  type NewRecord,
} from '../../broker-runtime/src/wire/records/build-batch.ts';
import { wholeBatches } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { recordsOf } from '../../broker-runtime/src/wire/records/read-records.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { MemoryStream } from './memory-stream.ts';

export const HOUR_MS = 3_600_000;

export const DEFAULT_CONFIG: LogConfig = {
  cleanupPolicy: { delete: true, compact: false },
  retentionMs: -1,
  retentionBytes: -1,
  segmentBytes: 1024 ** 3,
  segmentMs: 7 * 24 * HOUR_MS,
  deleteRetentionMs: 24 * HOUR_MS,
  minCleanableDirtyRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  maxMessageBytes: 1_048_588,
  messageTimestampType: 'CreateTime',
  messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  messageTimestampAfterMaxMs: HOUR_MS,
  producerIdExpirationMs: 24 * HOUR_MS,
};

export const COMPACTED: LogConfig = {
  ...DEFAULT_CONFIG,
  cleanupPolicy: { delete: false, compact: true },
  minCleanableDirtyRatio: 0,
};

/** A partition over streams in memory, and what a test needs to move the world around it. */
export interface Rig {
  readonly env: SimEnv;
  readonly data: MemoryStream;
  readonly states: MemoryStream;
  readonly partition: Partition;
  /** Settles the work in simulated time. */
  run<T>(work: Promise<T>): Promise<T>;
  /** The next process: what was durable (and `keepGroups` groups more) is all it finds. */
  crash(options?: { keepGroups?: number; leaderEpoch?: number; config?: LogConfig }): Promise<Rig>;
}

export interface RigOptions {
  readonly config?: Partial<LogConfig>;
  readonly env?: SimEnv;
  readonly data?: MemoryStream;
  readonly states?: MemoryStream;
  readonly leaderEpoch?: number;
}

export async function openRig(options: RigOptions = {}): Promise<Rig> {
  const env = options.env ?? simEnv(1);
  const data = options.data ?? new MemoryStream(1);
  const states = options.states ?? new MemoryStream(2);
  states.autoSettle = true;
  const config = { ...DEFAULT_CONFIG, ...options.config };
  const leaderEpoch = options.leaderEpoch ?? 0;
  const run = <T>(work: Promise<T>): Promise<T> => env.clock.run(work);
  const source = {
    topicId: 'topic-id',
    topic: 'topic',
    partition: 0,
    leaderEpoch,
    data,
    states,
    config,
    env,
  };
  const partition = await run(openPartition({ ...source, admit: () => undefined }));
  return {
    env,
    data,
    states,
    partition,
    run,
    crash: async (after = {}) => {
      partition.abandon();
      return openRig({
        env,
        data: data.crash(after.keepGroups),
        states: states.crash(),
        config: after.config ?? config,
        leaderEpoch: after.leaderEpoch ?? leaderEpoch,
      });
    },
  };
}

export interface Sent {
  readonly records?: number;
  readonly key?: string | null;
  readonly value?: string | null;
  readonly timestampMs?: number;
}

/** A batch as a client sends it: base offset 0. */
export function clientBatch(sent: Sent & Partial<Omit<NewBatch, 'records'>> = {}): Uint8Array {
  const { records: count = 1, key = 'k', value = 'v', timestampMs = 1_767_225_600_000, ...rest } = sent;
  const bytes = (text: string | null): Uint8Array | null => (text === null ? null : Buffer.from(text));
  const records: NewRecord[] = Array.from({ length: count }, (_, offset) => ({
    offset,
    timestampMs,
    key: bytes(key),
    value: bytes(value),
  }));
  return buildBatch({ ...rest, records, baseOffset: 0 });
}

/** Appends and makes durable. */
export function put(rig: Rig, sent: Parameters<typeof clientBatch>[0] = {}): AppendResult {
  const result = rig.partition.append(clientBatch(sent), { origin: 'client' });
  rig.data.settle();
  return result;
}

export interface SeenRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string | null;
  readonly value: string | null;
}

export function recordsIn(pieces: readonly Uint8Array[]): SeenRecord[] {
  const text = (bytes: Uint8Array | null): string | null =>
    bytes === null ? null : Buffer.from(bytes).toString();
  const seen: SeenRecord[] = [];
  for (const batch of wholeBatches(Buffer.concat(pieces))) {
    const records = recordsOf(batch);
    while (records.next()) {
      const { offset, timestampMs, key, value } = records;
      seen.push({ offset, timestampMs, key: text(key), value: text(value) });
    }
  }
  return seen;
}

/** Reads everything readable from `fromOffset` on. */
export async function readAll(
  partition: Partition,
  fromOffset = partition.logStartOffset,
): Promise<SeenRecord[]> {
  const seen: SeenRecord[] = [];
  for (let offset = fromOffset; offset < partition.highWatermark;) {
    const read: LogRead = await partition.read(offset, 1 << 20, {
      isolation: 'read_uncommitted',
      minOneBatch: true,
    });
    if (read.error !== 0) throw new Error(`read at ${offset} failed with error ${read.error}`);
    const batches = [...wholeBatches(Buffer.concat(read.pieces))];
    const next = batches.at(-1)?.nextOffset;
    seen.push(...recordsIn(read.pieces).filter((record) => record.offset >= offset));
    read.release();
    if (next === undefined)
      throw new Error(`a consumer at ${offset} never gets to ${partition.highWatermark}`);
    offset = next;
  }
  return seen;
}
