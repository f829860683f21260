import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';
import { WalOptionsError } from '../block/errors.ts';
import { ENTRY_HEADER_BYTES } from '../block/group-layout.ts';
import { alignUp } from '../block/ring.ts';
import type { GroupMemorySettings } from '../group-memory.ts';

/*
 * What the default window costs. S3 Standard takes 0.005 USD for 1,000 puts and 0.0004 USD for 1,000 gets (us-east-1).
 * A group that is not full starts 100 ms after the one before, so a broker that always has a little to write makes 10
 * puts and at most 10 gets of the fence a second: 0.000054 USD/s, 140 USD a month. An idle one pays nothing. From
 * 20 MiB/s on groups are full, and each further 2 MiB/s is a put more a second: 13 USD a month. Half the window is
 * twice the price under light load, and half the wait.
 */
export interface ObjectWalOptions {
  /** Strictly above every epoch the fence has named (I22, I31). */
  readonly nodeEpoch: number;
  /** A group is closed at this size. Default 2 MiB. */
  readonly groupBytes?: number;
  /** A group that is not full starts no sooner after the one before. Default 100 ms. */
  readonly groupDelayMs?: number;
  /** Puts under way at once. Default 4. */
  readonly putsInFlight?: number;
  /** The largest entry; it gets a group of its own. Default 2 MiB: twice Kafka's default `message.max.bytes`. */
  readonly maxEntryBytes?: number;
  /** All memory of the WAL and of the tail cache on top of it. Default 64 MiB. */
  readonly memoryBytes?: number;
  /** Default 8 MiB. */
  readonly slabBytes?: number;
  /** What may lie in the bucket and not be in committed objects yet: bounds the time of a recovery. Default 1 GiB. */
  readonly capacityBytes?: number;
  /** Default 1000 ms: between the starts of two rounds of deletes. */
  readonly trimIntervalMs?: number;
}

const MIB = 1024 * 1024;
/**
 * What an object counts for, however small it is: recovery reads 64 KiB in about the time of one byte. So the default
 * capacity is at most 16,384 objects.
 */
export const OBJECT_BYTES_MIN = 64 * 1024;
/**
 * Heap that an entry takes while it is held, in WAL, tail cache and upload: measured at 252 bytes. With one entry for
 * each of these bytes of memory, a flood of tiny batches takes no more heap than the WAL takes memory.
 */
const BYTES_PER_HELD_ENTRY = 512;
/** One is carved while another waits to be released. */
const SLABS_MIN = 2;
/** Else the first group would wait for its own upload. */
const CAPACITY_GROUPS_MIN = 4;

/** The options with their defaults, and what follows from them. */
export interface ObjectWalSettings extends GroupMemorySettings {
  readonly groupDelayMs: number;
  readonly putsInFlight: number;
  readonly capacityBytes: number;
  readonly trimIntervalMs: number;
}

/** @throws {WalOptionsError} naming all that does not fit together */
export function objectSettingsOf(options: ObjectWalOptions, headBytes: number): ObjectWalSettings {
  const {
    groupBytes = 2 * MIB,
    groupDelayMs = 100,
    putsInFlight = 4,
    maxEntryBytes = 2 * MIB,
    memoryBytes = 64 * MIB,
    slabBytes = 8 * MIB,
    capacityBytes = 1024 * MIB,
    trimIntervalMs = 1000,
  } = options;
  const maxGroupBytes = alignUp(Math.max(groupBytes, headBytes + ENTRY_HEADER_BYTES + maxEntryBytes));
  const slabCount = Math.floor(memoryBytes / slabBytes);
  const checks: readonly (readonly [isGood: boolean, problem: string])[] = [
    [groupBytes >= DEVICE_BLOCK_BYTES, `groupBytes is ${groupBytes}, allowed from ${DEVICE_BLOCK_BYTES} on`],
    [groupDelayMs >= 0, `groupDelayMs is ${groupDelayMs}, allowed from 0 on`],
    [putsInFlight >= 1, `putsInFlight is ${putsInFlight}, allowed from 1 on`],
    [slabBytes % DEVICE_BLOCK_BYTES === 0, `slabBytes is ${slabBytes}, no multiple of ${DEVICE_BLOCK_BYTES}`],
    [slabBytes >= maxGroupBytes, `slabBytes is ${slabBytes}, the largest group needs ${maxGroupBytes}`],
    [slabCount >= SLABS_MIN, `memoryBytes is ${memoryBytes}, ${SLABS_MIN} slabs of ${slabBytes} need more`],
    [trimIntervalMs > 0, `trimIntervalMs is ${trimIntervalMs}, must be above 0`],
    [
      capacityBytes >= CAPACITY_GROUPS_MIN * Math.max(maxGroupBytes, OBJECT_BYTES_MIN),
      `capacityBytes is ${capacityBytes}, ${CAPACITY_GROUPS_MIN} groups of ` +
        `${Math.max(maxGroupBytes, OBJECT_BYTES_MIN)} must fit`,
    ],
  ];
  const problems = checks.flatMap(([isGood, problem]) => (isGood ? [] : [problem]));
  if (problems.length > 0) {
    throw new WalOptionsError(`the sizes of the WAL do not fit together: ${problems.join('; ')}`);
  }
  return {
    groupBytes,
    groupDelayMs,
    putsInFlight,
    maxEntryBytes,
    slabBytes,
    slabCount,
    maxEntries: Math.floor((slabCount * slabBytes) / BYTES_PER_HELD_ENTRY),
    capacityBytes,
    trimIntervalMs,
  };
}
