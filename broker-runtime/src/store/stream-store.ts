import { ClosedError, invariant, messageOf } from '../base/errors.ts';
import type { Timer } from '../ports/clock.ts';
import type { Patience, Wal, WalGroup, WalListener } from '../wal/wal.ts';
import { BlockCache } from './block-cache.ts';
import { Compactor } from './compactor.ts';
import { GarbageCollector } from './garbage-collector.ts';
import type { ScrubReport } from './garbage-collector.ts';
import { ObjectReader } from './object-reader.ts';
import type { StoreContext } from './options.ts';
import { RangeRewriter } from './range-rewriter.ts';
import { recoverStreams } from './recovery.ts';
import type { RecoveredEntries, RecoveryReport } from './recovery.ts';
import { StreamHandle, unknownStream } from './stream-handle.ts';
import type { StreamServices } from './stream-handle.ts';
import type { StoreStatus, Stream, StreamStore } from './stream.ts';
import { StreamReader } from './stream-reader.ts';
import { TailCache } from './tail-cache.ts';
import { Uploader } from './uploader.ts';

export { DEFAULT_STORE_OPTIONS, storeMemoryBytes } from './options.ts';
export type { StoreContext, StoreOptions, WriterIdentity } from './options.ts';
export { RangesChangedError } from './range-rewriter.ts';
export { recoverStreams } from './recovery.ts';
export type { RecoveredEntries, RecoveryReport } from './recovery.ts';
export type { ScrubReport } from './garbage-collector.ts';

/** What the store needs to open: the parts that `broker.ts` opened before it, in this order. */
export interface StreamStoreOpening extends StoreContext {
  /** What the WAL held when it was opened, in order: `BlockWalRecovery.groups()`. Nothing after a clean stop. */
  readonly recovered: AsyncIterable<RecoveredEntries>;
  /**
   * Called once, after everything recovered is in committed objects: only then may the old WAL be given up.
   * Starts the WAL afresh and wires the listener into it: `BlockWal.open(recovery, options, env, listener)`.
   */
  startWal(listener: WalListener): Promise<Wal>;
  /** The store can take or keep nothing any more: the process must stop; the WAL is kept (R10). Called once. */
  onFailed(error: Error): void;
}

/**
 * Opens all streams of one broker. The order of a start: open devices → open journal with the manifest's image →
 * register the broker (new node epoch) → `recoverBlockWal` → this → serve. When it resolves, recovery is complete
 * and every stream can be read up to its end.
 * @throws {CorruptionError} when acknowledged data is missing from the WAL, see {@link recoverStreams}
 */
export async function openStreamStore(opening: StreamStoreOpening): Promise<BrokerStreamStore> {
  const recovery = await recoverStreams(opening, opening.recovered);
  const store = new BrokerStreamStore(opening, recovery);
  await store.start(opening);
  return store;
}

/** Implements the store over WAL, tail cache, uploader, readers and background work; see {@link openStreamStore}. */
export class BrokerStreamStore implements StreamStore {
  readonly recovery: RecoveryReport;
  readonly #context: StoreContext;
  readonly #onFailed: (error: Error) => void;
  readonly #streams = new Map<number, StreamHandle>();
  readonly #tail: TailCache;
  readonly #blocks: BlockCache;
  readonly #objects: ObjectReader;
  readonly #reader: StreamReader;
  readonly #rewriter: RangeRewriter;
  readonly #compactor: Compactor;
  readonly #garbage: GarbageCollector;
  readonly #timers = new Set<Timer>();
  /** Streams a group moved; kept to spare an array per group. */
  readonly #moved: StreamHandle[] = [];
  #services: StreamServices | undefined;
  #admissionsWaiting = 0;
  #failure: Error | undefined;
  #closing: Promise<boolean> | undefined;

