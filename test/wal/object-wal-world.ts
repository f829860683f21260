import {
  fenceObjectWal,
  ObjectWal,
  recoverObjectWal,
  type FencedBy,
  type ObjectWalOptions,
  type ObjectWalRecovery,
} from '../../broker-runtime/src/wal/object-wal.ts';
import type { RecoveredGroup } from '../../broker-runtime/src/wal/wal.ts';
import type {
  ByteRange,
  ListPage,
  ObjectInfo,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from '../../broker-runtime/src/ports/object-store.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { simEnv, type SimEnv } from '../simulation/world/sim-env.ts';
import { KIB, OWNER, RecordingListener } from './block-wal-world.ts';

/** Small sizes, so that groups, slabs and the capacity turn over within a test. */
export const SMALL_OBJECTS = {
  groupBytes: 16 * KIB,
  groupDelayMs: 0,
  maxEntryBytes: 24 * KIB,
  slabBytes: 64 * KIB,
  memoryBytes: 512 * KIB,
  capacityBytes: 2048 * KIB,
  trimIntervalMs: 5,
} satisfies Partial<ObjectWalOptions>;

export const FENCE_KEY = `walfence/${OWNER.nodeId}`;

/**
 * The object store as one process sees it. The process may die, and then hears nothing more; or be paused, and then
 * neither asks nor hears until it goes on. What it had sent goes its way in both cases.
 */
export class ProcessStore implements ObjectStore {
  readonly inner: MemoryObjectStore;
  /** Sees every request before it is sent; if the process dies here, it is not. */
  onRequest: (operation: string, key: string) => void = () => undefined;
  #isDead = false;
  #pause: PromiseWithResolvers<undefined> | undefined;

  constructor(inner: MemoryObjectStore) {
    this.inner = inner;
  }

  /** A method, because the compiler believes that a field stays as it was asked. */
  isDead(): boolean {
    return this.#isDead;
  }

  die(): void {
    this.#isDead = true;
  }

  pause(): void {
    this.#pause ??= Promise.withResolvers<undefined>();
  }

  resume(): void {
    this.#pause?.resolve(undefined);
    this.#pause = undefined;
  }

  put(key: string, body: readonly Uint8Array[], condition: PutCondition): Promise<PutOutcome> {
    return this.#pass('put', key, () => this.inner.put(key, body, condition));
  }
  get(key: string, range?: ByteRange, into?: Uint8Array): Promise<StoredObject> {
    return this.#pass('get', key, () => this.inner.get(key, range, into));
  }
  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#pass('head', key, () => this.inner.head(key));
  }
  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<ListPage> {
    return this.#pass('list', prefix, () => this.inner.list(prefix, options));
  }
  delete(keys: readonly string[]): Promise<void> {
    return this.#pass('delete', keys[0] ?? '', () => this.inner.delete(keys));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  async #pass<T>(operation: string, key: string, send: () => Promise<T>): Promise<T> {
    if (this.#pause !== undefined) await this.#pause.promise;
    if (this.isDead()) return silence();
    this.onRequest(operation, key);
    if (this.isDead()) return silence();
    const answer = await send().then(
      (value) => () => value,
      (error: unknown) => (): T => {
        throw error;
      },
    );
    while (this.#pause !== undefined) await this.#pause.promise;
    if (this.isDead()) return silence();
    return answer();
  }
}

function silence<T>(): Promise<T> {
  return new Promise(() => undefined);
}

export interface OpenObjectLog {
  readonly wal: ObjectWal;
  readonly listener: RecordingListener;
  readonly recovered: readonly RecoveredGroup[];
  readonly store: ProcessStore;
}

export interface Recovered {
  readonly recovery: ObjectWalRecovery;
  readonly recovered: readonly RecoveredGroup[];
}

/** One bucket and the processes that use it. */
export class ObjectWalWorld {
  readonly env: SimEnv;
  readonly bucket = new SimBucket();
  nodeEpoch = 0;

  constructor(seed = 1) {
    this.env = simEnv(seed);
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.env.clock.run(work);
  }

  /** A process whose requests take 1 to 20 ms. */
  process(): ProcessStore {
    const inner = new MemoryObjectStore(this.env.clock, this.bucket);
    const random = this.env.random.fork();
    inner.delayMs = () => 1 + random.below(190) / 10;
    return new ProcessStore(inner);
  }

  /** Fences all before the next epoch, recovers and opens under it, as a node that starts again. */
  async start(
    options: Partial<ObjectWalOptions> = {},
    store = this.process(),
    onRecovered: (read: Recovered) => void = () => undefined,
  ): Promise<OpenObjectLog> {
    this.nodeEpoch += 10;
    const nodeEpoch = this.nodeEpoch;
    const by = { epoch: nodeEpoch - 1, recoverer: OWNER.nodeId, attempt: 1 };
    const { recovery, recovered } = await this.takeOver(by, store);
    onRecovered({ recovery, recovered });
    const listener = new RecordingListener();
    const all = { ...SMALL_OBJECTS, nodeEpoch, ...options };
    const wal = await ObjectWal.open(recovery, store, all, this.env, listener);
    return { wal, listener, recovered, store };
  }

  open(options: Partial<ObjectWalOptions> = {}, store = this.process()): Promise<OpenObjectLog> {
    return this.run(this.start(options, store));
  }

  /** Fences and reads, as a neighbour would. */
  async takeOver(by: FencedBy, store: ObjectStore = this.process()): Promise<Recovered> {
    const medium = { env: this.env, objects: store };
    const proof = await fenceObjectWal(medium, OWNER, by);
    const recovery = await recoverObjectWal(proof, medium);
    return { recovery, recovered: await collectGroups(recovery) };
  }

  walKeys(): string[] {
    return [...this.bucket.objects.keys()].filter((key) => key.startsWith('wal/')).sort();
  }

  fence(): Readonly<Record<string, unknown>> {
    const stored = this.bucket.objects.get(FENCE_KEY);
    if (stored === undefined) throw new Error('there is no fence');
    return JSON.parse(new TextDecoder().decode(stored.body)) as Readonly<Record<string, unknown>>;
  }
}

export async function collectGroups(recovery: ObjectWalRecovery): Promise<RecoveredGroup[]> {
  const groups: RecoveredGroup[] = [];
  for await (const group of recovery.groups()) groups.push(group);
  return groups;
}
