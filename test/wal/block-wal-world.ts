import {
  BlockWal,
  formatBlockWal,
  recoverBlockWal,
  type BlockWalOptions,
  type BlockWalRecovery,
} from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../../broker-runtime/src/wal/fence.ts';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import type { Wal, WalGroup, WalListener, RecoveredGroup } from '../../broker-runtime/src/wal/wal.ts';
import { SimDisk, type SimDiskOptions } from '../simulation/world/sim-block-device.ts';
import { simEnv, type SimEnv } from '../simulation/world/sim-env.ts';

export const KIB = 1024;
export const OWNER = { clusterId: 'wal-test-cluster', nodeId: 7 };

/** Small sizes, so that laps, slabs and windows turn over within a test. */
export const SMALL = {
  groupBytes: 16 * KIB,
  maxEntryBytes: 24 * KIB,
  slabBytes: 64 * KIB,
  memoryBytes: 512 * KIB,
} satisfies Partial<BlockWalOptions>;

/** What a listener heard. */
export class RecordingListener implements WalListener {
  readonly durable: number[] = [];
  readonly memoryWanted: number[] = [];
  readonly failures: Error[] = [];
  onDurableGroup: (group: WalGroup) => void = () => undefined;
  onWanted: (bytes: number) => void = () => undefined;

  onDurable(group: WalGroup): void {
    this.durable.push(group.sequence);
    this.onDurableGroup(group);
  }
  onMemoryWanted(bytes: number): void {
    this.memoryWanted.push(bytes);
    this.onWanted(bytes);
  }
  onFailed(error: Error): void {
    this.failures.push(error);
  }
}

export interface OpenLog {
  readonly wal: BlockWal;
  readonly listener: RecordingListener;
  readonly recovered: readonly RecoveredGroup[];
}

/** Disks with a log on them that may be crashed and opened again. */
export class WalWorld {
  readonly env: SimEnv;
  readonly disks: readonly SimDisk[];
  nodeEpoch = 0;

  constructor(
    options: { seed?: number; disks?: number; ringBytes?: number } & Partial<
      Omit<SimDiskOptions, 'clock' | 'random' | 'name'>
    > = {},
  ) {
    this.env = simEnv(options.seed ?? 1);
    this.disks = Array.from(
      { length: options.disks ?? 1 },
      (_, index) =>
        new SimDisk({
          capacityBytes: (options.ringBytes ?? 512 * KIB) + 8 * KIB,
          ...options,
          name: `disk-${index}`,
          clock: this.env.clock,
          random: this.env.random.fork(),
        }),
    );
  }

  /** The only disk, or the first. */
  get disk(): SimDisk {
    const [first] = this.disks;
    if (first === undefined) throw new Error('a world has a disk');
    return first;
  }

  devices(): BlockDevice[] {
    return this.disks.map((disk) => disk.open());
  }

  /** Formats if need be, recovers everything and opens under the next epoch. */
  async open(options: Partial<BlockWalOptions> = {}): Promise<OpenLog> {
    return this.env.clock.run(this.start(options));
  }

  /** The same for a test that moves time itself. */
  async start(
    options: Partial<BlockWalOptions> = {},
    onRecovered: (recovered: readonly RecoveredGroup[]) => void = () => undefined,
  ): Promise<OpenLog> {
    const devices = this.devices();
    await formatBlockWal(devices, OWNER, this.env);
    const recovery = await recoverBlockWal(devices, OWNER, this.env, previousProcessExited(devices));
    const recovered = await collect(recovery);
    onRecovered(recovered);
    const listener = new RecordingListener();
    const wal = await BlockWal.open(
      recovery,
      { ...SMALL, nodeEpoch: ++this.nodeEpoch, mayAcknowledge: () => true, ...options },
      this.env,
      listener,
    );
    return { wal, listener, recovered };
  }

  /** Reads the log as another broker would, after a crash. */
  async recover(owner = OWNER): Promise<RecoveredGroup[]> {
    return this.env.clock.run(
      (async () => {
        const devices = this.devices();
        try {
          return await collect(
            await recoverBlockWal(devices, owner, this.env, previousProcessExited(devices)),
          );
        } finally {
          for (const device of devices) await device.close();
        }
      })(),
    );
  }

  crash(): void {
    for (const disk of this.disks) disk.crash();
  }
}

export async function collect(recovery: BlockWalRecovery): Promise<RecoveredGroup[]> {
  const groups: RecoveredGroup[] = [];
  for await (const group of recovery.groups()) groups.push(group);
  return groups;
}

/** Bytes that say whose they are. */
export function payload(label: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  for (let at = 0; at < lengthBytes; at++) bytes[at] = (label * 31 + at * 7) & 0xff;
  return bytes;
}

/** What an entry is, in a form that compares. */
export function describeEntry(entry: {
  streamId: number;
  baseOffset: number;
  count: number;
  maxTimestampMs: number;
  bytes: Uint8Array;
}): string {
  const hash = Buffer.from(entry.bytes).toString('base64');
  return `${entry.streamId}:${entry.baseOffset}+${entry.count}@${entry.maxTimestampMs}:${hash}`;
}

/** Admits and appends one entry, as producers do. */
export async function appendOne(
  wal: Wal,
  baseOffset: number,
  bytes: Uint8Array,
  streamId = 1,
): Promise<WalGroup> {
  const waiting = wal.admit(bytes.length, 1);
  if (waiting !== undefined) await waiting;
  return wal.append(streamId, baseOffset, 1, 1000 + baseOffset, bytes);
}
