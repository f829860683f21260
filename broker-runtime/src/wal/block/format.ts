import { DEVICE_BLOCK_BYTES, type BlockDevice } from '../../ports/block-device.ts';
import type { Env } from '../../ports/env.ts';
import { alignUp } from '../groups/slabs.ts';
import { checkClusterId, LOG_ID_BYTES, type LogOwner } from '../log-owner.ts';
import { WalMismatchError, WalOptionsError } from '../wal.ts';
import type { SuperblockHome } from './checkpointer.ts';
import { WalCorruptionError } from './errors.ts';
import { RING_START_BYTES } from './ring.ts';
import { readSuperblock, writeSuperblock, type Superblock } from './superblock.ts';

/** A superblock of a log that no broker has opened yet. */
const NEVER_OPENED_EPOCH = 0;

/**
 * Makes an empty log on blank devices, in stripe order. Devices that carry this owner's log already are left as
 * they are, so it may be called at every start. Never overwrites anything but zeros and an unfinished format, unless
 * `old` says that the owner's log is given up: everything in it is in objects, and it must not be read any more,
 * because somebody else recovered it up to an end of his own (protocol 3.5 step 8).
 * @returns whether a log was made
 * @throws {WalMismatchError} the devices belong to somebody else, or do not form one set
 * @throws {WalCorruptionError} they hold something, but no readable superblock
 */
export async function formatBlockWal(
  devices: readonly BlockDevice[],
  owner: LogOwner,
  env: Env,
  old: 'kept' | 'given-up' = 'kept',
): Promise<boolean> {
  checkClusterId(owner.clusterId);
  if (devices.length === 0) throw new WalOptionsError('a log needs at least one device, got none');
  const found = await Promise.all(devices.map((device) => readHome(device, env)));
  const homes = found.filter((home) => home !== undefined);
  for (const home of homes) checkOwner(home, owner);
  const used = homes.find((home) => home.newest.nodeEpoch !== NEVER_OPENED_EPOCH);
  if (old === 'given-up') {
    await writeEmptyLog(devices, owner, Math.max(0, ...homes.map(({ newest }) => newest.generation)), env);
    return true;
  }
  if (homes.length === devices.length && (used !== undefined || isOneSet(homes))) {
    checkSet(homes);
    return false;
  }
  if (used !== undefined) {
    const blank = found.indexOf(undefined);
    throw new WalMismatchError(
      `device ${devices[blank]?.name ?? ''} is blank, but ${used.device.name} of the same set holds a log of epoch ` +
        `${used.newest.nodeEpoch}; attach the device that was number ${blank} of ${devices.length}`,
    );
  }
  // Blank, or left by a format that did not finish: with no group in it.
  await writeEmptyLog(devices, owner, 0, env);
  return true;
}

/** Under a new log id, so that no group of an older log can pass for one of this. Newer than any superblock there. */
async function writeEmptyLog(
  devices: readonly BlockDevice[],
  owner: LogOwner,
  newestGeneration: number,
  env: Env,
): Promise<void> {
  const logId = env.random.bytes(LOG_ID_BYTES);
  // An old log has superblocks in both slots.
  const slots = newestGeneration === 0 ? [0] : [0, 1];
  await Promise.all(
    devices.map(async (device, deviceIndex) => {
      const block = device.allocate(DEVICE_BLOCK_BYTES);
      for (const slot of slots) {
        writeSuperblock(
          {
            ...owner,
            logId,
            deviceIndex,
            deviceCount: devices.length,
            capacityBytes: device.capacityBytes,
            generation: newestGeneration + 1 + slot,
            nodeEpoch: NEVER_OPENED_EPOCH,
            startPosition: 0,
            startSequence: 1,
            ackedUpTo: 0,
            windowGroups: 0,
            maxGroupBytes: alignUp(1),
          },
          block,
        );
        await device.write(slot * DEVICE_BLOCK_BYTES, block);
      }
    }),
  );
  env.events.info('wal.formatted', { ...owner, devices: devices.length });
}

/** Whether no device holds a log of anybody. @throws {WalCorruptionError} one holds something unreadable */
export async function isBlank(devices: readonly BlockDevice[], env: Env): Promise<boolean> {
  const homes = await Promise.all(devices.map((device) => readHome(device, env)));
  return homes.every((home) => home === undefined);
}

