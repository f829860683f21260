import fs from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { ObjectStoreError } from '../ports/object-store.ts';
import { syncFolder } from './object-files.ts';
import { isSystemError } from './system-error.ts';

/** The folders in which objects lie: made as they are needed, below one that must stay what it was. */
export class ObjectFolders {
  readonly #root: string;
  /** Kept open: an inode that is open is never given to another folder, so an equal number proves that it is the same. */
  readonly #rootFd: number;
  readonly #rootInode: bigint;
  /** Folders whose own names are known to be durable. They are never removed, so this stays true. */
  readonly #durable = new Set<string>();

  private constructor(root: string) {
    this.#root = root;
    this.#rootFd = fs.openSync(root, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    this.#rootInode = fs.fstatSync(this.#rootFd, { bigint: true }).ino;
    this.#durable.add(root);
  }

  /** Creates `root`, whose parent is there, if needed. */
  static async open(root: string): Promise<ObjectFolders> {
    await mkdir(root, { recursive: true });
    await syncFolder(path.dirname(root));
    return new ObjectFolders(root);
  }

  async make(folder: string): Promise<void> {
    if (this.#durable.has(folder)) return;
    const parent = path.dirname(folder);
    await this.make(parent);
    try {
      await mkdir(folder);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    await syncFolder(parent);
    this.#durable.add(folder);
  }

  close(): void {
    fs.closeSync(this.#rootFd);
  }

  /**
   * To be asked before a key counts as free, or trouble as one that passes: without its folder a store is what a bucket is
   * that does not exist. An empty one in its place is another store.
   * @throws {ObjectStoreError} DENIED
   */
  async throwIfGone(): Promise<void> {
    let inode: bigint | undefined;
    try {
      inode = (await stat(this.#root, { bigint: true })).ino;
    } catch (error) {
      // It cannot be looked at, which is not the same.
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) return;
    }
    if (inode === this.#rootInode) return;
    throw new ObjectStoreError(
      'DENIED',
      `${this.#root} was deleted or replaced while it was in use: the objects in it are gone; put them back before the next start`,
    );
  }
}
