import type { BlockDevice } from '../../ports/block-device.ts';
import {
  checkSizes,
  memorySettingsOf,
  type MemoryOptions,
  type MemorySettings,
} from '../groups/memory-settings.ts';
import { GROUP_HEADER_BYTES } from './group-layout.ts';
import { OPERATION_BYTES, type WalBudget } from './pacer.ts';
import { ringBytesOf } from './ring.ts';

/**
 * Whether the log is ours at this moment.
 *   - `true`: proven now; what is written is acknowledged before anything else runs.
 *   - a promise: not at this moment. Acknowledgements wait, in order; writes go on until window and memory are full.
 *     When it resolves this is asked again, so it must not resolve before something changed: a heartbeat that was
 *     sent after this call was answered.
 *   - a rejection, or a throw: fenced. The WAL fails and acknowledges nothing any more.
 */
export type MayAcknowledge = () => true | Promise<void>;

export interface BlockWalOptions extends MemoryOptions {
  /** Strictly above every epoch the log was opened with before (I31). */
  readonly nodeEpoch: number;
  /** The fence proof (protocol 3.5, ack rule): asked after each write completed and before it is acknowledged. */
  readonly mayAcknowledge: MayAcknowledge;
  /** Default 256 KiB: what io2 counts as one operation. */
  readonly groupBytes?: number;
  /** Writes under way on one device. Default 2; up to 4 pays on devices that need milliseconds. */
  readonly writesInFlight?: number;
  /** Per device. Default: not paced. */
  readonly budget?: WalBudget;
  /** Default 1000 ms. See Checkpointer. */
  readonly superblockIntervalMs?: number;
}

const DEFAULT_WRITES_IN_FLIGHT = 2;
const DEFAULT_SUPERBLOCK_INTERVAL_MS = 1000;
/** The largest group, wherever the head stands, and what is kept free for the ends of laps. */
const RING_GROUPS_MIN = 4;

/** The options with their defaults, and what follows from them. */
export interface WalSettings extends MemorySettings {
  readonly writesInFlight: number;
  readonly superblockIntervalMs: number;
}

/** @throws {WalOptionsError} naming all that does not fit together */
export function settingsOf(devices: readonly BlockDevice[], options: BlockWalOptions): WalSettings {
  const { groupBytes = OPERATION_BYTES } = options;
  const { settings, checks } = memorySettingsOf({ ...options, groupBytes }, GROUP_HEADER_BYTES);
  const writesInFlight = options.writesInFlight ?? DEFAULT_WRITES_IN_FLIGHT;
  const superblockIntervalMs = options.superblockIntervalMs ?? DEFAULT_SUPERBLOCK_INTERVAL_MS;
  const ringBytes = Math.min(...devices.map((device) => ringBytesOf(device.capacityBytes)));
  const { iops = 1, bytesPerSecond = 1 } = options.budget ?? {};
  checkSizes(
    ...checks,
    [writesInFlight >= 1, `writesInFlight is ${writesInFlight}, allowed from 1 on`],
    [superblockIntervalMs > 0, `superblockIntervalMs is ${superblockIntervalMs}, must be above 0`],
    [
      iops > 0 && bytesPerSecond > 0,
      `the budget is ${iops} iops and ${bytesPerSecond} bytes/s, must be above 0`,
    ],
    [
      ringBytes >= RING_GROUPS_MIN * settings.maxGroupBytes,
      `the smallest ring has ${ringBytes} bytes, ${RING_GROUPS_MIN} groups of ${settings.maxGroupBytes} must fit`,
    ],
  );
  return { ...settings, writesInFlight, superblockIntervalMs };
}
