import { MillraceError } from '../base/errors.ts';
import { MemoryBudget } from '../base/memory-budget.ts';
import { BufferPool } from '../base/buffer-pool.ts';
import type { ServerOptions } from '../server/options.ts';
import { DEFAULT_SERVER_OPTIONS } from '../server/options.ts';
import { DEFAULT_STORE_OPTIONS, storeMemoryBytes, type StoreOptions } from '../store/stream-store.ts';
import { LARGEST_BATCH_BYTES } from '../wire/log-config.ts';

const MIB = 1024 * 1024;

/** Below this the shares no longer hold a request, a group and a block at once. */
export const MIN_MEMORY_BYTES = 128 * MIB;

/** One slab holds the largest group, so also the largest record batch; 2 MiB are left for headers and padding. */
const SLAB_BYTES = LARGEST_BATCH_BYTES + 2 * MIB;

/** The memory a broker was given is too little to be divided. */
export class MemoryTooSmallError extends MillraceError {
  readonly code = 'MEMORY_TOO_SMALL';
}

/** Settings of requests ask for more than the memory of the broker allows. */
export class SettingTooLargeError extends MillraceError {
  readonly code = 'SETTING_TOO_LARGE';
}

/** What Kafka's settings say about requests and connections. */
export interface ConfiguredLimits extends Pick<
  ServerOptions,
  | 'requestMaxBytes'
  | 'fetchMaxBytes'
  | 'idleDeadlineMs'
  | 'connectionsMax'
  | 'connectionsPerAddressMax'
  | 'connectionsPerSecondMax'
> {
  /** Undefined: the share that requests have of the memory. */
  readonly requestMemoryBytes: number | undefined;
}

/** All buffers and caches of one broker, from one number. */
export interface MemoryPlan {
  readonly wal: { readonly memoryBytes: number; readonly slabBytes: number; readonly maxEntryBytes: number };
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
 * @throws {SettingTooLargeError}
 */
export function planMemory(totalBytes: number, limits: ConfiguredLimits): MemoryPlan {
  if (totalBytes < MIN_MEMORY_BYTES) {
    throw new MemoryTooSmallError(
      `the broker got ${Math.floor(totalBytes / MIB)} MiB for buffers and caches, it needs at least ${MIN_MEMORY_BYTES / MIB} MiB`,
    );
  }
  const part = (percent: number): number => Math.floor((totalBytes * percent) / 100);
  const server: ServerOptions = {
    ...DEFAULT_SERVER_OPTIONS,
    ...limits,
    requestMemoryBytes: requestMemory(part(12), limits),
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
    wal: {
      memoryBytes: walBytes - (walBytes % SLAB_BYTES),
      slabBytes: SLAB_BYTES,
      maxEntryBytes: LARGEST_BATCH_BYTES,
    },
    store,
    server,
    storeBudget: new MemoryBudget(storeMemoryBytes(store)),
  };
}

/** The largest request must fit, or its connection would wait for memory that never comes. */
function requestMemory(
  shareBytes: number,
  { requestMaxBytes, requestMemoryBytes = shareBytes }: ConfiguredLimits,
): number {
  if (requestMemoryBytes > shareBytes) {
    throw new SettingTooLargeError(
      `queued.max.request.bytes is ${requestMemoryBytes}, the memory of this broker allows ${shareBytes}: ` +
        'lower it, or give the broker more memory',
    );
  }
  const largestBytes = BufferPool.classBytes(requestMaxBytes);
  if (largestBytes > requestMemoryBytes) {
    throw new SettingTooLargeError(
      `a request of ${requestMaxBytes} bytes (socket.request.max.bytes) takes ${largestBytes} bytes of memory, ` +
        `all requests together have ${requestMemoryBytes}: lower it, raise queued.max.request.bytes, or give the broker more memory`,
    );
  }
  return requestMemoryBytes;
}
