import { invariant } from './base/errors.ts';
import { MemoryShare } from './base/memory-budget.ts';
import { planMemory, type MemoryPlan } from './broker/memory.ts';
import { KafkaSettings } from './broker/settings.ts';
import { GroupCoordinator } from './coordinator/group-coordinator.ts';
import { PartitionOffsetsLog } from './coordinator/partition-offsets-log.ts';
import { type MaintenancePace, type PartitionAssignment, PartitionSet } from './log/partitions.ts';
import type { ClusterMetadata, Partition, Topic } from './metadata/cluster-metadata.ts';
import { JournalMetadata } from './metadata/journal-metadata.ts';
import { MetadataImage } from './metadata/metadata-image.ts';
import type { BlockDevice } from './ports/block-device.ts';
import type { Env } from './ports/env.ts';
import type { Address, Network } from './ports/network.ts';
import type { ObjectStore } from './ports/object-store.ts';
import { allApis } from './server/apis.ts';
import { KafkaServer } from './server/server.ts';
import type { Services } from './server/services.ts';
import type { ServerStatus } from './server/status.ts';
import { JournalManifest } from './store/journal-manifest.ts';
import { ManifestImage } from './store/manifest-image.ts';
import type { StoreStatus } from './store/stream.ts';
import { type BrokerStreamStore, openStreamStore } from './store/stream-store.ts';
import { BlockWal, formatBlockWal, recoverBlockWal } from './wal/block-wal.ts';
import { ConditionalJournal } from './wal/conditional-journal.ts';

/** How long a stop waits for the partitions; the store has its own patience after it. */
const PARTITIONS_CLOSE_MS = 10_000;

/** The world a broker lives in, chosen by its composition root. */
export interface BrokerWorld {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly network: Network;
  /** The WAL's devices in stripe order, held exclusively by this process. */
  readonly devices: readonly BlockDevice[];
}

export interface BrokerOptions {
  readonly nodeId: number;
  readonly listen: Address;
  /** What clients are told to connect to. Default: the address listened on. */
  readonly advertisedHost?: string;
  /** The availability zone. */
  readonly rack: string | null;
  /** All buffers and caches; Node's own heap comes on top. */
  readonly memoryBytes: number;
  /** Kafka broker settings given at start, by their Kafka names. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface BrokerStatus {
  readonly server: ServerStatus;
  readonly store: StoreStatus;
  /** What the metadata log waits for, or undefined while it goes on: uploads wait for it too. */
  readonly metadataTrouble: string | undefined;
}

/**
 * One broker: the rooms below, wired together. Start and stop have an order that correctness rests on:
 *
 *   journal (who am I, what is true) → node epoch → WAL recovery, uploaded and committed → new WAL → serve
 *   stop serving → groups → partitions (snapshots) → store (uploads the rest) → journal
 */
export class Broker {
  /** Where clients connect. */
  readonly address: Address;
  /** Resolves with the reason when the broker cannot go on; the process must end then, and keeps its WAL (R10). */
  readonly failed: Promise<Error>;
  readonly #env: Env;
  readonly #server: KafkaServer;
  readonly #groups: GroupCoordinator;
  readonly #partitions: PartitionSet;
  readonly #store: BrokerStreamStore;
  readonly #journal: ConditionalJournal;

  private constructor(parts: {
    readonly env: Env;
    readonly address: Address;
    readonly failed: Promise<Error>;
    readonly server: KafkaServer;
    readonly groups: GroupCoordinator;
    readonly partitions: PartitionSet;
    readonly store: BrokerStreamStore;
    readonly journal: ConditionalJournal;
  }) {
    this.#env = parts.env;
    this.address = parts.address;
    this.failed = parts.failed;
    this.#server = parts.server;
    this.#groups = parts.groups;
    this.#partitions = parts.partitions;
    this.#store = parts.store;
    this.#journal = parts.journal;
  }

