import { ClosedError } from './base/errors.ts';
import { MemoryShare } from './base/memory-budget.ts';
import { blockLogs } from './broker/block-logs.ts';
import { closeStep } from './broker/close-step.ts';
import { ClusterNode } from './broker/cluster-node.ts';
import { KnownBrokers } from './broker/known-brokers.ts';
import { ledPartitions } from './broker/led-partitions.ts';
import { leasedPartitions } from './broker/leased-partitions.ts';
import { planMemory } from './broker/memory.ts';
import { objectLogs } from './broker/object-logs.ts';
import { partitionLoads } from './broker/partition-loads.ts';
import type { BrokerOptions, BrokerStatus, BrokerWorld, CloseOptions } from './broker/options.ts';
import { PartitionMoves } from './broker/partition-moves.ts';
import { KafkaSettings } from './broker/settings.ts';
import { Takeovers } from './broker/takeover.ts';
import { GroupCoordinator } from './coordinator/group-coordinator.ts';
import { PartitionOffsetsLog } from './coordinator/partition-offsets-log.ts';
import type { PartitionSet } from './log/partitions.ts';
import type { Env } from './ports/env.ts';
import type { Address } from './ports/network.ts';
import { allApis } from './server/apis.ts';
import { KafkaServer } from './server/server.ts';
import type { Services } from './server/services.ts';
import { type BrokerStreamStore, openStreamStore, type StoreContext } from './store/stream-store.ts';
import type { MayAcknowledge } from './wal/block-wal.ts';

export type { BrokerOptions, BrokerStatus, BrokerWorld, CloseOptions, StorePaces } from './broker/options.ts';

/** How long a stop waits for each step; the store has its own patience. */
const DRAIN_MS = 15_000;
const PARTITIONS_CLOSE_MS = 10_000;
const LEAVE_MS = 5_000;

interface BrokerParts {
  readonly env: Env;
  readonly address: Address;
  readonly failed: Promise<Error>;
  readonly cluster: ClusterNode;
  readonly server: KafkaServer;
  readonly groups: GroupCoordinator;
  readonly partitions: PartitionSet;
  readonly store: BrokerStreamStore;
  readonly stopping: AbortController;
}

/**
 * One broker: the rooms below, wired together. Start and stop have an order that correctness rests on:
 *
 *   candidate for controller, follower of the log → registered: node epoch and lease → the last life's WAL recovered,
 *   uploaded and committed → new WAL → serve
 *   give partitions away → stop serving → groups → partitions → store (uploads the rest) → leave the cluster
 */
export class Broker {
  /** Where clients connect. */
  readonly address: Address;
  /** Where other brokers connect. */
  readonly internalAddress: Address;
  /** Resolves with the reason when the broker cannot go on; the process must end then, and keeps its WAL (R10). */
  readonly failed: Promise<Error>;
  readonly #parts: BrokerParts;

  private constructor(parts: BrokerParts) {
    this.#parts = parts;
    this.address = parts.address;
    this.internalAddress = parts.cluster.address;
    this.failed = parts.failed;
  }

  /**
   * Opens everything and serves. Waits while the object store is down.
   * @throws {MillraceError} with the code of what is wrong: configuration, corruption, a device, an address in use
   */
  static async start(world: BrokerWorld, options: BrokerOptions): Promise<Broker> {
    const failure = Promise.withResolvers<Error>();
    let hasFailed = false;
    const onFailed = (error: Error): void => {
      hasFailed = true;
      failure.resolve(error);
    };
    const cluster = await ClusterNode.open(world, { ...options, onFailed });
    try {
      return await Broker.#serve(cluster, world, options, { failure, hasFailed: () => hasFailed, onFailed });
    } catch (error) {
      // Nobody may take this process for a member, or a controller, that will never serve.
      await cluster.close();
      throw error;
    }
  }

