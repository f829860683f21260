import { link, mkdir, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { ClosedError, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../ports/object-store.ts';
import { FileLock } from './file-lock.ts';
import { Gate } from '../base/gate.ts';
import { openObject, pathOfKey, readFully, syncFolder, writeObject } from './object-files.ts';
import {
  checkDelete,
  checkKey,
  checkListing,
  checkRange,
  MAX_LIST_KEYS,
  notFound,
  resolveRange,
} from './object-requests.ts';
import { ObjectFolders } from './object-folders.ts';
import { keysOf } from './object-listing.ts';
import { isSystemError } from './system-error.ts';

/** Node's pool has 4 threads by default; more requests than this only queue there, before the WAL's. */
const MAX_CONCURRENT_REQUESTS = 16;

/** Files that one listing has open at a time, to read their sizes and tags. */
const MAX_FILES_A_LISTING = 8;

/** A temporary file of this age has no writer any more: one that wrote it died. */
const TEMP_FILE_MAX_AGE_MS = 10 * 60_000;

/** How long a compare-and-swap or delete waits for other processes before it answers "conflict". */
const LOCK_WAIT_MS = 2_000;
const LOCK_RETRY_MS = 5;

/**
 * An object store in a folder, for one machine. Several processes may use one folder.
 *
 * A write goes to a temporary file, is made durable, and gets its name in one atomic step: `link` for
 * put-if-absent (it fails when the name is taken), `rename` for compare-and-swap. Only the latter needs a lock
 * between processes, because comparing and renaming are two steps; deletes take it too. Every answer is given
 * after the folder was synced, so what was reported survives a loss of power.
 */
export class FileObjectStore implements ObjectStore {
  readonly #env: Env;
  readonly #objects: string;
  readonly #temporary: string;
  readonly #lock: FileLock;
  readonly #requests = new Gate(MAX_CONCURRENT_REQUESTS);
  readonly #exclusive = new Gate(1);
  readonly #folders: ObjectFolders;
  #isClosed = false;

  private constructor(env: Env, folder: string, objects: string, folders: ObjectFolders) {
    this.#env = env;
    this.#objects = objects;
    this.#folders = folders;
    this.#temporary = path.join(path.resolve(folder), 'temporary');
    this.#lock = new FileLock(path.join(folder, 'lock'));
  }

  /** Creates the folder if needed and removes what dead writers left behind. */
  static async open(env: Env, folder: string): Promise<FileObjectStore> {
    await mkdir(folder, { recursive: true });
    const objects = path.join(path.resolve(folder), 'objects');
    const store = new FileObjectStore(env, folder, objects, await ObjectFolders.open(objects));
    await mkdir(store.#temporary, { recursive: true });
    await syncFolder(folder);
    await store.#removeAbandoned();
    return store;
  }

  async put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    checkKey(key);
    return this.#request(async () => {
      const temporary = path.join(this.#temporary, this.#env.random.uuid());
      const etag = this.#env.random.uuid().replaceAll('-', '');
      try {
        const target = pathOfKey(this.#objects, key);
        await writeObject(temporary, body, etag);
        if (condition.kind === 'absent') return await this.#linkIfAbsent(temporary, target, etag);
        return await this.#exclusively(() => this.#renameIfMatch(temporary, target, etag, condition.etag));
      } catch (error) {
        if (error instanceof MillraceError) throw error;
        if (isDenied(error)) throw denied('put', key, error);
        await this.#folders.throwIfGone();
        return { outcome: 'unknown', cause: error };
      } finally {
        // If even this fails the next open removes it: the outcome is known and must be told.
        await rm(temporary, { force: true }).catch(() => undefined);
      }
    });
  }

  async get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    checkKey(key);
    if (range !== undefined) checkRange(key, range);
    return this.#read('get', key, async () => {
      const object = await openObject(pathOfKey(this.#objects, key));
      if (object === undefined) {
        await this.#folders.throwIfGone();
        throw notFound(key);
      }
      const { handle, sizeBytes, etag } = object;
      try {
        const start = range === undefined ? 0 : resolveRange(key, range, sizeBytes);
        const body = into ?? new Uint8Array(range === undefined ? sizeBytes : range.length);
        await readFully(handle, body, start);
        return { body, etag, sizeBytes };
      } finally {
        await handle.close();
      }
    });
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    return this.#read('head', key, async () => {
      const info = await this.#info(key);
      if (info === undefined) await this.#folders.throwIfGone();
      return info;
    });
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<ListPage> {
    const limit = options.limit ?? MAX_LIST_KEYS;
    checkListing(prefix, limit);
    return this.#read('list', prefix, async () => {
      const keys = await keysOf(this.#objects, { prefix, after: options.after, count: limit + 1 });
      const page = keys.slice(0, limit);
      const openFiles = new Gate(MAX_FILES_A_LISTING);
      const infos = await Promise.all(page.map((key) => openFiles.run(() => this.#info(key))));
      const objects = infos.filter((info) => info !== undefined);
      return { objects, next: keys.length > limit ? page.at(-1) : undefined };
    });
  }

  async delete(keys: readonly string[]): Promise<void> {
    checkDelete(keys);
    const outcome = await this.#read('delete', keys[0] ?? '', () =>
      this.#exclusively(async () => {
        const folders = new Set<string>();
        for (const key of keys) {
          const file = pathOfKey(this.#objects, key);
          if (await unlinkIfPresent(file)) folders.add(path.dirname(file));
        }
        for (const folder of folders) await syncFolder(folder);
        if (folders.size === 0) await this.#folders.throwIfGone();
        return { outcome: 'deleted' } as const;
      }),
    );
    if (outcome.outcome === 'conflict') {
      throw new ObjectStoreError('UNAVAILABLE', `delete: the lock was not free for ${LOCK_WAIT_MS} ms`);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#requests.idle();
    this.#folders.close();
    this.#lock.close();
  }

  async #linkIfAbsent(temporary: string, target: string, etag: string): Promise<PutOutcome> {
    const folder = path.dirname(target);
    await this.#folders.make(folder);
    let outcome: PutOutcome = { outcome: 'committed', etag };
    try {
      await link(temporary, target);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
      outcome = { outcome: 'rejected', reason: 'exists' };
    }
    // Also when rejected: what we tell about the occupant must not vanish either.
    await syncFolder(folder);
    return outcome;
  }

  async #renameIfMatch(
    temporary: string,
    target: string,
    etag: string,
    expected: string,
  ): Promise<PutOutcome> {
    const occupant = await openObject(target);
    if (occupant === undefined) {
      await this.#folders.throwIfGone();
      return { outcome: 'rejected', reason: 'missing' };
    }
    await occupant.handle.close();
    if (occupant.etag !== expected) return { outcome: 'rejected', reason: 'changed' };
    await rename(temporary, target);
    await syncFolder(path.dirname(target));
    return { outcome: 'committed', etag };
  }

  /** Runs `task` while no other compare-and-swap or delete runs, here or in another process. */
  #exclusively<T>(task: () => Promise<T>): Promise<T | { readonly outcome: 'conflict' }> {
    return this.#exclusive.run(async () => {
      const untilMs = this.#env.clock.monotonicMs() + LOCK_WAIT_MS;
      while (!this.#lock.tryAcquire()) {
        if (this.#env.clock.monotonicMs() > untilMs) return { outcome: 'conflict' };
        await this.#env.clock.sleep(LOCK_RETRY_MS + this.#env.random.below(LOCK_RETRY_MS));
      }
      try {
        return await task();
      } finally {
        this.#lock.release();
      }
    });
  }

  async #info(key: string): Promise<ObjectInfo | undefined> {
    const object = await openObject(pathOfKey(this.#objects, key));
    if (object === undefined) return undefined;
    await object.handle.close();
    return { key, sizeBytes: object.sizeBytes, etag: object.etag };
  }

  async #removeAbandoned(): Promise<void> {
    const oldestMs = this.#env.clock.wallMs() - TEMP_FILE_MAX_AGE_MS;
    let removed = 0;
    for (const name of await readdir(this.#temporary)) {
      const file = path.join(this.#temporary, name);
      try {
        if ((await stat(file)).mtimeMs > oldestMs) continue;
        await unlink(file);
        removed++;
      } catch (error) {
        // Its writer lives and was done with it between our two steps.
        if (!isSystemError(error, 'ENOENT')) throw error;
      }
    }
    if (removed > 0) this.#env.events.info('object-files.abandoned-removed', { files: removed });
  }

  #request<T>(task: () => Promise<T>): Promise<T> {
    return this.#requests.run(() => {
      if (this.#isClosed) throw new ClosedError('the object store is closed');
      return task();
    });
  }

  async #read<T>(operation: string, key: string, task: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ClosedError('the object store is closed');
    try {
      return await this.#request(task);
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      if (isDenied(error)) throw denied(operation, key, error);
      await this.#folders.throwIfGone();
      throw new ObjectStoreError('UNAVAILABLE', `${operation} of ${key}: ${String(error)}`, { cause: error });
    }
  }
}

async function unlinkIfPresent(file: string): Promise<boolean> {
  try {
    await unlink(file);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

function isDenied(error: unknown): boolean {
  return isSystemError(error, 'EACCES', 'EPERM', 'EROFS');
}

function denied(operation: string, key: string, cause: unknown): ObjectStoreError {
  return new ObjectStoreError('DENIED', `${operation} of ${key} is not allowed: ${String(cause)}`, { cause });
}