  /**
   * Opens everything and serves. Waits while the object store is down.
   * @throws {MillraceError} with the code of what is wrong: configuration, corruption, a device, an address in use
   */
  static async start(world: BrokerWorld, options: BrokerOptions): Promise<Broker> {
    const { env, objects } = world;
    const failure = Promise.withResolvers<Error>();
    let owned = true;
    const onFailed = (error: Error): void => {
      owned = false;
      failure.resolve(error);
    };

    const manifestImage = new ManifestImage();
    const metadataImage = new MetadataImage();
    const journal = await ConditionalJournal.open(env, objects, [manifestImage, metadataImage], {
      writer: `broker ${options.nodeId}`,
      onFailed,
    });
    const manifest = new JournalManifest(env, journal, manifestImage);
    const metadata = new JournalMetadata({
      env,
      journal,
      image: metadataImage,
      manifest,
      clusterId: journal.clusterId,
      brokerId: options.nodeId,
      staticSettings: options.settings,
    });
    const settings = new KafkaSettings(metadata);
    const plan = planMemory(options.memoryBytes, settings.limits);
    const hasLivedBefore = [...metadata.brokers()].some(({ nodeId }) => nodeId === options.nodeId);
    const nodeEpoch = await metadata.registerBroker({
      nodeId: options.nodeId,
      incarnationId: env.random.uuid(),
      walKind: 'block-single',
    });

    const store = await openStore({
      world,
      options,
      plan,
      metadata,
      nodeEpoch,
      hasLivedBefore,
      manifest,
      stillOwner: () => owned,
      onFailed,
    });
    const partitions = openPartitions({
      env,
      store,
      metadata,
      manifest,
      nodeId: options.nodeId,
      pace: () => settings.maintenance,
    });
    const admit: Services['admit'] = (...asked) => store.admit(...asked);
    const groups = new GroupCoordinator({
      env,
      config: settings.groups,
      brokerId: options.nodeId,
      metadata,
      openLog: async (topicId, partition) => {
        const log = await partitions.open(topicId, partition);
        return log === undefined ? undefined : new PartitionOffsetsLog(log, env.clock, admit);
      },
    });

    let address = options.listen;
    const services: Services = {
      env,
      brokerId: options.nodeId,
      metadata,
      partitions,
      groups,
      admit,
      settings: settings.server,
      options: plan.server,
      fetchMemory: new MemoryShare('server.fetch', plan.server.fetchMemoryBytes),
      brokers: {
        controllerId: options.nodeId,
        reachableFrom: () => [
          {
            id: options.nodeId,
            host: options.advertisedHost ?? address.host,
            port: address.port,
            rack: options.rack,
          },
        ],
      },
    };
    const server = new KafkaServer(services, allApis(), { onFatal: onFailed });
    groups.start();
    address = await server.listen(world.network, options.listen);
    partitions.startMaintenance();
    env.events.info('broker.serving', { nodeId: options.nodeId, nodeEpoch, ...address });
    return new Broker({ env, address, failed: failure.promise, server, groups, partitions, store, journal });
  }

  status(): BrokerStatus {
    return {
      server: this.#server.status,
      store: this.#store.status(),
      metadataTrouble: this.#journal.trouble,
    };
  }

  /** A clean stop: clients are answered, everything is uploaded, the next start has nothing to replay. */
  async close(): Promise<void> {
    // First: members parked in a rebalance are answered by it, and the server waits for their answers.
    this.#groups.close();
    await this.#server.close();
    await this.#closePartitions();
    await this.#store.close();
    await this.#journal.close();
  }

  /** Snapshots only spare the next start work, and they wait for the object store: not for ever. */
  async #closePartitions(): Promise<void> {
    const { clock, events } = this.#env;
    const closed = this.#partitions.close().then(() => true);
    const late = new AbortController();
    const timedOut = clock.sleep(PARTITIONS_CLOSE_MS, late.signal).then(
      () => false,
      () => true,
    );
    if (!(await Promise.race([closed, timedOut]))) {
      events.warn('broker.partitions-not-closed', { afterMs: PARTITIONS_CLOSE_MS });
    }
    late.abort();
  }
}

