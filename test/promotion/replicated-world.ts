import { GenerationStore } from '../../broker-runtime/src/adapters/generation-store.ts';
import type { ObjectStore } from '../../broker-runtime/src/ports/object-store.ts';
import { MetadataImage } from '../../broker-runtime/src/metadata/metadata-image.ts';
import { type PromotionOptions, promote } from '../../broker-runtime/src/promotion/promote.ts';
import type { PromotionReport } from '../../broker-runtime/src/promotion/report.ts';
import { ManifestDecisions } from '../../broker-runtime/src/store/manifest-decisions.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import { DATA_PREFIX, objectKey } from '../../broker-runtime/src/store/object-key.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import type { Decision, JournalRecord } from '../../broker-runtime/src/wal/journal.ts';
import { sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { copyImage } from '../store/local-manifest.ts';

export const TOPIC = 'orders';
const STREAM = 1;
const SNAPSHOT_EVERY_ENTRIES = 6;

export interface Images {
  readonly manifest: ManifestImage;
  readonly metadata: MetadataImage;
}

export interface Put {
  readonly key: string;
  readonly body: Uint8Array;
}

function copyOf({ manifest, metadata }: Images): Images {
  return {
    manifest: copyImage(manifest, new ManifestImage()),
    metadata: copyImage(metadata, new MetadataImage()),
  };
}

/**
 * A cluster that lives in one bucket: a topic of one partition, uploads, compactions. Remembers every put in order,
 * as replication sees them, and the true state at every entry.
 */
export class SourceCluster {
  readonly env: SimEnv;
  readonly puts: Put[] = [];
  readonly truth = new Map<number, Images>();
  readonly #store: MemoryObjectStore;
  readonly #images: Images = { manifest: new ManifestImage(), metadata: new MetadataImage() };
  readonly #decisions: ManifestDecisions;
  #journal: ConditionalJournal | undefined;

  private constructor(seed: number) {
    this.env = simEnv(seed);
    const bucket = new SimBucket();
    bucket.onPut = (key, body) => void this.puts.push({ key, body: body.slice() });
    this.#store = new MemoryObjectStore(this.env.clock, bucket);
    this.#decisions = new ManifestDecisions(this.env, this.#images.manifest);
  }

  static async start(seed: number): Promise<SourceCluster> {
    const source = new SourceCluster(seed);
    const { env } = source;
    const { manifest, metadata } = source.#images;
    const options = { writer: 'test', snapshotEveryEntries: SNAPSHOT_EVERY_ENTRIES };
    const opening = ConditionalJournal.open(env, source.#store, [manifest, metadata], options);
    const journal = (source.#journal = await env.clock.run(opening));
    source.truth.set(journal.committedSequence, copyOf(source.#images));
    // The images stand exactly at the entry only now, before the next decision.
    journal.onCommitted((sequence) => source.truth.set(sequence, copyOf(source.#images)));
    await source.#commit(() => [
      metadata.record({
        type: 'node-registered',
        nodeId: 3,
        incarnationId: 'life',
        walKind: 'block',
        zone: 'a',
      }),
    ]);
    const node = { nodeId: 3, nodeEpoch: journal.committedSequence };
    await source.#commit(() => [
      metadata.record({ type: 'node-serving', ...node, host: 'b3', port: 9092 }),
      metadata.record({ type: 'producer-ids-allocated', nextProducerId: 1_000 }),
      ...source.#decisions.createStreams(2).records,
      metadata.record({
        type: 'topic-created',
        topicId: 'AAAAAAAAAAAAAAAAAAAAAQ',
        name: TOPIC,
        internal: false,
        partitions: { firstStreamId: STREAM, leaderIds: [3] },
      }),
    ]);
    return source;
  }

  get clusterId(): string {
    return this.#open.clusterId;
  }

  get end(): number {
    return this.#open.committedSequence;
  }

  /** Some records, in an object of their own. */
  async upload(): Promise<void> {
    await this.env.clock.advance(1_000);
    const objectId = await this.#newObject();
    await this.#commit(() => {
      const startOffset = this.#decisions.committedOffset(STREAM);
      const range = { streamId: STREAM, startOffset, endOffset: startOffset + 10 };
      const ranges = [{ ...range, sizeBytes: 100, maxTimestampMs: 5 }];
      return this.#decisions.commitObjects([{ objectId, sizeBytes: sizeOf(objectId), ranges }]).records;
    });
  }

  /** The first two ranges become one, in a new object; the old objects are dead and deleted, here. */
  async compact(): Promise<void> {
    const [first, second] = this.#decisions.ranges(STREAM);
    if (first === undefined || second === undefined) return;
    await this.env.clock.advance(1_000);
    const objectId = await this.#newObject();
    const refs = [first, second].map((range) => ({ ...range, streamId: STREAM }));
    await this.#commit(() => {
      const range = { streamId: STREAM, startOffset: first.startOffset, endOffset: second.endOffset };
      const ranges = [{ ...range, sizeBytes: 200, maxTimestampMs: 5 }];
      return this.#decisions.replaceRanges([{ objectId, sizeBytes: sizeOf(objectId), ranges }], refs).records;
    });
    const dead = this.#decisions.destroyedObjects(this.env.clock.wallMs()).map((object) => object.objectId);
    await this.env.clock.run(this.#store.delete(dead.map(objectKey)));
    await this.#commit(() => this.#decisions.removeObjects(dead).records);
  }

  /** The region is lost. */
  async lose(): Promise<void> {
    await this.env.clock.run(this.#open.close());
    await this.env.clock.settle();
  }

  async #newObject(): Promise<number> {
    const [objectId = 0] = await this.#decide(() =>
      this.#decisions.prepareObjects(1, this.env.clock.wallMs() + 60_000),
    );
    const body = new Uint8Array(sizeOf(objectId));
    await this.env.clock.run(this.#store.put(objectKey(objectId), [body], { kind: 'absent' }));
    return objectId;
  }

  #commit(records: () => readonly JournalRecord[]): Promise<undefined> {
    return this.#decide(() => ({ records: records(), result: undefined }));
  }

  async #decide<T>(decide: () => Decision<T>): Promise<T> {
    const result = await this.env.clock.run(this.#open.commit(decide));
    await this.env.clock.settle();
    return result;
  }

  get #open(): ConditionalJournal {
    if (this.#journal === undefined) throw new Error('the source was started');
    return this.#journal;
  }
}

