import fs from 'node:fs';
import path from 'node:path';
import { BlockDeviceError, type BlockDevice } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import { deletedError, DirectBlockDevice } from './direct-block-device.ts';
import type { FileReservation } from './file-reservation.ts';
import { syncFolder } from './object-files.ts';

export type SharedFileOptions =
  /** To read a log that was fenced, beside its owner, whoever that is and whether it still lives. */
  | { readonly fresh: false }
  /** To write: a new file, in the place of the one that is there. `ownKey` holds the reservation. */
  | {
      readonly fresh: true;
      readonly reservation: FileReservation;
      readonly ownKey: number;
      readonly createBytes: number;
      /** Makes the file what it shall be before it takes the place of the old one. */
      readonly prepare?: (device: BlockDevice) => Promise<unknown>;
    };

/**
 * Opens a file that several processes share as if it were a volume attached to several hosts.
 *
 * Nobody writes to a file that another process wrote to before: after a takeover the owner before may be stopped in
 * the middle of a write, one that was allowed when it began, and nothing recalls it. It lands whenever that process
 * goes on, be it in an hour (protocol 3.1, B9 and B11: region reused without a drain, acknowledged record
 * overwritten). So whoever claims the slot, once it is CLEAN, writes a new file and renames it into place. The late
 * write lands in the old one, which has no name any more and is gone when that process is.
 *
 * The rename happens while the reservation is held for certain: a claimant that was stopped just before would else
 * put its blank file over the log of the one that came after it.
 */
export async function openSharedFile(
  env: Env,
  file: string,
  options: SharedFileOptions,
): Promise<BlockDevice> {
  if (!options.fresh) return DirectBlockDevice.open(env, file, { access: 'read' });
  const { reservation, ownKey, createBytes, prepare } = options;
  // A key is used by one process only, so is the name.
  const fresh = `${file}${FRESH}${ownKey}`;
  fs.rmSync(fresh, { force: true });
  const device = await DirectBlockDevice.open(env, fresh, { createBytes, access: 'shared' });
  try {
    await prepare?.(device);
    await reservation.whileHeld(ownKey, () => {
      fs.renameSync(fresh, file);
      removeUnfinished(file);
    });
    await syncFolder(path.dirname(file));
  } catch (error) {
    await device.close();
    fs.rmSync(fresh, { force: true });
    throw error;
  }
  return new SharedFile(file, device, reservation, ownKey);
}

const FRESH = '.fresh-';

/** What claimants left that died before the rename. One that still lives finds its file gone, and is fenced anyway. */
function removeUnfinished(file: string): void {
  const folder = path.dirname(file);
  for (const name of fs.readdirSync(folder)) {
    if (name.startsWith(`${path.basename(file)}${FRESH}`))
      fs.rmSync(path.join(folder, name), { force: true });
  }
}

/** A device that asks, after each write, whether it still was the holder's. */
class SharedFile implements BlockDevice {
  readonly name: string;
  readonly isExclusive = false;
  readonly #device: DirectBlockDevice;
  readonly #reservation: FileReservation;
  readonly #ownKey: number;

  constructor(name: string, device: DirectBlockDevice, reservation: FileReservation, ownKey: number) {
    this.name = name;
    this.#device = device;
    this.#reservation = reservation;
    this.#ownKey = ownKey;
  }

  get capacityBytes(): number {
    return this.#device.capacityBytes;
  }

  allocate(bytes: number): Uint8Array {
    return this.#device.allocate(bytes);
  }

  read(position: number, into: Uint8Array): Promise<void> {
    return this.#device.read(position, into);
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    // As a device refuses at admission. It spares the file what is not allowed; nothing relies on it.
    this.#check(position);
    await this.#device.write(position, bytes);
    // Everything relies on this one: a takeover that it does not see has not read yet, and will find the write.
    this.#check(position);
  }

  close(): Promise<void> {
    return this.#device.close();
  }

  #check(position: number): void {
    const isHeld = this.#reservation.isHeldBy(this.#ownKey);
    // The reservation is a file beside it, and gone with it. Another file in its place means a takeover, which FENCED tells.
    if (this.#device.isDeleted() && (isHeld || !fs.existsSync(this.name)))
      throw deletedError(this.name, position);
    if (isHeld) return;
    throw new BlockDeviceError(
      'FENCED',
      `${this.name}: write at ${position}: another host holds the reservation`,
    );
  }
}
