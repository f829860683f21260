import { backoffMs } from '../base/backoff.ts';
import { ControllerSeat } from '../controller/controller-seat.ts';
import { controllerHandlers } from '../controller/controller-service.ts';
import type { NodeRef, Partition } from '../metadata/cluster-metadata.ts';
import type { RecoveryRef } from '../metadata/commands.ts';
import { FollowedMetadata } from '../metadata/followed-metadata.ts';
import { manifestChanges } from '../metadata/manifest-changes.ts';
import { MetadataImage } from '../metadata/metadata-image.ts';
import { staticSettings } from '../metadata/static-settings.ts';
import type { Env } from '../ports/env.ts';
import type { Address, Network } from '../ports/network.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { RpcServer } from '../rpc/server.ts';
import { FollowedManifest } from '../store/followed-manifest.ts';
import { ManifestImage } from '../store/manifest-image.ts';
import type { Manifest } from '../store/manifest.ts';
import { LogFollower } from '../wal/log-follower.ts';
import { ClusterMember } from './cluster-member.ts';
import { ControllerLink } from './controller-link.ts';

/** Pauses while the first controller of a new cluster makes its log. */
const FIRST_LOG_PAUSE = { firstMs: 20, maxMs: 500 };
/** How often a broker that wants to leave looks whether it leads nothing any more. */
const DRAIN_POLL_MS = 20;
/** What it is given after that goes to the others when it leaves, and waits for as long as that takes. */
const DRAIN_ROUNDS_MAX = 8;

export interface ClusterNodeWorld {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly network: Network;
}

export interface ClusterNodeOptions {
  readonly nodeId: number;
  readonly internalListen: Address;
  readonly settings: Readonly<Record<string, string>>;
  /** This process cannot go on. */
  readonly onFailed: (error: Error) => void;
}

export interface ClusterStatus extends NodeRef {
  readonly isController: boolean;
}

/**
 * A process's place in the cluster (docs/cluster.md): candidate for controller, follower of the metadata log, and member
 * that registers, sends heartbeats and asks for changes.
 */
export class ClusterNode {
  readonly address: Address;
  readonly member: ClusterMember;
  readonly metadata: FollowedMetadata;
  readonly manifest: FollowedManifest;
  readonly #env: Env;
  readonly #nodeId: number;
  readonly #rpc: RpcServer;
  readonly #seat: ControllerSeat;
  readonly #link: ControllerLink;
  readonly #follower: LogFollower;
  readonly #images: Images;

  /**
   * Joins, or founds the cluster. Waits while the object store is down, or nobody leads yet.
   * @throws {ListenError | InvalidSettingError | CorruptionError}
   */
  static async open(world: ClusterNodeWorld, options: ClusterNodeOptions): Promise<ClusterNode> {
    const { env, objects, network } = world;
    const { nodeId, onFailed } = options;
    const settings = staticSettings(nodeId, options.settings);
    const images = { metadata: new MetadataImage(), manifest: new ManifestImage() };
    const sessionTimeoutMs = Number(FollowedMetadata.startSetting('broker.session.timeout.ms', settings));
    // The seat is made when the address is known under which it can be found.
    const seated: { seat?: ControllerSeat } = {};
    const rpc = new RpcServer(
      env,
      controllerHandlers(() => seated.seat?.current),
      { onFatal: onFailed },
    );
    const address = await rpc.listen(network, options.internalListen);
    let follower: LogFollower | undefined = undefined;
    const seat = new ControllerSeat(env, objects, {
      nodeId,
      address,
      staticSettings: settings,
      sessionTimeoutMs,
      epochSeen: () => follower?.epoch ?? 0,
      onFatal: onFailed,
    });
    seated.seat = seat;
    seat.start();
    follower = await followLog(env, objects, images);
    const link = new ControllerLink({ env, network, leader: () => seat.leader() });
    const member = new ClusterMember({
      env,
      nodeId,
      link,
      follower,
      sessionTimeoutMs,
      onFenced: onFailed,
    });
    const metadata = new FollowedMetadata({
      image: images.metadata,
      commands: member.commands,
      clusterId: follower.clusterId,
      brokerId: nodeId,
      staticSettings: settings,
    });
    metadata.imageMoved();
    follower.onApplied(() => metadata.imageMoved());
    return new ClusterNode({ env, nodeId, address, rpc, seat, link, follower, images, member, metadata });
  }

