import { MemoryBudget } from '../../broker-runtime/src/base/memory-budget.ts';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import {
  DEFAULT_STORE_OPTIONS,
  openStreamStore,
  storeMemoryBytes,
} from '../../broker-runtime/src/store/stream-store.ts';
import type { BrokerStreamStore, StoreOptions } from '../../broker-runtime/src/store/stream-store.ts';
import type { ReadOptions, Stream, StreamEntry, StreamSlice } from '../../broker-runtime/src/store/stream.ts';
import { BlockWal, formatBlockWal, recoverBlockWal } from '../../broker-runtime/src/wal/block-wal.ts';
import type { BlockWalOptions } from '../../broker-runtime/src/wal/block-wal.ts';
import { previousProcessExited } from '../../broker-runtime/src/wal/fence.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { WalGroup } from '../../broker-runtime/src/wal/wal.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import type { SimEnv } from '../simulation/world/sim-env.ts';
import { LocalManifest } from './local-manifest.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const CLUSTER_ID = 'store-test-cluster';
const NODE_ID = 3;

/** Small sizes, so that cuts, blocks, caches and laps turn over within a test. */
export const SMALL_STORE: StoreOptions = {
  ...DEFAULT_STORE_OPTIONS,
  uploadBytes: 32 * KIB,
  uploadEntries: 200,
  ownObjectBytes: 16 * KIB,
  blockBytes: 2 * KIB,
  tailCacheEntries: 100,
  tailReadBytes: 16 * KIB,
  historyReadBytes: 32 * KIB,
  readAheadMinBytes: 2 * KIB,
  readAheadMaxBytes: 16 * KIB,
  getBytes: 8 * KIB,
  indexGetBytes: 512,
  indexCacheBytes: 4 * KIB,
  compactionFanIn: 4,
  compactionObjectBytes: 32 * KIB,
};

export const SMALL_WAL = {
  groupBytes: 16 * KIB,
  maxEntryBytes: 24 * KIB,
  slabBytes: 64 * KIB,
  memoryBytes: 512 * KIB,
} satisfies Partial<BlockWalOptions>;

export interface WorldOptions {
  readonly seed?: number;
  readonly ringBytes?: number;
  readonly store?: Partial<StoreOptions>;
  readonly wal?: Partial<BlockWalOptions>;
}

/** One broker's storage: real store, WAL, journal and manifest over a simulated disk and bucket. */
export class StoreWorld {
  readonly env: SimEnv;
  readonly bucket = new SimBucket();
  readonly disk: SimDisk;
  readonly options: StoreOptions;
  readonly failures: Error[] = [];
  /** Applied to the object store of every start. */
  prepareObjects: (objects: MemoryObjectStore) => void = () => undefined;
  readonly #walOptions: Partial<BlockWalOptions>;
  #nodeEpoch = 0;
  #isAlive = false;
  #running: Running | undefined;

  constructor(options: WorldOptions = {}) {
    this.env = simEnv(options.seed ?? 1);
    this.options = { ...SMALL_STORE, ...options.store };
    this.#walOptions = { ...SMALL_WAL, ...options.wal };
    this.disk = new SimDisk({
      capacityBytes: (options.ringBytes ?? 512 * KIB) + 8 * KIB,
      clock: this.env.clock,
      random: this.env.random.fork(),
    });
  }

