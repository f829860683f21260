import { MillraceError } from '../../broker-runtime/src/base/errors.ts';

export interface WorkloadOptions {
  /** `host:port`, separated by commas. */
  readonly bootstrapServers: string;
  /** Made by the workload; its groups are named after it. */
  readonly topic: string;
  /** @default 6 */
  readonly partitions?: number;
  /** Idempotent producers, each with one request in flight, acks=all. @default 1 */
  readonly producersPerPartition?: number;
  /** Of all producers together. @default 600 */
  readonly recordsPerSecond?: number;
  /** Records in one request. @default 5 */
  readonly batchRecords?: number;
  /** @default 200 */
  readonly valueBytes?: number;
  /** Consumers that share the partitions and commit. @default 2 */
  readonly groupMembers?: number;
  /** Consumers that read all partitions from positions of their own. @default 1 */
  readonly tailReaders?: number;
  /** How long a request may take before the client tries again. @default 3000 */
  readonly requestTimeoutMs?: number;
  /** How long, after the load, readers may take to reach the end, and again the drain. @default 60000 */
  readonly drainDeadlineMs?: number;
}

export type ResolvedOptions = Required<WorkloadOptions>;

/** A workload that cannot be run as asked: what, got, allowed. */
export class WorkloadOptionError extends MillraceError {
  readonly code = 'WORKLOAD_OPTION';
}

const DEFAULTS = {
  partitions: 6,
  producersPerPartition: 1,
  recordsPerSecond: 600,
  batchRecords: 5,
  valueBytes: 200,
  groupMembers: 2,
  tailReaders: 1,
  requestTimeoutMs: 3_000,
  drainDeadlineMs: 60_000,
} as const;

/** What one process can drive, and count, honestly. */
const ALLOWED: Readonly<Record<keyof typeof DEFAULTS, readonly [number, number]>> = {
  partitions: [1, 64],
  producersPerPartition: [1, 8],
  recordsPerSecond: [1, 50_000],
  batchRecords: [1, 1_000],
  valueBytes: [0, 900_000],
  groupMembers: [0, 16],
  tailReaders: [0, 8],
  requestTimeoutMs: [100, 120_000],
  drainDeadlineMs: [1_000, 3_600_000],
};

export function resolveOptions(options: WorkloadOptions): ResolvedOptions {
  const resolved = { ...DEFAULTS, ...options };
  for (const name of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
    const [least, most] = ALLOWED[name];
    const value = resolved[name];
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new WorkloadOptionError(`${name}: got ${value}, allowed: ${least} to ${most}`);
    }
  }
  return resolved;
}