/**
 * The superblocks of a stripe set that holds this owner's log.
 * @throws {WalMismatchError}
 * @throws {WalCorruptionError}
 */
export async function readHomes(
  devices: readonly BlockDevice[],
  owner: LogOwner,
  env: Env,
): Promise<SuperblockHome[]> {
  const homes = await Promise.all(
    devices.map(async (device) => {
      const home = await readHome(device, env);
      if (home !== undefined) return home;
      throw new WalMismatchError(
        `device ${device.name} is blank: it holds no log to recover; attach the right device, or format it`,
      );
    }),
  );
  for (const home of homes) checkOwner(home, owner);
  checkSet(homes);
  return homes;
}

/** The newer superblock of a device, or undefined when the device was never written. */
async function readHome(device: BlockDevice, env: Env): Promise<SuperblockHome | undefined> {
  const bytes = device.allocate(RING_START_BYTES + DEVICE_BLOCK_BYTES);
  await device.read(0, bytes);
  const slots = [0, 1].map((slot) =>
    bytes.subarray(slot * DEVICE_BLOCK_BYTES, (slot + 1) * DEVICE_BLOCK_BYTES),
  );
  let newest: Superblock | undefined;
  let newestSlot = 0;
  let unreadable = 0;
  for (const [slot, block] of slots.entries()) {
    const superblock = readSuperblock(block);
    if (superblock === undefined) unreadable++;
    else if (newest === undefined || superblock.generation > newest.generation) {
      newest = superblock;
      newestSlot = slot;
    }
  }
  if (newest === undefined) {
    // The first group ever written stands where the ring begins, so zeros there say that there never was one.
    if (bytes.every((byte) => byte === 0)) return undefined;
    throw new WalCorruptionError(
      'neither superblock can be read, and the device is not blank (if it holds no log of ours, wipe its first ' +
        `${RING_START_BYTES + DEVICE_BLOCK_BYTES} bytes)`,
      { device: device.name, position: 0, deviceOffset: 0, lengthBytes: RING_START_BYTES },
    );
  }
  if (unreadable > 0 && newest.nodeEpoch !== NEVER_OPENED_EPOCH) {
    // Harmless: no space is reused before both superblocks agree to it. It is written again soon.
    env.events.warn('wal.superblock.damaged', { device: device.name, slot: 1 - newestSlot });
  }
  return { device, newest, newestSlot };
}

function checkOwner({ device, newest }: SuperblockHome, owner: LogOwner): void {
  if (newest.clusterId === owner.clusterId && newest.nodeId === owner.nodeId) return;
  throw new WalMismatchError(
    `device ${device.name} holds the log of node ${newest.nodeId} of cluster ${newest.clusterId}, wanted is node ` +
      `${owner.nodeId} of cluster ${owner.clusterId}; attach the right device, or wipe this one to give its log up`,
  );
}

/** All devices of one set, in their order, each of the size its log was made for. */
function checkSet(homes: readonly SuperblockHome[]): void {
  for (const [index, { device, newest }] of homes.entries()) {
    if (newest.deviceIndex !== index || newest.deviceCount !== homes.length) {
      throw new WalMismatchError(
        `device ${device.name} is number ${newest.deviceIndex} of a set of ${newest.deviceCount}, it was given as ` +
          `number ${index} of ${homes.length}; give all devices of the set in their order`,
      );
    }
    if (newest.capacityBytes !== device.capacityBytes) {
      throw new WalMismatchError(
        `device ${device.name} has ${device.capacityBytes} bytes, its log was made for ${newest.capacityBytes}; ` +
          'a log cannot be resized: drain it, wipe the device and format it',
      );
    }
  }
  if (!isOneSet(homes)) {
    throw new WalMismatchError(
      `devices ${homes.map(({ device }) => device.name).join(', ')} belong to logs that were formatted apart; ` +
        'give the devices of one set',
    );
  }
}

function isOneSet(homes: readonly SuperblockHome[]): boolean {
  const [first] = homes;
  return homes.every(({ newest }) => first !== undefined && equalBytes(newest.logId, first.newest.logId));
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
