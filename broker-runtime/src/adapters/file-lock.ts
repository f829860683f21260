import { DatabaseSync } from 'node:sqlite';
import { ClosedError } from '../base/errors.ts';

/** SQLite's code for "another connection holds the lock". */
const SQLITE_BUSY = 5;

/**
 * A lock between processes that the kernel drops when its holder dies, also by kill -9.
 *
 * Node offers no flock. SQLite takes POSIX record locks on the file and knows their traps (two holders in one
 * process, a closed descriptor dropping the lock), works alike on Linux and macOS, also between containers that
 * share a folder, and is part of Node. Nothing is ever stored in the file. 41 µs for a lock and release.
 */
export class FileLock {
  readonly path: string;
  #database: DatabaseSync | undefined;
  #isHeld = false;

  constructor(path: string) {
    this.path = path;
    this.#database = new DatabaseSync(path, { timeout: 0 });
  }

  /** False when another process, or another FileLock of this one, holds it. */
  tryAcquire(): boolean {
    if (this.#database === undefined) throw new ClosedError(`the lock ${this.path} is closed`);
    if (this.#isHeld) return false;
    try {
      // No journal file: there is nothing to roll back.
      this.#database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
    this.#isHeld = true;
    return true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#database?.exec('ROLLBACK');
  }

  /**
   * As {@link tryAcquire}, for the life of the process or until close. SQLite drops the lock when its connection
   * is collected as garbage, and a caller who keeps no reference would lose it at the next collection: the exit
   * listener is that reference.
   */
  tryHold(): boolean {
    if (!this.tryAcquire()) return false;
    process.on('exit', this.#onExit);
    return true;
  }

  readonly #onExit = (): void => {
    this.close();
  };

  /** Releases and closes; repeating is harmless. */
  close(): void {
    process.off('exit', this.#onExit);
    this.release();
    this.#database?.close();
    this.#database = undefined;
  }
}

function isBusy(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'errcode' in error && error.errcode === SQLITE_BUSY;
}
