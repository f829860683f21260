import { ObjectStoreError } from '../ports/object-store.ts';
import { CorruptionError, messageOf } from '../base/errors.ts';
import { HEADER_BYTES } from './object-format/layout.ts';
import { readHeader } from './object-format/object-index.ts';
import { DATA_PREFIX, objectIdOfKey, objectKey } from './object-key.ts';
import type { StoreContext } from './options.ts';

/** Keys of one delete request: what the port allows. */
const KEYS_PER_DELETE = 1000;

export interface ScrubReport {
  readonly scannedObjects: number;
  /** Orphans old enough to be deleted; deleted unless it was a dry run. */
  readonly orphans: readonly string[];
  /** Nobody knows them, but they are young: perhaps of a broker whose news has not arrived. */
  readonly youngOrphans: readonly string[];
  /** Keys under `data/` that are no objects of ours, or whose header cannot be read: for a person to look at. */
  readonly strangers: readonly string[];
}

/**
 * Deletes what the manifest declared dead, and nothing else (I24): never by age, never by the order of ids. The
 * bytes go first and the record last, so a crash in between only repeats a delete.
 */
export class GarbageCollector {
  readonly #context: StoreContext;
  #isRunning = false;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  /** One round. Returns how many objects were removed. Without garbage it makes no request at all. */
  async run(): Promise<number> {
    if (this.#isRunning) return 0;
    this.#isRunning = true;
    try {
      return await this.#round();
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
      this.#context.env.events.warn('store.garbage-trouble', { reason: messageOf(error) });
      return 0;
    } finally {
      this.#isRunning = false;
    }
  }

  async #round(): Promise<number> {
    const { env, manifest, objects, options } = this.#context;
    await manifest.expirePrepared(env.clock.wallMs());
    const dead = manifest.destroyedObjects(env.clock.wallMs() - options.deleteDelayMs);
    for (let at = 0; at < dead.length; at += KEYS_PER_DELETE) {
      const ids = dead.slice(at, at + KEYS_PER_DELETE).map((object) => object.objectId);
      await objects.delete(ids.map(objectKey));
      await manifest.removeObjects(ids);
    }
    if (dead.length > 0) env.events.info('store.garbage-removed', { objects: dead.length });
    return dead.length;
  }

  /**
   * Lists all data objects and finds those the manifest does not know: uploads that landed after their id had been
   * given up and removed (I25). Their own header tells the age. One GET per orphan, one LIST per thousand objects.
   * @throws {ObjectStoreError} UNAVAILABLE: run it again
   */
  async scrub(mode: 'report' | 'delete'): Promise<ScrubReport> {
    const orphans: string[] = [];
    const youngOrphans: string[] = [];
    const strangers: string[] = [];
    let scannedObjects = 0;
    let after: string | undefined;
    do {
      const page = await this.#context.objects.list(DATA_PREFIX, after === undefined ? {} : { after });
      for (const { key } of page.objects) {
        scannedObjects++;
        const verdict = await this.#judge(key);
        if (verdict === 'orphan') orphans.push(key);
        else if (verdict === 'young') youngOrphans.push(key);
        else if (verdict === 'stranger') strangers.push(key);
      }
      after = page.next;
    } while (after !== undefined);
    if (mode === 'delete') {
      for (let at = 0; at < orphans.length; at += KEYS_PER_DELETE) {
        await this.#context.objects.delete(orphans.slice(at, at + KEYS_PER_DELETE));
      }
    }
    return { scannedObjects, orphans, youngOrphans, strangers };
  }

  async #judge(key: string): Promise<'known' | 'orphan' | 'young' | 'stranger'> {
    const { env, manifest, objects, options, writer } = this.#context;
    const objectId = objectIdOfKey(key);
    if (objectId === undefined) return 'stranger';
    if (manifest.object(objectId) !== undefined) return 'known';
    try {
      const { body } = await objects.get(key, { start: 0, length: HEADER_BYTES });
      const header = readHeader(body, key);
      if (header.clusterId !== writer.clusterId || header.objectId !== objectId) return 'stranger';
      return header.createdAtWallMs <= env.clock.wallMs() - options.orphanAgeMs ? 'orphan' : 'young';
    } catch (error) {
      if (error instanceof CorruptionError) return 'stranger';
      if (error instanceof ObjectStoreError && error.code === 'NOT_FOUND') return 'known';
      if (error instanceof ObjectStoreError && error.code === 'INVALID_RANGE') return 'stranger';
      throw error;
    }
  }
}
