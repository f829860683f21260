import { CorruptionError, messageOf, MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { beginningOf, follow, readStored } from './conditional/chain.ts';
import type { LogPosition, StoredEntry } from './conditional/chain.ts';
import { hexSha256 } from './conditional/entry.ts';
import { readFloor } from './conditional/floor.ts';
import { Images } from './conditional/images.ts';
import { LOG_PREFIX, logKey, sequenceOf, SNAPSHOT_PREFIX, snapshotKey } from './conditional/keys.ts';
import { readAhead, type Slot } from './conditional/read-ahead.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { decodeSnapshot } from './conditional/snapshot.ts';
import type { Image } from './journal.ts';

export type { LogPosition } from './conditional/chain.ts';

/** Where reading can begin: a snapshot, or (key null) the beginning of the cluster. */
export interface LogStart {
  readonly sequence: number;
  readonly key: string | null;
}

/** How far a replay came. */
export interface Replayed {
  readonly end: LogPosition;
  /** Why it came no further: a sentence that names the key. Undefined: it was stopped, or nothing newer is there. */
  readonly cutShortBy: string | undefined;
}

/**
 * The metadata log as it lies in a copy of the bucket (protocol 3.9). Replication is asynchronous and in no order, so
 * any object may be missing and the floor may be of any age: of the floor only the cluster's id is used, and what can be
 * read is looked for. Nothing is written.
 */
export class ReplicatedLog {
  readonly clusterId: string;
  /** Newest first. A snapshot may still prove damaged when it is read. */
  readonly starts: readonly LogStart[];
  /** The newest entry or snapshot that arrived; 0 when none did. */
  readonly newestSequence: number;
  readonly #store: RetryingStore;
  readonly #entrySizes: ReadonlyMap<number, number>;

  /** @returns undefined when no cluster was replicated here @throws {ObjectStoreError} DENIED */
  static async survey(env: Env, store: ObjectStore, signal: AbortSignal): Promise<ReplicatedLog | undefined> {
    const retrying = new RetryingStore(env, store, signal, 'promotion');
    const stored = await readFloor(env, retrying);
    if (stored === undefined) return undefined;
    const snapshots = await listed(retrying, SNAPSHOT_PREFIX);
    const entries = await listed(retrying, LOG_PREFIX);
    const newest = Math.max(0, entries.at(-1)?.sequence ?? 0, snapshots.at(-1)?.sequence ?? 0);
    const starts: LogStart[] = snapshots.reverse();
    if (entries[0]?.sequence === 1) starts.push({ sequence: 0, key: null });
    const sizes = new Map(entries.map(({ sequence, sizeBytes }) => [sequence, sizeBytes]));
    return new ReplicatedLog(retrying, stored.floor.clusterId, starts, newest, sizes);
  }

  private constructor(
    store: RetryingStore,
    clusterId: string,
    starts: readonly LogStart[],
    newestSequence: number,
    entrySizes: ReadonlyMap<number, number>,
  ) {
    this.#store = store;
    this.clusterId = clusterId;
    this.starts = starts;
    this.newestSequence = newestSequence;
    this.#entrySizes = entrySizes;
  }

  /**
   * Brings `images` from nothing to `start`, then entry by entry onward for as long as the next one is there and whole.
   * `reached` is asked after the start and after every entry; false stops there.
   * @throws {CorruptionError} the snapshot is damaged or missing, or the images do not know what it holds
   */
  async replay(
    start: LogStart,
    images: readonly Image[],
    reached: (sequence: number) => boolean,
  ): Promise<Replayed> {
    const all = new Images(images);
    let end = await this.#restore(start, all);
    if (!reached(end.sequence)) return { end, cutShortBy: undefined };
    for await (const { found } of readAhead(this.#slotsBehind(end.sequence), (slot) => this.#entry(slot))) {
      if (found instanceof MillraceError) return { end, cutShortBy: messageOf(found) };
      if (found === undefined) break;
      let after: LogPosition;
      try {
        after = follow(end, found);
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        return { end, cutShortBy: error.message };
      }
      for (const record of found.entry.records) all.apply(record, after.sequence);
      end = after;
      if (!reached(end.sequence)) return { end, cutShortBy: undefined };
    }
    const isEnd = end.sequence >= this.newestSequence;
    return { end, cutShortBy: isEnd ? undefined : `${logKey(end.sequence + 1)} has not been replicated` };
  }

  /** Without an end: what the survey did not see may have arrived since. */
  *#slotsBehind(sequence: number): Generator<Slot> {
    for (let next = sequence + 1; ; next++) yield { sequence: next, sizeBytes: this.#entrySizes.get(next) };
  }

  async #restore(start: LogStart, images: Images): Promise<LogPosition> {
    images.clear();
    if (start.key === null) return beginningOf(this.clusterId);
    const stored = await this.#store.get(start.key);
    if (stored === undefined) throw new CorruptionError(`${start.key} vanished while it was read`);
    if (snapshotKey(start.sequence, hexSha256(stored.body)) !== start.key) {
      throw new CorruptionError(`${start.key} holds other bytes than its name says`);
    }
    const { sequence, writerEpoch, lastHash, state } = decodeSnapshot(stored.body, start.key);
    images.read(state);
    return { sequence, writerEpoch, lastHash: lastHash.slice() };
  }

  /** A damaged entry is an answer: the log ends before it. */
  async #entry(sequence: number): Promise<StoredEntry | MillraceError | undefined> {
    const key = logKey(sequence);
    const stored = await this.#store.get(key);
    if (stored === undefined) return undefined;
    try {
      return readStored(stored.body, key);
    } catch (error) {
      if (error instanceof MillraceError) return error;
      throw error;
    }
  }
}

interface Listed {
  readonly sequence: number;
  readonly key: string;
  readonly sizeBytes: number;
}

async function listed(store: RetryingStore, prefix: string): Promise<Listed[]> {
  const found: Listed[] = [];
  let after: string | undefined;
  do {
    const page = await store.list(prefix, after === undefined ? {} : { after });
    for (const { key, sizeBytes } of page.objects) found.push({ sequence: sequenceOf(key), key, sizeBytes });
    after = page.next;
  } while (after !== undefined);
  return found;
}
