import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../base/errors.ts';
import { FileLock } from './file-lock.ts';

/** Two processes on one data folder would overwrite each other's write-ahead log. */
export class FolderLockedError extends MillraceError {
  readonly code = 'FOLDER_LOCKED';
}

export interface FolderLock {
  release(): void;
}

/** In every folder that is held; nothing makes it anew but {@link lockFolder}. */
export const LOCK_FILE = 'lock';

/**
 * Holds a data folder for this process, until release or death of the process; creates the folder if needed.
 * @throws {FolderLockedError} when another process, or another part of this one, holds it
 */
export function lockFolder(folder: string): FolderLock {
  mkdirSync(folder, { recursive: true });
  const lock = new FileLock(path.join(folder, LOCK_FILE));
  if (!lock.tryHold()) {
    lock.close();
    throw new FolderLockedError(
      `the folder ${path.resolve(folder)} is held by another process: stop that one, or use another folder`,
    );
  }
  return { release: () => lock.close() };
}