  /** Use {@link openStreamStore}. */
  constructor(context: StreamStoreOpening, recovery: RecoveryReport) {
    const { options } = context;
    this.recovery = recovery;
    this.#context = context;
    this.#onFailed = (error) => {
      context.onFailed(error);
    };
    this.#tail = new TailCache(options.tailCacheEntries);
    this.#objects = new ObjectReader(context);
    this.#blocks = new BlockCache(context, this.#objects);
    this.#reader = new StreamReader(context, this.#blocks, this.#tail);
    this.#rewriter = new RangeRewriter(context);
    this.#compactor = new Compactor(context, this.#objects, this.#rewriter);
    this.#garbage = new GarbageCollector(context);
  }

  /** Part of {@link openStreamStore}. */
  async start({ startWal }: Pick<StreamStoreOpening, 'startWal'>): Promise<void> {
    const { manifest, options } = this.#context;
    const wal = await startWal({
      onDurable: (group) => {
        this.#durable(group);
      },
      onMemoryWanted: (bytes) => {
        this.#makeRoom(bytes);
      },
      onFailed: (error) => {
        this.#fail(error);
      },
    });
    const uploader = new Uploader(this.#context, wal.capacityBytes, {
      onCommitted: (sequence) => {
        this.#committed(sequence);
      },
      onFailed: (error) => {
        this.#fail(error);
      },
    });
    this.#services = {
      wal,
      manifest,
      tail: this.#tail,
      reader: this.#reader,
      uploader,
      rewriter: this.#rewriter,
    };
    this.#repeat('compaction', options.compactionIntervalMs, () => this.#compactor.run());
    this.#repeat('garbage', options.garbageIntervalMs, async () => {
      if (this.#context.duties.collectsGarbage()) await this.collectGarbage();
    });
  }

  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined {
    const { wal, uploader } = this.#running();
    const waiting = wal.admit(payloadBytes, entryCount, patience);
    if (waiting === undefined) return undefined;
    this.#admissionsWaiting++;
    const settled = (): void => {
      this.#admissionsWaiting--;
    };
    waiting.then(settled, settled);
    // For memory the WAL asks by itself; a ring that fills is seen here.
    if (wal.usedBytes + 2 * payloadBytes > wal.capacityBytes / 2) uploader.hurry();
    return waiting;
  }

  stream(streamId: number): Stream {
    const services = this.#running();
    const known = this.#streams.get(streamId);
    if (!services.manifest.hasStream(streamId)) {
      this.#streams.delete(streamId);
      throw unknownStream(streamId);
    }
    if (known !== undefined) return known;
    const handle = new StreamHandle(streamId, services);
    this.#streams.set(streamId, handle);
    return handle;
  }

  forget(streamId: number): void {
    const handle = this.#streams.get(streamId);
    if (handle === undefined) return;
    const { manifest } = this.#running();
    const { endOffset } = handle;
    // More than all of it: this node was fenced, and whoever took the stream over writes it already.
    invariant(
      !manifest.hasStream(streamId) || manifest.committedOffset(streamId) >= endOffset,
      'I5',
      'a stream is let go of when all of it is in committed objects',
      { streamId, endOffset },
    );
    this.#streams.delete(streamId);
    // Whoever leads it now may compact it; when it comes back, readers must find what is in objects then.
    this.#tail.hide(streamId, endOffset);
  }

  status(): StoreStatus {
    const { wal, uploader } = this.#running();
    return {
      walUsedBytes: wal.usedBytes,
      walCapacityBytes: wal.capacityBytes,
      walWaitingBytes: wal.waitingBytes,
      uploadsInFlight: uploader.inFlight,
      uploadedBytes: uploader.uploadedBytes,
      uploadedObjects: uploader.uploadedObjects,
      uploadTrouble: uploader.trouble,
      tailCacheBytes: this.#tail.sizeBytes,
      blockCacheBytes: this.#blocks.sizeBytes,
    };
  }

  /** One round of merging small ranges; it also runs by itself. Returns the number of merges. */
  compact(): Promise<number> {
    return this.#compactor.run();
  }

  /** One round of deleting what is dead; it also runs by itself. Returns the number of objects removed. */
  collectGarbage(): Promise<number> {
    for (const streamId of this.#streams.keys()) {
      if (!this.#context.manifest.hasStream(streamId)) this.#streams.delete(streamId);
    }
    return this.#garbage.run();
  }

  /** Looks for objects nobody knows, and deletes those that are old enough when told so. */
  scrub(mode: 'report' | 'delete'): Promise<ScrubReport> {
    return this.#garbage.scrub(mode);
  }

  close(): Promise<boolean> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<boolean> {
    const { wal, uploader } = this.#running();
    this.#compactor.close();
    this.#rewriter.close();
    for (const timer of this.#timers) timer.cancel();
    const isEmpty = await this.#uploadRest(uploader);
    uploader.stop(new ClosedError('the store was closed'));
    await wal.close();
    this.#tail.close();
    return isEmpty && this.#failure === undefined;
  }

  /** What cannot be uploaded in time stays in the WAL: slower for the next start, but safe. */
  async #uploadRest(uploader: Uploader): Promise<boolean> {
    const { env, options } = this.#context;
    let newest = -1;
    for (const { lastSequence } of this.#streams.values()) newest = Math.max(newest, lastSequence);
    const flushed = uploader.flush(newest).then(
      () => 'flushed',
      (error: unknown) => messageOf(error),
    );
    const timedOut = new AbortController();
    const late = env.clock.sleep(options.closeTimeoutMs, timedOut.signal).then(
      () => `not uploaded within ${options.closeTimeoutMs} ms`,
      () => 'flushed',
    );
    const outcome = await Promise.race([flushed, late]);
    timedOut.abort();
    if (outcome !== 'flushed') env.events.warn('store.closed-with-rest', { reason: outcome });
    return outcome === 'flushed';
  }

  /** In the WAL's completion, group by group: cache first, so that whoever is told can read at once. */
  #durable(group: WalGroup): void {
    const { uploader } = this.#running();
    this.#tail.add(group);
    const moved = this.#moved;
    for (const entry of group.entries) {
      const handle = this.#streams.get(entry.streamId);
      if (handle?.advance(entry) === true) moved.push(handle);
    }
    uploader.add(group);
    for (const handle of moved) handle.notify();
    moved.length = 0;
  }

  #committed(sequence: number): void {
    const { wal, uploader } = this.#running();
    this.#tail.markUploaded(sequence);
    // After the cache knows: the trim asks for memory again when somebody still waits for it.
    wal.trim(sequence).then(
      () => {
        if (this.#admissionsWaiting > 0) uploader.hurry();
      },
      (error: unknown) => {
        if (this.#closing === undefined)
          this.#fail(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #makeRoom(bytes: number): void {
    if (this.#tail.evict(bytes) < bytes) this.#services?.uploader.hurry();
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#context.env.events.error('store.failed', { reason: error.message });
    this.#services?.uploader.stop(new ClosedError(`the store failed: ${error.message}`, { cause: error }));
    this.#compactor.close();
    this.#rewriter.close();
    for (const timer of this.#timers) timer.cancel();
    this.#onFailed(error);
  }

  #running(): StreamServices {
    if (this.#services === undefined) throw new ClosedError('the store is not open yet');
    return this.#services;
  }

  /** Runs background work again and again; a failed round is reported and the next one comes. */
  #repeat(name: string, intervalMs: number, work: () => Promise<unknown>): void {
    const schedule = (): void => {
      const timer = this.#context.env.clock.timer(intervalMs, () => {
        this.#timers.delete(timer);
        if (this.#closing !== undefined || this.#failure !== undefined) return;
        work()
          .catch((error: unknown) => {
            this.#context.env.events.error(`store.${name}-failed`, { reason: messageOf(error) });
          })
          .finally(schedule);
      });
      this.#timers.add(timer);
    };
    schedule();
  }
}