  /** What runs now. */
  get running(): Running {
    if (this.#running === undefined) throw new Error('the world is not started');
    return this.#running;
  }
  get store(): BrokerStreamStore {
    return this.running.store;
  }
  get manifest(): LocalManifest {
    return this.running.manifest;
  }
  get objects(): MemoryObjectStore {
    return this.running.objects;
  }

  async start(): Promise<BrokerStreamStore> {
    this.#isAlive = true;
    this.#running = await this.run(this.#start());
    return this.#running.store;
  }

  /** Runs the virtual clock until the work is done. */
  run<T>(work: Promise<T>): Promise<T> {
    return this.env.clock.run(work);
  }

  /** The process dies between two instructions; the disk and the bucket live on. */
  async crash(): Promise<void> {
    const { objects } = this.running;
    this.#isAlive = false;
    this.disk.crash();
    this.#running = undefined;
    await objects.close();
    await this.env.clock.settle();
  }

  /** An orderly stop. */
  async stop(): Promise<void> {
    const { store, journal } = this.running;
    await this.run(store.close());
    await this.run(journal.close());
    await this.objects.close();
    this.#running = undefined;
  }

  createStreams(count: number): Promise<readonly number[]> {
    return this.run(this.manifest.createStreams(count));
  }

  async createStream(): Promise<Stream> {
    const [streamId] = await this.createStreams(1);
    return this.store.stream(streamId ?? 0);
  }

  async deleteStream(streamId: number): Promise<void> {
    await this.run(this.manifest.deleteStreams([streamId]));
  }

  /** Admits and appends, as producers do. */
  async append(stream: Stream, bytes: Uint8Array, count = 1): Promise<WalGroup> {
    const waiting = this.store.admit(bytes.length, 1);
    if (waiting !== undefined) await waiting;
    return stream.append(stream.endOffset, count, 1000 + stream.endOffset, bytes);
  }

  /** Appends `entryCount` entries and waits until they are durable. */
  async fill(stream: Stream, entryCount: number, entryBytes: number): Promise<void> {
    const groups: WalGroup[] = [];
    for (let n = 0; n < entryCount; n++) {
      groups.push(await this.run(this.append(stream, payload(stream.id, stream.endOffset, entryBytes))));
    }
    await this.run(Promise.all(groups.map((group) => group.durable)));
  }

  /** Reads, and checks what a slice promises about itself; the caller releases. */
  async read(
    stream: Stream,
    from: number,
    maxBytes = 64 * KIB,
    options?: ReadOptions,
  ): Promise<StreamSlice | undefined> {
    const slice = await this.run(Promise.resolve(stream.read(from, maxBytes, options)));
    if (slice !== undefined) checkSlice(slice, from, maxBytes);
    return slice;
  }

  /** Reads everything from `from` on by small reads; the bytes are copies. */
  async readAll(stream: Stream, from = stream.startOffset, maxBytes = 8 * KIB): Promise<StreamEntry[]> {
    const entries: StreamEntry[] = [];
    for (let at = from; ;) {
      const slice = await this.read(stream, at, maxBytes);
      if (slice === undefined) return entries;
      for (const entry of slice.entries) entries.push({ ...entry, bytes: entry.bytes.slice() });
      if (slice.nextOffset <= at) throw new Error(`a read at ${at} did not move on`);
      at = slice.nextOffset;
      slice.release();
    }
  }

  async #start(): Promise<Running> {
    const { env, options } = this;
    const nodeEpoch = ++this.#nodeEpoch;
    const objects = new MemoryObjectStore(env.clock, this.bucket);
    this.prepareObjects(objects);
    const image = new ManifestImage();
    const writer = `start-${nodeEpoch}`;
    const journal = await ConditionalJournal.open(env, objects, [image], { writer });
    const manifest = new LocalManifest(env, journal, image);
    const devices: BlockDevice[] = [this.disk.open()];
    const owner = { clusterId: CLUSTER_ID, nodeId: NODE_ID };
    await formatBlockWal(devices, owner, env);
    const recovery = await recoverBlockWal(devices, owner, env, previousProcessExited(devices));
    const memory = new MemoryBudget(storeMemoryBytes(options));
    const walOptions = { ...this.#walOptions, nodeEpoch, mayAcknowledge: (): true => true };
    const store = await openStreamStore({
      env,
      objects,
      manifest,
      writer: { clusterId: CLUSTER_ID, nodeId: NODE_ID, nodeEpoch },
      memory,
      options,
      duties: { compacts: () => true, collectsGarbage: () => true },
      recovered: recovery.groups(),
      startWal: (listener) => BlockWal.open(recovery, walOptions, env, listener),
      // A process that crashed goes on failing for a while; nobody listens.
      onFailed: (error) => {
        if (this.#nodeEpoch === nodeEpoch && this.#isAlive) this.failures.push(error);
      },
    });
    return { store, manifest, journal, objects, memory };
  }
}

export interface Running {
  readonly store: BrokerStreamStore;
  readonly manifest: LocalManifest;
  readonly journal: ConditionalJournal;
  readonly objects: MemoryObjectStore;
  readonly memory: MemoryBudget;
}

/** Bytes that say whose they are: stream, offset and a pattern of both. */
export function payload(streamId: number, offset: number, lengthBytes: number, version = 0): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  const label = streamId * 7919 + offset * 31 + version * 101;
  for (let at = 0; at < lengthBytes; at++) bytes[at] = (label + at * (1 + (label % 13))) & 0xff;
  return bytes;
}

/** Pieces and entries are the same bytes, sizes add up, and offsets ascend. */
export function checkSlice(slice: StreamSlice, from: number, maxBytes: number): void {
  const joined = Buffer.concat(slice.pieces);
  const fromEntries = Buffer.concat(slice.entries.map((entry) => entry.bytes));
  if (!joined.equals(fromEntries) || joined.length !== slice.sizeBytes) {
    throw new Error('the pieces of a slice are not its entries');
  }
  if (slice.entries.length > 1 && slice.sizeBytes > maxBytes) throw new Error('a slice exceeds its limit');
  let offset = from;
  for (const [n, entry] of slice.entries.entries()) {
    const end = entry.baseOffset + entry.count;
    if (n === 0 ? end <= from : entry.baseOffset < offset) throw new Error('a slice is not in order');
    offset = end;
  }
  // Beyond the last entry where compaction left nothing; that nothing was passed over shows in what is read on.
  if (slice.nextOffset < offset) throw new Error('nextOffset lies before what was read');
}

export async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** What an entry is, in a form that compares and prints. */
export function describeEntry({ baseOffset, count, maxTimestampMs, bytes }: StreamEntry): string {
  const head = Buffer.from(bytes.subarray(0, 4)).toString('hex');
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
  return `${baseOffset}+${count}@${maxTimestampMs}:${bytes.length}:${head}:${sum}`;
}
