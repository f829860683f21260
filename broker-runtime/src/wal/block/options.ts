import { DEVICE_BLOCK_BYTES, type BlockDevice } from '../../ports/block-device.ts';
import type { GroupMemorySettings } from '../group-memory.ts';
import { WalOptionsError } from './errors.ts';
import { ENTRY_HEADER_BYTES, GROUP_HEADER_BYTES } from './group-layout.ts';
import { OPERATION_BYTES, type WalBudget } from './pacer.ts';
import { alignUp, ringBytesOf } from './ring.ts';

/**
 * Whether the log is ours at this moment.
 *   - `true`: proven now; what is written is acknowledged before anything else runs.
 *   - a promise: not at this moment. Acknowledgements wait, in order; writes go on until window and memory are full.
 *     When it resolves this is asked again, so it must not resolve before something changed: a heartbeat that was
 *     sent after this call was answered.
 *   - a rejection, or a throw: fenced. The WAL fails and acknowledges nothing any more.
 */
export type MayAcknowledge = () => true | Promise<void>;

export interface BlockWalOptions {
  /** Strictly above every epoch the log was opened with before (I31). */
  readonly nodeEpoch: number;
  /** The fence proof (protocol 3.5, ack rule): asked after each write completed and before it is acknowledged. */
  readonly mayAcknowledge: MayAcknowledge;
  /** A group is closed at this size. Default 256 KiB: what io2 counts as one operation. */
  readonly groupBytes?: number;
  /** The largest entry; it gets a group of its own. Default 2 MiB: twice Kafka's default `message.max.bytes`. */
  readonly maxEntryBytes?: number;
  /** Writes under way on one device. Default 2; up to 4 pays on devices that need milliseconds. */
  readonly writesInFlight?: number;
  /** All memory of the WAL and of the tail cache on top of it. Default 64 MiB. */
  readonly memoryBytes?: number;
  /** Default 8 MiB. */
  readonly slabBytes?: number;
  /** Per device. Default: not paced. */
  readonly budget?: WalBudget;
  /** Default 1000 ms. See Checkpointer. */
  readonly superblockIntervalMs?: number;
}

const DEFAULT_MAX_ENTRY_BYTES = 2 * 1024 * 1024;
const DEFAULT_WRITES_IN_FLIGHT = 2;
const DEFAULT_MEMORY_BYTES = 64 * 1024 * 1024;
const DEFAULT_SLAB_BYTES = 8 * 1024 * 1024;
const DEFAULT_SUPERBLOCK_INTERVAL_MS = 1000;
/**
 * Heap that an entry takes while it is held, in WAL, tail cache and upload: measured at 252 bytes. With one entry for
 * each of these bytes of memory, a flood of tiny batches takes no more heap than the WAL takes memory.
 */
const BYTES_PER_HELD_ENTRY = 512;
/** One is carved while another waits to be released. */
const SLABS_MIN = 2;
/** The largest group, wherever the head stands, and what is kept free for the ends of laps. */
const RING_GROUPS_MIN = 4;

/** The options with their defaults, and what follows from them. */
export interface WalSettings extends GroupMemorySettings {
  /** Padding included. */
  readonly maxGroupBytes: number;
  readonly writesInFlight: number;
  readonly superblockIntervalMs: number;
}

/** @throws {WalOptionsError} naming all that does not fit together */
export function settingsOf(devices: readonly BlockDevice[], options: BlockWalOptions): WalSettings {
  const groupBytes = options.groupBytes ?? OPERATION_BYTES;
  const maxEntryBytes = options.maxEntryBytes ?? DEFAULT_MAX_ENTRY_BYTES;
  const memoryBytes = options.memoryBytes ?? DEFAULT_MEMORY_BYTES;
  const slabBytes = options.slabBytes ?? DEFAULT_SLAB_BYTES;
  const writesInFlight = options.writesInFlight ?? DEFAULT_WRITES_IN_FLIGHT;
  const superblockIntervalMs = options.superblockIntervalMs ?? DEFAULT_SUPERBLOCK_INTERVAL_MS;
  const largestEntryGroupBytes = GROUP_HEADER_BYTES + ENTRY_HEADER_BYTES + maxEntryBytes;
  const maxGroupBytes = alignUp(Math.max(groupBytes, largestEntryGroupBytes));
  const slabCount = Math.floor(memoryBytes / slabBytes);
  const ringBytes = Math.min(...devices.map((device) => ringBytesOf(device.capacityBytes)));
  const { iops = 1, bytesPerSecond = 1 } = options.budget ?? {};
  const checks: readonly (readonly [isGood: boolean, problem: string])[] = [
    [groupBytes >= DEVICE_BLOCK_BYTES, `groupBytes is ${groupBytes}, allowed from ${DEVICE_BLOCK_BYTES} on`],
    [slabBytes % DEVICE_BLOCK_BYTES === 0, `slabBytes is ${slabBytes}, no multiple of ${DEVICE_BLOCK_BYTES}`],
    [slabBytes >= maxGroupBytes, `slabBytes is ${slabBytes}, the largest group needs ${maxGroupBytes}`],
    [slabCount >= SLABS_MIN, `memoryBytes is ${memoryBytes}, ${SLABS_MIN} slabs of ${slabBytes} need more`],
    [writesInFlight >= 1, `writesInFlight is ${writesInFlight}, allowed from 1 on`],
    [superblockIntervalMs > 0, `superblockIntervalMs is ${superblockIntervalMs}, must be above 0`],
    [
      iops > 0 && bytesPerSecond > 0,
      `the budget is ${iops} iops and ${bytesPerSecond} bytes/s, must be above 0`,
    ],
    [
      ringBytes >= RING_GROUPS_MIN * maxGroupBytes,
      `the smallest ring has ${ringBytes} bytes, ${RING_GROUPS_MIN} groups of ${maxGroupBytes} must fit`,
    ],
  ];
  const problems = checks.flatMap(([isGood, problem]) => (isGood ? [] : [problem]));
  if (problems.length > 0) {
    throw new WalOptionsError(`the sizes of the WAL do not fit together: ${problems.join('; ')}`);
  }
  return {
    groupBytes,
    maxEntryBytes,
    maxGroupBytes,
    writesInFlight,
    slabBytes,
    slabCount,
    maxEntries: Math.floor((slabCount * slabBytes) / BYTES_PER_HELD_ENTRY),
    superblockIntervalMs,
  };
}
