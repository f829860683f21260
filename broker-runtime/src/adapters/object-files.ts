import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { CorruptionError } from '../base/errors.ts';
import { isSystemError } from './system-error.ts';

/*
 * How objects lie in a folder.
 *
 *   key  wal/7/a.B   file  wal/7/a.^b~      (directories are segments, the file ends in ~)
 *
 * `~` and `^` are not in the alphabet of keys: so "a" (file a~) and "a/b" (directory a) live side by side, and
 * "A" (^a) and "a" differ on file systems that ignore case.
 *
 * A file is the object's bytes, then a trailer of 24 bytes:
 *   16  etag, random: unique for every write, so equal bytes written twice differ
 *    8  "MILLOBJ1"
 */
const FILE_SUFFIX = '~';
const TRAILER_MAGIC = Buffer.from('MILLOBJ1', 'latin1');
const ETAG_BYTES = 16;
export const TRAILER_BYTES = ETAG_BYTES + TRAILER_MAGIC.length;

/** Linux takes at most 1024 pieces in one writev (IOV_MAX). */
const MAX_PIECES_A_WRITE = 1024;

export function pathOfKey(root: string, key: string): string {
  return path.join(root, ...key.split('/').map(encodeSegment)) + FILE_SUFFIX;
}

/** The last segment of the key that a file holds; undefined for files that are not ours. */
export function segmentOfFile(fileName: string): string | undefined {
  return fileName.endsWith(FILE_SUFFIX) ? decodeSegment(fileName.slice(0, -FILE_SUFFIX.length)) : undefined;
}

export function segmentOfFolder(folderName: string): string {
  return decodeSegment(folderName);
}

function encodeSegment(segment: string): string {
  return segment.replace(/[A-Z]/g, (letter) => `^${letter.toLowerCase()}`);
}

function decodeSegment(name: string): string {
  return name.replace(/\^([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** An open object: what it holds does not change, whatever happens to its name. */
export interface OpenObject {
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly etag: string;
}

/** Opens an object for reading; undefined when the file does not exist. @throws {CorruptionError} */
export async function openObject(file: string): Promise<OpenObject | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    const sizeBytes = (await handle.stat()).size - TRAILER_BYTES;
    if (sizeBytes < 0) throw new CorruptionError(`${file} is shorter than the trailer of an object`);
    const trailer = Buffer.alloc(TRAILER_BYTES);
    await readFully(handle, trailer, sizeBytes);
    if (!trailer.subarray(ETAG_BYTES).equals(TRAILER_MAGIC)) {
      throw new CorruptionError(`${file} does not end in the trailer of an object`);
    }
    return { handle, sizeBytes, etag: trailer.toString('hex', 0, ETAG_BYTES) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Writes a new file with body and trailer and makes its content durable. */
export async function writeObject(file: string, body: readonly Uint8Array[], etag: string): Promise<void> {
  const handle = await open(file, 'wx', 0o640);
  try {
    const pieces = [...body, Buffer.from(etag, 'hex'), TRAILER_MAGIC];
    for (let at = 0; at < pieces.length; at += MAX_PIECES_A_WRITE) {
      await writeFully(handle, pieces.slice(at, at + MAX_PIECES_A_WRITE));
    }
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function writeFully(handle: FileHandle, pieces: Uint8Array[]): Promise<void> {
  let left = pieces.filter((piece) => piece.length > 0);
  while (left.length > 0) {
    let { bytesWritten } = await handle.writev(left);
    if (bytesWritten === 0) throw new Error('the file system accepted no bytes');
    // A short write is legal (a signal, a nearly full disk): go on where it stopped.
    const rest: Uint8Array[] = [];
    for (const piece of left) {
      if (bytesWritten < piece.length) rest.push(piece.subarray(bytesWritten));
      bytesWritten = Math.max(0, bytesWritten - piece.length);
    }
    left = rest;
  }
}

/** @throws {CorruptionError} when the file ends early */
export async function readFully(handle: FileHandle, into: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) {
      throw new CorruptionError(`a file ends at ${position + done}, ${into.length - done} bytes early`);
    }
    done += bytesRead;
  }
}

/** Makes the names in a folder durable: what was linked, renamed or unlinked there. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