  static async #serve(
    cluster: ClusterNode,
    world: BrokerWorld,
    options: BrokerOptions,
    life: {
      readonly failure: PromiseWithResolvers<Error>;
      readonly hasFailed: () => boolean;
      readonly onFailed: (error: Error) => void;
    },
  ): Promise<Broker> {
    const { env, objects } = world;
    const { nodeId } = options;
    const { failure, hasFailed, onFailed } = life;
    const stopping = new AbortController();
    const { metadata, manifest } = cluster;
    const settings = new KafkaSettings(metadata);
    const plan = planMemory(options.memoryBytes, settings.limits);
    const { nodeEpoch, previous } = await cluster.member.register({
      nodeId,
      incarnationId: env.random.uuid(),
      walKind: world.volumes === 'object' ? 'object' : world.volumes.kind,
      zone: options.zone,
    });
    const context: StoreContext = {
      env,
      objects,
      manifest,
      writer: { clusterId: metadata.clusterId, nodeId, nodeEpoch },
      memory: plan.storeBudget,
      options: { ...plan.store, ...options.storePaces },
      duties: {
        compacts: (streamId) => cluster.leaderOfStream(streamId) === nodeId,
        collectsGarbage: () => cluster.isController,
      },
    };
    const { lease } = cluster.member;
    const serving = Promise.withResolvers<undefined>();
    let isServing = false;
    const mayAcknowledge: MayAcknowledge = () => {
      if (hasFailed()) return Promise.reject(new ClosedError('this broker stops: something of it failed'));
      // A life that never served acknowledged nothing: whoever comes after it relies on that.
      return isServing ? lease.proof() : serving.promise;
    };
    const shared = { env, clusterId: metadata.clusterId, memory: plan.wal };
    const logs =
      world.volumes === 'object'
        ? objectLogs({ ...shared, objects, signal: stopping.signal })
        : blockLogs({
            ...shared,
            volumes: world.volumes,
            mayAcknowledge,
            acceptWalLoss: options.acceptWalLoss ?? false,
          });
    const log = await logs.openOwn(cluster.member.self, previous);
    const store = await openStreamStore({
      ...context,
      recovered: log.groups(),
      startWal: (listener) => log.start(listener),
      onFailed,
    });
    const { self } = cluster.member;
    const { holds } = logs;
    if (holds !== undefined) cluster.member.relyOnVolume(() => holds(self));
    const stopWatching = logs.watch(self, onFailed);
    stopping.signal.addEventListener('abort', stopWatching, { once: true });
    const partitions = ledPartitions({ env, store, metadata, nodeId, pace: () => settings.maintenance });
    const admit: Services['admit'] = (...asked) => store.admit(...asked);
    const groups = new GroupCoordinator({
      env,
      config: settings.groups,
      brokerId: nodeId,
      metadata,
      openLog: async (topicId, partition) => {
        const log = await partitions.open(topicId, partition);
        return log === undefined ? undefined : new PartitionOffsetsLog(log, env.clock, admit);
      },
      mayAnswerReaders: () => lease.mayAnswerReaders(),
    });
    const services: Services = {
      env,
      brokerId: nodeId,
      metadata,
      partitions: leasedPartitions(partitions, lease),
      groups,
      admit,
      settings: settings.server,
      options: plan.server,
      fetchMemory: new MemoryShare('server.fetch', plan.server.fetchMemoryBytes),
      brokers: new KnownBrokers(metadata, nodeId),
    };
    const server = new KafkaServer(services, allApis(), { onFatal: onFailed });
    const { commands } = cluster.member;
    const moves = new PartitionMoves({ env, nodeId, partitions, commands, metadata });
    cluster.member.tellLoad(partitionLoads(env.clock, partitions));
    const takeovers = new Takeovers({
      env,
      self: cluster.member.self,
      metadata,
      commands,
      logs,
      manifestOf: (recovery) => cluster.recoveryManifest(recovery),
      context,
      signal: stopping.signal,
    });
    groups.start();
    const address = await server.listen(world.clientNetwork ?? world.network, options.listen);
    partitions.startMaintenance();
    const host = options.advertisedHost ?? address.host;
    await commands.send('node.serve', { host, port: address.port });
    isServing = true;
    serving.resolve(undefined);
    metadata.onChange((change) => {
      // A topic may come with its first move: created and moving in one step.
      for (const topic of [...change.created, ...change.changed]) moves.follow(topic);
      if (change.brokers) takeovers.follow();
    });
    for (const topic of metadata.topics()) moves.follow(topic);
    takeovers.follow();
    env.events.info('broker.serving', { nodeId, nodeEpoch, ...address });
    return new Broker({
      env,
      address,
      failed: failure.promise,
      cluster,
      server,
      groups,
      partitions,
      store,
      stopping,
    });
  }

  status(): BrokerStatus {
    const { cluster, server, store } = this.#parts;
    return {
      cluster: cluster.status,
      server: server.status,
      store: store.status(),
      metadataTrouble: cluster.trouble,
    };
  }

  /**
   * A clean stop: clients are answered, everything is uploaded, the next start has nothing to replay.
   * @returns whether everything was uploaded in time; else the next start finds the rest in the WAL
   */
  async close({ drain = true }: CloseOptions = {}): Promise<boolean> {
    const { env, cluster, server, groups, partitions, store, stopping } = this.#parts;
    if (drain) await closeStep(env, 'drain', DRAIN_MS, cluster.drain());
    stopping.abort();
    // First: members parked in a rebalance are answered by it, and the server waits for their answers.
    groups.close();
    await server.close();
    // Snapshots only spare the next start work, and they wait for the object store: not for ever.
    await closeStep(env, 'partitions', PARTITIONS_CLOSE_MS, partitions.close());
    const isEmpty = await store.close();
    if (isEmpty) await closeStep(env, 'leave', LEAVE_MS, cluster.leave());
    await cluster.close();
    return isEmpty;
  }
}
