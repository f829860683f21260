import { JournalMetadata } from '../../broker-runtime/src/metadata/journal-metadata.ts';
import type { JournalMetadataParts } from '../../broker-runtime/src/metadata/journal-metadata.ts';
import type {
  CreateTopic,
  MetadataChange,
  TopicResult,
} from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { MetadataImage } from '../../broker-runtime/src/metadata/metadata-image.ts';
import { JournalManifest } from '../../broker-runtime/src/store/journal-manifest.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import type { SimEnv } from '../simulation/world/sim-env.ts';

export interface World {
  readonly env: SimEnv;
  readonly bucket: SimBucket;
  readonly store: MemoryObjectStore;
  readonly journal: ConditionalJournal;
  readonly manifest: JournalManifest;
  readonly metadata: JournalMetadata;
  /** Everything listeners were told, in order. */
  readonly changes: MetadataChange[];
}

/** The metadata of a broker over a bucket; `before` is the world it is restarted in. */
export async function openMetadata(
  parts: Partial<Pick<JournalMetadataParts, 'staticSettings' | 'limits' | 'brokerId'>> = {},
  before?: World,
): Promise<World> {
  const env = before?.env ?? simEnv(1);
  const bucket = before?.bucket ?? new SimBucket();
  const store = new MemoryObjectStore(env.clock, bucket);
  const manifestImage = new ManifestImage();
  const image = new MetadataImage();
  const journal = await ConditionalJournal.open(env, store, [manifestImage, image], { writer: 'test' });
  const manifest = new JournalManifest(env, journal, manifestImage);
  const metadata = new JournalMetadata({
    env,
    journal,
    image,
    manifest,
    clusterId: journal.clusterId,
    brokerId: 0,
    staticSettings: {},
    ...parts,
  });
  const changes: MetadataChange[] = [];
  metadata.onChange((change) => changes.push(change));
  return { env, bucket, store, journal, manifest, metadata, changes };
}

export function topicRequest(name: string, fields: Partial<CreateTopic> = {}): CreateTopic {
  return { name, partitionCount: 1, replicationFactor: 1, assignments: [], configs: [], ...fields };
}

export async function createTopic(
  { metadata }: World,
  name: string,
  fields: Partial<CreateTopic> = {},
): Promise<TopicResult> {
  const [result] = await metadata.createTopics([topicRequest(name, fields)], false);
  if (result === undefined) throw new Error('one request has one answer');
  return result;
}