function sizeOf(objectId: number): number {
  return 100 + objectId;
}

/** The bucket in the other region: what has arrived of another one's puts, in any order. */
export class Replica {
  readonly bucket = new SimBucket();
  readonly #env: SimEnv;

  constructor(env: SimEnv, arrived: readonly Put[]) {
    this.#env = env;
    this.arrive(arrived);
  }

  arrive(puts: readonly Put[]): void {
    for (const { key, body } of puts) {
      this.bucket.objects.set(key, { body, etag: this.bucket.nextEtag() });
    }
  }

  store(): MemoryObjectStore {
    return new MemoryObjectStore(this.#env.clock, this.bucket);
  }

  promoted(): ObjectStore {
    return new GenerationStore(this.store(), 'generation/1/', DATA_PREFIX);
  }

  promote(options: Partial<PromotionOptions> = {}): Promise<PromotionReport> {
    const promoting = promote(this.#env, this.store(), this.promoted(), {
      writer: 'test',
      isPlan: false,
      acceptLoss: true,
      signal: new AbortController().signal,
      heard: () => undefined,
      ...options,
    });
    return this.#env.clock.run(promoting);
  }

  /** What a broker of the promoted cluster reads; with the journal, to go on. */
  async open(): Promise<Images & { readonly journal: ConditionalJournal }> {
    const images = { manifest: new ManifestImage(), metadata: new MetadataImage() };
    const opening = ConditionalJournal.open(this.#env, this.promoted(), [images.manifest, images.metadata], {
      writer: 'promoted',
    });
    return { ...images, journal: await this.#env.clock.run(opening) };
  }
}

/** The newest moment that is whole in the bucket, found without regard to cost. */
export function newestWhole(bucket: SimBucket, truth: ReadonlyMap<number, Images>): number | undefined {
  const keys = [...bucket.objects.keys()];
  const starts = keys.filter((key) => key.startsWith('meta/snap/')).map(sequenceOf);
  const entries = new Set(keys.filter((key) => key.startsWith('meta/log/')).map(sequenceOf));
  const isReadable = (sequence: number): boolean =>
    [0, ...starts].some((start) => {
      if (start > sequence) return false;
      for (let next = start + 1; next <= sequence; next++) if (!entries.has(next)) return false;
      return true;
    });
  const isWhole = ({ manifest }: Images): boolean =>
    [...manifest.objects()].every(
      ({ objectId, state, sizeBytes }) =>
        state !== 'committed' || bucket.objects.get(objectKey(objectId))?.body.length === sizeBytes,
    );
  return [...truth]
    .sort(([a], [b]) => b - a)
    .find(([sequence, images]) => isReadable(sequence) && isWhole(images))?.[0];
}
