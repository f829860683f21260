import {
  checkSizes,
  memorySettingsOf,
  type MemoryOptions,
  type MemorySettings,
} from '../groups/memory-settings.ts';

/*
 * What the default window costs. S3 Standard takes 0.005 USD for 1,000 puts and 0.0004 USD for 1,000 gets (us-east-1).
 * A group that is not full starts 100 ms after the one before, so a broker that always has a little to write makes 10
 * puts and at most 10 gets of the fence a second: 0.000054 USD/s, 140 USD a month. An idle one pays nothing. From
 * 20 MiB/s on groups are full, and each further 2 MiB/s is a put more a second: 13 USD a month. Half the window is
 * twice the price under light load, and half the wait.
 */
export interface ObjectWalOptions extends MemoryOptions {
  /** Strictly above every epoch the fence has named (I22, I31). */
  readonly nodeEpoch: number;
  /** Default 2 MiB. */
  readonly groupBytes?: number;
  /** A group that is not full starts no sooner after the one before. Default 100 ms. */
  readonly groupDelayMs?: number;
  /** Puts under way at once. Default 4. */
  readonly putsInFlight?: number;
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
/** Else the first group would wait for its own upload. */
const CAPACITY_GROUPS_MIN = 4;

/** The options with their defaults, and what follows from them. */
export interface ObjectWalSettings extends MemorySettings {
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
    capacityBytes = 1024 * MIB,
    trimIntervalMs = 1000,
  } = options;
  const { settings, checks } = memorySettingsOf({ ...options, groupBytes }, headBytes);
  const largestBytes = Math.max(settings.maxGroupBytes, OBJECT_BYTES_MIN);
  checkSizes(
    ...checks,
    [groupDelayMs >= 0, `groupDelayMs is ${groupDelayMs}, allowed from 0 on`],
    [putsInFlight >= 1, `putsInFlight is ${putsInFlight}, allowed from 1 on`],
    [trimIntervalMs > 0, `trimIntervalMs is ${trimIntervalMs}, must be above 0`],
    [
      capacityBytes >= CAPACITY_GROUPS_MIN * largestBytes,
      `capacityBytes is ${capacityBytes}, ${CAPACITY_GROUPS_MIN} groups of ${largestBytes} must fit`,
    ],
  );
  return { ...settings, groupDelayMs, putsInFlight, capacityBytes, trimIntervalMs };
}