interface StoreOpening {
  readonly world: BrokerWorld;
  readonly options: BrokerOptions;
  readonly plan: MemoryPlan;
  readonly metadata: ClusterMetadata;
  readonly nodeEpoch: number;
  readonly hasLivedBefore: boolean;
  readonly manifest: JournalManifest;
  readonly stillOwner: () => boolean;
  readonly onFailed: (error: Error) => void;
}

/** What the last life of this broker left in its WAL goes into objects first; then the WAL begins anew. */
async function openStore(opening: StoreOpening): Promise<BrokerStreamStore> {
  const { world, options, plan, metadata, nodeEpoch, hasLivedBefore, manifest, stillOwner, onFailed } =
    opening;
  const { env, objects, devices } = world;
  const owner = { clusterId: metadata.clusterId, nodeId: options.nodeId };
  if ((await formatBlockWal(devices, owner, env)) && hasLivedBefore) {
    // Legitimate after a clean stop only; nobody can tell here, so it is never silent (2.2).
    env.events.error('broker.wal-replaced', {
      nodeId: options.nodeId,
      consequence:
        'records acknowledged since the last upload are lost if this broker was not stopped cleanly',
    });
  }
  const recovery = await recoverBlockWal(devices, owner, env);
  return openStreamStore({
    env,
    objects,
    manifest,
    writer: { ...owner, nodeEpoch },
    memory: plan.storeBudget,
    options: plan.store,
    recovered: recovery.groups(),
    // The devices are held exclusively until this process exits (3.4 step 1); what remains to be proven after each
    // write is that nobody took the metadata log over and nothing of ours failed.
    startWal: (listener) =>
      BlockWal.open(
        recovery,
        {
          nodeEpoch,
          stillOwner,
          ...plan.wal,
        },
        env,
        listener,
      ),
    onFailed,
  });
}

interface PartitionsOpening {
  readonly env: Env;
  readonly store: BrokerStreamStore;
  readonly metadata: ClusterMetadata;
  readonly manifest: JournalManifest;
  readonly nodeId: number;
  readonly pace: () => MaintenancePace;
}

function openPartitions(opening: PartitionsOpening): PartitionSet {
  const { env, store, metadata, manifest, nodeId, pace } = opening;
  // Metadata shows a topic while the entry that creates it is on its way to the log: nothing is written to it yet.
  const isLed = ({ leaderId, dataStreamId, stateStreamId }: Partition): boolean =>
    leaderId === nodeId && manifest.isCreated(dataStreamId) && manifest.isCreated(stateStreamId);
  const assign = (topic: Topic, partition: Partition): PartitionAssignment | undefined =>
    !isLed(partition)
      ? undefined
      : {
          topicId: topic.id,
          topic: topic.name,
          partition: partition.index,
          leaderEpoch: partition.leaderEpoch,
          dataStreamId: partition.dataStreamId,
          stateStreamId: partition.stateStreamId,
          config: metadata.logConfig(topic.name),
        };
  const set = new PartitionSet({
    env,
    store,
    pace,
    assignment: (topicId, index) => {
      const topic = metadata.topicById(topicId);
      const partition = topic?.partitions[index];
      return topic === undefined || partition === undefined ? undefined : assign(topic, partition);
    },
    assignments: function* () {
      for (const topic of metadata.topics()) {
        for (const partition of topic.partitions) {
          const assignment = assign(topic, partition);
          if (assignment !== undefined) yield assignment;
        }
      }
    },
  });
  metadata.onChange((change) => {
    for (const topic of change.deleted) set.drop(topic.id);
    for (const topic of change.changed) {
      invariant(metadata.topicById(topic.id) !== undefined, 'broker', 'a changed topic exists', {
        topic: topic.id,
      });
      set.reconfigure(topic.id, metadata.logConfig(topic.name));
    }
  });
  return set;
}
