import type { Env } from '../ports/env.ts';
import type { Address, Network } from '../ports/network.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import type { ServerStatus } from '../server/status.ts';
import type { StoreStatus } from '../store/stream.ts';
import type { StoreOptions } from '../store/stream-store.ts';
import type { ClusterStatus } from './cluster-node.ts';
import type { WalVolumes } from './wal-volume.ts';

/** Everything of the store's options that is no share of the broker's memory. */
export type StorePaces = Partial<
  Pick<
    StoreOptions,
    | 'uploadIntervalMs'
    | 'uploadEntries'
    | 'prepareTtlMs'
    | 'compactionIntervalMs'
    | 'compactionFanIn'
    | 'garbageIntervalMs'
    | 'deleteDelayMs'
    | 'closeTimeoutMs'
  >
>;

/** The world a broker lives in, chosen by its composition root. */
export interface BrokerWorld {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly network: Network;
  /** How clients come in. Default: `network`. */
  readonly clientNetwork?: Network;
  /** Where WALs are: on volumes, or each in the bucket as objects (protocol 2.2). */
  readonly volumes: WalVolumes | 'object';
}

export interface BrokerOptions {
  readonly nodeId: number;
  readonly listen: Address;
  /** What clients are told to connect to. Default: the address listened on. */
  readonly advertisedHost?: string;
  /** Where other brokers reach this one; they are told the address it listens on. */
  readonly internalListen: Address;
  /** The availability zone: whoever takes this broker's log over must be in it, too. */
  readonly zone: string;
  /** All buffers and caches; Node's own heap comes on top. */
  readonly memoryBytes: number;
  /** Kafka broker settings given at start, by their Kafka names. */
  readonly settings: Readonly<Record<string, string>>;
  /** Start although the volume with the last life's log is gone. */
  readonly acceptWalLoss?: boolean;
  /** Paces of the store other than the usual ones: simulations upload and clean up within seconds. */
  readonly storePaces?: StorePaces;
}

export interface BrokerStatus {
  readonly cluster: ClusterStatus;
  readonly server: ServerStatus;
  readonly store: StoreStatus;
  /** What the metadata log waits for, or undefined while it goes on: uploads wait for it too. */
  readonly metadataTrouble: string | undefined;
}

export interface CloseOptions {
  /** Gives the partitions to other brokers first. Without it clients wait for them: when all stop together. @default true */
  readonly drain?: boolean;
}
