import type { Env } from '../ports/env.ts';
import type { MemoryBudget } from '../base/memory-budget.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import type { Manifest } from './manifest.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Every limit and pace of the store; {@link DEFAULT_STORE_OPTIONS} has the values and the reasons. */
export interface StoreOptions {
  readonly uploadBytes: number;
  readonly uploadEntries: number;
  readonly uploadIntervalMs: number;
  readonly uploadsInFlight: number;
  readonly ownObjectBytes: number;
  readonly blockBytes: number;
  readonly slowUploadMs: number;
  readonly prepareTtlMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly tailCacheEntries: number;
  readonly tailReadBytes: number;
  readonly tailReadsInFlight: number;
  readonly historyReadBytes: number;
  readonly historyReadsInFlight: number;
  readonly readAheadMinBytes: number;
  readonly readAheadMaxBytes: number;
  readonly readAheadCursors: number;
  readonly getBytes: number;
  readonly indexGetBytes: number;
  readonly indexCacheBytes: number;
  readonly readDeadlineMs: number;
  readonly compactionIntervalMs: number;
  readonly compactionFanIn: number;
  readonly compactionObjectBytes: number;
  readonly compactionBytesPerSecond: number;
  readonly rewritesInFlight: number;
  readonly rewriteTtlMs: number;
  readonly garbageIntervalMs: number;
  readonly deleteDelayMs: number;
  readonly orphanAgeMs: number;
  readonly closeTimeoutMs: number;
}

export const DEFAULT_STORE_OPTIONS: StoreOptions = {
  /**
   * A cut is uploaded when it has this much. At 100 MiB/s that is 6 PUT a second (about 80 USD a month); half of it
   * would cost twice as much, more would need more WAL memory, which holds cuts until they are committed.
   */
  uploadBytes: 16 * MIB,
  /** ... or so many entries: each costs three heap objects, and pauses grow with the heap. */
  uploadEntries: 50_000,
  /** ... or when its oldest entry is this old: what the loss of a zone may cost with a zonal WAL. */
  uploadIntervalMs: 30 * SECOND_MS,
  /** Hides the latency of a PUT (0.1 to 0.5 s at this size) up to several hundred MiB/s. */
  uploadsInFlight: 3,
  /** A stream with this much in one cut gets an object of its own and is spared one round of compaction. */
  ownObjectBytes: 8 * MIB,
  /** The unit of reading, checksum and cache; larger wastes on random reads, smaller on index. */
  blockBytes: 512 * KIB,
  /** An upload that takes longer is reported as trouble, whatever holds it up. */
  slowUploadMs: 10 * SECOND_MS,
  /** How long an id may wait for its upload; then it is abandoned and the cut is uploaded under another. */
  prepareTtlMs: HOUR_MS,
  /** First and last pause between repeats of a request; doubled in between, with jitter. */
  retryMinMs: 100,
  retryMaxMs: 10 * SECOND_MS,

  /** Bounds the heap of the tail cache: uploaded groups beyond it are let go even when memory is free. */
  tailCacheEntries: 100_000,
  /** Memory for blocks of consumers near the end. */
  tailReadBytes: 32 * MIB,
  tailReadsInFlight: 16,
  /** Memory for blocks of catch-up readers and scans: a flood of them cannot take the tail's (B11). */
  historyReadBytes: 64 * MIB,
  historyReadsInFlight: 8,
  /** Read-ahead of a sequential reader starts here and doubles up to the maximum. */
  readAheadMinBytes: 512 * KIB,
  readAheadMaxBytes: 8 * MIB,
  /** Sequential readers remembered; the least recently seen is forgotten. */
  readAheadCursors: 1024,
  /** Adjacent blocks are fetched by one GET up to this size. */
  getBytes: 4 * MIB,
  /** The first GET of an object takes this much from its end: an index of 1,100 blocks fits. */
  indexGetBytes: 64 * KIB,
  indexCacheBytes: 16 * MIB,
  /** Then a read fails with StreamReadError; below the request timeout of Kafka's clients (30 s). */
  readDeadlineMs: 20 * SECOND_MS,

  compactionIntervalMs: 5 * MINUTE_MS,
  /** So many neighbouring ranges of a size class become one: each byte is rewritten once per factor of this. */
  compactionFanIn: 16,
  /** Rewritten objects are this big at most: a PUT needs all of it in memory. */
  compactionObjectBytes: 64 * MIB,
  /** A quarter of a small instance's baseline bandwidth. */
  compactionBytesPerSecond: 32 * MIB,
  /** Rewrites (compaction, replace, recovery batches) that may hold `compactionObjectBytes` at once. */
  rewritesInFlight: 2,
  rewriteTtlMs: 24 * HOUR_MS,

  garbageIntervalMs: MINUTE_MS,
  /** From destroyed to deleted: readers that hold a range of the moment before finish in peace. */
  deleteDelayMs: 30 * MINUTE_MS,
  /** A scrub deletes objects nobody knows when they are older: far beyond any upload that is still under way. */
  orphanAgeMs: 48 * HOUR_MS,
  /** `close` gives up uploading after this: the rest stays in the WAL and is replayed by the next start. */
  closeTimeoutMs: 30 * SECOND_MS,
};

/** Who writes: stands in the header of every object. */
export interface WriterIdentity {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly nodeEpoch: number;
}

/** What the parts of the store stand on. */
export interface StoreContext {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly manifest: Manifest;
  readonly writer: WriterIdentity;
  readonly memory: MemoryBudget;
  readonly options: StoreOptions;
  readonly duties: StoreDuties;
}

/** What a broker has to care for besides what it appends; asked anew each time, because leadership moves. */
export interface StoreDuties {
  /** A stream is compacted by its leader alone. */
  readonly compacts: (streamId: number) => boolean;
  /** One broker of the cluster deletes what is dead. */
  readonly collectsGarbage: () => boolean;
}

/** Memory the store sets aside from its budget. The WAL's groups, which the tail cache shares, are the WAL's. */
export function storeMemoryBytes(options: StoreOptions): number {
  return (
    options.tailReadBytes +
    options.historyReadBytes +
    options.indexCacheBytes +
    options.rewritesInFlight * options.compactionObjectBytes
  );
}
