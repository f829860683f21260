import fs from 'node:fs';
import { open, readFile, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BlockDeviceError, DEVICE_BLOCK_BYTES } from '../ports/block-device.ts';
import type { BlockDeviceErrorCode } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import { allocateAligned } from './aligned-memory.ts';
import { FileLock } from './file-lock.ts';
import { syncFolder } from './object-files.ts';
import { isSystemError, systemErrorCode } from './system-error.ts';

/** `exclusive`: for this process alone. `shared`: others may have it too. `read`: as shared, and never written to. */
export type DeviceAccess = 'exclusive' | 'shared' | 'read';

/** An open device or file. */
export interface DeviceFile {
  readonly fd: number;
  readonly capacityBytes: number;
  /** A write is durable when it returns (O_DSYNC); else it must be followed by fdatasync. */
  readonly isSynchronous: boolean;
  /** It has no name any more, and goes when it is closed. */
  isDeleted(): boolean;
  close(): void;
}

/** How much of a new file is written between two looks at the progress. */
const PREPARE_CHUNK_BYTES = 4 * 1024 * 1024;
const PROGRESS_EVENTS = 10;

/** Linux counts the size of a device in these, whatever its own sectors are. */
const SYSFS_SECTOR_BYTES = 512;

/** From best to worst. macOS has no O_DIRECT, some file systems refuse it with EINVAL. */
const MODES = [
  { name: 'direct', flags: flag('O_DIRECT') | flag('O_DSYNC'), isSynchronous: true },
  { name: 'buffered-dsync', flags: flag('O_DSYNC'), isSynchronous: true },
  { name: 'buffered-fdatasync', flags: 0, isSynchronous: false },
].filter((mode) => !mode.isSynchronous || flag('O_DSYNC') !== 0);

/** Opens; creates a file of `createBytes` zeros when nothing is there. @throws {BlockDeviceError} */
export async function openDeviceFile(
  env: Env,
  file: string,
  createBytes: number | undefined,
  access: DeviceAccess,
): Promise<DeviceFile> {
  const forAccess = access === 'read' ? fs.constants.O_RDONLY : fs.constants.O_RDWR;
  const existing = await statIfPresent(file);
  if (existing?.isBlockDevice() === true) {
    const capacityBytes = await sizeOfDevice(file, existing.rdev);
    // The kernel gives O_EXCL on a device to one opener, until it closes or dies.
    const exclusive = access === 'exclusive' ? fs.constants.O_EXCL : 0;
    return openBest(env, file, capacityBytes, forAccess | exclusive, () => undefined);
  }
  if (existing !== undefined && !existing.isFile()) {
    throw new BlockDeviceError('UNSUITABLE', `${file} is neither a block device nor a file`);
  }
  const lock = access === 'exclusive' ? holdFile(file) : undefined;
  try {
    if (existing === undefined) await createFile(env, file, createBytes);
    const { size } = fs.statSync(file);
    return await openBest(env, file, size, forAccess, () => lock?.close());
  } catch (error) {
    lock?.close();
    throw error;
  }
}

/** A file has no exclusive open of its own, so the hold is a lock beside it. */
function holdFile(file: string): FileLock {
  let lock: FileLock;
  try {
    lock = new FileLock(`${file}.lock`);
  } catch (error) {
    throw new BlockDeviceError('UNSUITABLE', `${file}.lock cannot be created: ${String(error)}`, {
      cause: error,
    });
  }
  if (lock.tryHold()) return lock;
  lock.close();
  throw busy(file);
}

async function openBest(
  env: Env,
  file: string,
  sizeBytes: number,
  flags: number,
  release: () => void,
): Promise<DeviceFile> {
  if (sizeBytes < DEVICE_BLOCK_BYTES || sizeBytes % DEVICE_BLOCK_BYTES !== 0) {
    throw new BlockDeviceError(
      'UNSUITABLE',
      `${file} has ${sizeBytes} bytes; a whole number of ${DEVICE_BLOCK_BYTES} is needed, at least one`,
    );
  }
  for (const mode of MODES) {
    const fd = tryOpen(file, flags | mode.flags);
    if (fd === undefined) continue;
    if (!canRead(fd)) {
      fs.closeSync(fd);
      continue;
    }
    const tell = mode.name === 'direct' ? 'info' : 'warn';
    env.events[tell]('block-device.opened', { device: file, capacityBytes: sizeBytes, mode: mode.name });
    const close = (): void => {
      fs.closeSync(fd);
      release();
    };
    const isDeleted = (): boolean => fs.fstatSync(fd).nlink === 0;
    return { fd, capacityBytes: sizeBytes, isSynchronous: mode.isSynchronous, isDeleted, close };
  }
  throw new BlockDeviceError('UNSUITABLE', `${file} can be opened in no mode`);
}