  private constructor(parts: {
    readonly env: Env;
    readonly nodeId: number;
    readonly address: Address;
    readonly rpc: RpcServer;
    readonly seat: ControllerSeat;
    readonly link: ControllerLink;
    readonly follower: LogFollower;
    readonly images: Images;
    readonly member: ClusterMember;
    readonly metadata: FollowedMetadata;
  }) {
    this.#env = parts.env;
    this.#nodeId = parts.nodeId;
    this.address = parts.address;
    this.#rpc = parts.rpc;
    this.#seat = parts.seat;
    this.#link = parts.link;
    this.#follower = parts.follower;
    this.#images = parts.images;
    this.member = parts.member;
    this.metadata = parts.metadata;
    this.manifest = new FollowedManifest(parts.images.manifest, manifestChanges(parts.member.commands));
  }

  get status(): ClusterStatus {
    return { ...this.member.self, isController: this.isController };
  }

  get isController(): boolean {
    return this.#seat.current !== undefined;
  }

  /** Why the metadata log cannot be written or read at the moment, for people; undefined while all goes well. */
  get trouble(): string | undefined {
    return this.#seat.current?.trouble ?? this.#follower.trouble;
  }

  /** Who leads the partition that a stream belongs to. */
  leaderOfStream(streamId: number): number | undefined {
    return this.#images.metadata.partitionOfStream(streamId)?.leaderId;
  }

  /** The manifest with changes in the place of a dead node whose log is being recovered. */
  recoveryManifest(recovery: RecoveryRef): Manifest {
    return new FollowedManifest(this.#images.manifest, manifestChanges(this.member.commands, recovery));
  }

  /**
   * Gives all partitions away; resolves when others lead them. At once when nobody else is there. Until it has left, a
   * node may be given more, by a new topic or by the death of another: then once more.
   */
  async drain(): Promise<void> {
    for (let round = 0; round < DRAIN_ROUNDS_MAX; round++) {
      await this.member.commands.send('node.drain', {});
      while (this.#leadsAny(({ movingTo }) => movingTo !== undefined)) {
        await this.#env.clock.sleep(DRAIN_POLL_MS);
      }
      if (!this.#hasNeighbours() || !this.#leadsAny(() => true)) return;
    }
  }

  #leadsAny(such: (partition: Partition) => boolean): boolean {
    for (const { partitions } of this.metadata.topics()) {
      for (const partition of partitions) {
        if (partition.leaderId === this.#nodeId && such(partition)) return true;
      }
    }
    return false;
  }

  #hasNeighbours(): boolean {
    for (const broker of this.metadata.brokers()) {
      if (broker.nodeId !== this.#nodeId && broker.state === 'active' && broker.endpoint !== undefined)
        return true;
    }
    return false;
  }

  /** Nothing that is needed is in this node's WAL any more: its slot is free. */
  leave(): Promise<void> {
    return this.member.leave();
  }

  async close(): Promise<void> {
    this.#link.close();
    await this.member.close();
    await this.#seat.close();
    await this.#rpc.close();
    this.#follower.close();
  }
}

interface Images {
  readonly metadata: MetadataImage;
  readonly manifest: ManifestImage;
}

async function followLog(env: Env, objects: ObjectStore, images: Images): Promise<LogFollower> {
  for (let repeat = 0; ; repeat++) {
    const follower = await LogFollower.open(env, objects, [images.manifest, images.metadata]);
    if (follower !== undefined) return follower;
    await env.clock.sleep(backoffMs(repeat, FIRST_LOG_PAUSE, env.random));
  }
}
