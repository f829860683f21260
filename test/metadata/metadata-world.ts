import type { ClusterDecisionsParts } from '../../broker-runtime/src/metadata/cluster-decisions.ts';
import { ClusterDecisions } from '../../broker-runtime/src/metadata/cluster-decisions.ts';
import type {
  CreateTopic,
  MetadataChange,
  NodeRef,
  TopicResult,
} from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import type {
  CommandArgs,
  CommandName,
  CommandResult,
  Commands,
} from '../../broker-runtime/src/metadata/commands.ts';
import { FollowedMetadata } from '../../broker-runtime/src/metadata/followed-metadata.ts';
import { MetadataImage } from '../../broker-runtime/src/metadata/metadata-image.ts';
import { staticSettings } from '../../broker-runtime/src/metadata/static-settings.ts';
import { ImageManifest } from '../../broker-runtime/src/store/image-manifest.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import type { ManifestView } from '../../broker-runtime/src/store/manifest.ts';
import { ConditionalJournal } from '../../broker-runtime/src/wal/conditional-journal.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import type { SimEnv } from '../simulation/world/sim-env.ts';
import { commitWithRecords, copyImage } from '../store/local-manifest.ts';

export interface World {
  readonly env: SimEnv;
  readonly bucket: SimBucket;
  readonly store: MemoryObjectStore;
  readonly journal: ConditionalJournal;
  readonly manifest: ManifestView;
  readonly metadata: FollowedMetadata;
  /** Everything listeners were told, in order. */
  readonly changes: MetadataChange[];
  /** Sends a command as the given life of a node. */
  as(node: NodeRef): Commands;
}

export interface WorldParts {
  readonly brokerId?: number;
  readonly staticSettings?: Readonly<Record<string, string>>;
  readonly limits?: ClusterDecisionsParts['limits'];
  /** False: no node is registered yet. Default: `brokerId` serves. */
  readonly serves?: boolean;
}

/**
 * A broker's metadata, with the decisions of the controller made in the same process; `before` is the world it is
 * restarted in.
 */
export async function openMetadata(parts: WorldParts = {}, before?: World): Promise<World> {
  const { brokerId = 0, limits, serves = true } = parts;
  const env = before?.env ?? simEnv(1);
  const bucket = before?.bucket ?? new SimBucket();
  const store = new MemoryObjectStore(env.clock, bucket);
  const ahead = { metadata: new MetadataImage(), manifest: new ManifestImage() };
  const images = [ahead.manifest, ahead.metadata];
  const journal = await ConditionalJournal.open(env, store, images, { writer: 'test' });
  const settings = staticSettings(brokerId, parts.staticSettings ?? {});
  const decisions = new ClusterDecisions({
    env,
    ...ahead,
    nodeId: brokerId,
    staticSettings: settings,
    ...(limits === undefined ? {} : { limits }),
  });
  const image = copyImage(ahead.metadata, new MetadataImage());
  const manifestImage = copyImage(ahead.manifest, new ManifestImage());
  const followed = new Map([image, manifestImage].map((one) => [one.kind, one]));
  const as = (node: NodeRef): Commands => ({
    send: async <N extends CommandName>(name: N, args: CommandArgs<N>): Promise<CommandResult<N>> => {
      // Through JSON, as between processes.
      const sent = JSON.parse(JSON.stringify(args)) as CommandArgs<N>;
      const { result, records, sequence } = await commitWithRecords(journal, (next) =>
        decisions.decide(name, sent, node, next),
      );
      for (const { kind, bytes } of records) followed.get(kind)?.apply(bytes, sequence);
      metadata.imageMoved();
      return JSON.parse(JSON.stringify(result)) as CommandResult<N>;
    },
  });
  const self = { nodeId: brokerId, nodeEpoch: 0 };
  const metadata: FollowedMetadata = new FollowedMetadata({
    image,
    commands: { send: (name, args) => as(self).send(name, args) },
    clusterId: journal.clusterId,
    brokerId,
    staticSettings: settings,
  });
  metadata.imageMoved();
  if (serves) {
    const registration = { nodeId: brokerId, incarnationId: env.random.uuid(), walKind: 'test', zone: '' };
    self.nodeEpoch = (await as(self).send('node.register', registration)).nodeEpoch;
    await as(self).send('node.serve', { host: 'localhost', port: 9092 });
  }
  const changes: MetadataChange[] = [];
  metadata.onChange((change) => changes.push(change));
  return { env, bucket, store, journal, manifest: new ImageManifest(manifestImage), metadata, changes, as };
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