/** Undefined when this mode is refused. @throws {BlockDeviceError} when every mode would be */
function tryOpen(file: string, flags: number): number | undefined {
  try {
    return fs.openSync(file, flags);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EINVAL') return undefined;
    if (code === 'EBUSY') throw busy(file);
    const known: BlockDeviceErrorCode = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENXIO'].includes(code ?? '')
      ? 'UNSUITABLE'
      : 'IO';
    throw new BlockDeviceError(known, `${file} cannot be opened: ${String(error)}`, {
      cause: error,
    });
  }
}

/** Some file systems take O_DIRECT at open and refuse it, or blocks of our size, at the first read. */
function canRead(fd: number): boolean {
  try {
    fs.readSync(fd, allocateAligned(DEVICE_BLOCK_BYTES), 0, DEVICE_BLOCK_BYTES, 0);
    return true;
  } catch (error) {
    if (isSystemError(error, 'EINVAL')) return false;
    throw new BlockDeviceError('IO', `the first block cannot be read: ${String(error)}`, { cause: error });
  }
}

/**
 * Writes every byte once: writes into a file that is only reserved (sparse, fallocate) change metadata too, and
 * were 1.4 to 1.8 times slower. The name appears when all is durable, so a crash leaves no half-made device.
 */
async function createFile(env: Env, file: string, createBytes: number | undefined): Promise<void> {
  if (createBytes === undefined) {
    throw new BlockDeviceError('UNSUITABLE', `${file} does not exist: name a device, or a size to create it`);
  }
  if (createBytes < DEVICE_BLOCK_BYTES || createBytes % DEVICE_BLOCK_BYTES !== 0) {
    throw new BlockDeviceError(
      'UNSUITABLE',
      `${file} cannot be created with ${createBytes} bytes: a whole number of ${DEVICE_BLOCK_BYTES} is needed`,
    );
  }
  const unfinished = `${file}.preparing`;
  const progress = (bytes: number): void => {
    env.events.info('block-device.preparing', { device: file, bytes, ofBytes: createBytes });
  };
  try {
    await rm(unfinished, { force: true });
    await writeZeros(unfinished, createBytes, progress);
    await rename(unfinished, file);
    await syncFolder(path.dirname(file));
  } catch (error) {
    await rm(unfinished, { force: true });
    const why = isSystemError(error, 'ENOSPC', 'EDQUOT')
      ? `it needs ${createBytes} bytes, and its file system has ${await freeBytes(file)}; make room, or choose a smaller size`
      : String(error);
    throw new BlockDeviceError('UNSUITABLE', `${file} cannot be created: ${why}`, { cause: error });
  }
}

async function freeBytes(file: string): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(path.dirname(file));
    return `${bavail * bsize} free`;
  } catch {
    return 'less';
  }
}

async function writeZeros(file: string, sizeBytes: number, progress: (bytes: number) => void): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    const zeros = new Uint8Array(Math.min(PREPARE_CHUNK_BYTES, sizeBytes));
    let told = 0;
    for (let at = 0; at < sizeBytes;) {
      const length = Math.min(zeros.length, sizeBytes - at);
      const { bytesWritten } = await handle.write(zeros, 0, length, at);
      at += bytesWritten;
      const tenths = Math.floor((at / sizeBytes) * PROGRESS_EVENTS);
      if (tenths > told) progress(at);
      told = tenths;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Node has no ioctl and no seek; Linux tells the size of a device by its number. */
async function sizeOfDevice(file: string, rdev: number): Promise<number> {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + Math.floor(rdev / 0x10_0000) * 256;
  const source = `/sys/dev/block/${major}:${minor}/size`;
  try {
    return Number.parseInt(await readFile(source, 'latin1'), 10) * SYSFS_SECTOR_BYTES;
  } catch (error) {
    throw new BlockDeviceError('UNSUITABLE', `the size of ${file} is not known: ${String(error)}`, {
      cause: error,
    });
  }
}

async function statIfPresent(file: string): Promise<fs.Stats | undefined> {
  try {
    return await fs.promises.stat(file);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw new BlockDeviceError('UNSUITABLE', `${file} cannot be looked at: ${String(error)}`, {
      cause: error,
    });
  }
}

function busy(file: string): BlockDeviceError {
  return new BlockDeviceError('BUSY', `${file} is held by another process: stop that one first`);
}

function flag(name: 'O_DIRECT' | 'O_DSYNC'): number {
  return (fs.constants as Readonly<Record<string, number | undefined>>)[name] ?? 0;
}
