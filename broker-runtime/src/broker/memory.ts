import { MillraceError } from '../base/errors.ts';
import { MemoryBudget } from '../base/memory-budget.ts';
import type { ServerOptions } from '../server/options.ts';
import { DEFAULT_SERVER_OPTIONS } from '../server/options.ts';
import { DEFAULT_STORE_OPTIONS, storeMemoryBytes, type StoreOptions } from '../store/stream-store.ts';

const MIB = 1024 * 1024;

/** Below this the shares no longer hold a request, a group and a block at once. */
export const MIN_MEMORY_BYTES = 128 * MIB;

/** One slab holds the largest group, so also the largest record batch. */
const SLAB_BYTES = 12 * MIB;

/** The memory a broker was given is too little to be divided. */
export class MemoryTooSmallError extends MillraceError {
  readonly code = 'MEMORY_TOO_SMALL';
}

/** All buffers and caches of one broker, from one number. */
export interface MemoryPlan {
  readonly wal: { readonly memoryBytes: number; readonly slabBytes: number };
  readonly store: StoreOptions;
  readonly server: ServerOptions;
  /** What the store takes its shares from. */
  readonly storeBudget: MemoryBudget;
}

/**
 * Divides one configured amount into named shares (I36). The largest part is the WAL's: it takes up bursts, holds
 * what is being uploaded, and serves the tail from memory. A quarter is what rewriting objects needs; the rest is
 * split between requests coming in, answers going out and blocks read back.
 * @throws {MemoryTooSmallError}
 */
export function planMemory(totalBytes: number): MemoryPlan {
  if (totalBytes < MIN_MEMORY_BYTES) {
    throw new MemoryTooSmallError(
      `the broker got ${Math.floor(totalBytes / MIB)} MiB for buffers and caches, it needs at least ${MIN_MEMORY_BYTES / MIB} MiB`,
    );
  }
  const part = (percent: number): number => Math.floor((totalBytes * percent) / 100);
  const server: ServerOptions = {
    ...DEFAULT_SERVER_OPTIONS,
    requestMemoryBytes: part(12),
    readAheadMemoryBytes: part(3),
    idleFramesBytes: part(3),
    fetchMemoryBytes: part(10),
  };
  const store: StoreOptions = {
    ...DEFAULT_STORE_OPTIONS,
    tailReadBytes: part(6),
    historyReadBytes: part(12),
    indexCacheBytes: part(3),
    compactionObjectBytes: Math.min(DEFAULT_STORE_OPTIONS.compactionObjectBytes, part(8)),
    rewritesInFlight: 2,
    // A cut must be a small part of the WAL's memory, so that one is uploaded while the next fills.
    uploadBytes: Math.min(DEFAULT_STORE_OPTIONS.uploadBytes, part(5)),
  };
  const walBytes = part(35);
  return {
    wal: { memoryBytes: walBytes - (walBytes % SLAB_BYTES), slabBytes: SLAB_BYTES },
    store,
    server,
    storeBudget: new MemoryBudget(storeMemoryBytes(store)),
  };
}
