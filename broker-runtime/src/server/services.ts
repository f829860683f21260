import type { MemoryShare } from '../base/memory-budget.ts';
import type { GroupCoordinator } from '../coordinator/group-coordinator.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import type { Address } from '../ports/network.ts';
import type { Patience } from '../wal/wal.ts';
import type { ServerOptions } from './options.ts';

/**
 * What handlers work on. `broker.ts` builds it; a handler gets all it needs from here and keeps no state of its own.
 */
export interface Services {
  readonly env: Env;
  readonly brokerId: number;
  readonly metadata: ClusterMetadata;
  readonly partitions: Partitions;
  readonly groups: GroupCoordinator;
  readonly brokers: Brokers;
  readonly settings: BrokerSettings;
  readonly options: ServerOptions;
  /** Record bytes fetches hold until they are sent. */
  readonly fetchMemory: MemoryShare;
  /** Admission to the WAL: the back-pressure of everything that appends; see `StreamStore.admit`. */
  admit(payloadBytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined;
}

/** The partitions this broker leads. */
export interface Partitions {
  /** Opens on first use (state is rebuilt before it resolves, I14); synchronous when open. Undefined: not ours. */
  open(topicId: string, partition: number): PartitionLog | Promise<PartitionLog> | undefined;
}

/** The brokers of the cluster, as clients are told to reach them. */
export interface Brokers {
  /** Addresses valid for a client that reached us at `local`: every listener advertises its own (KIP-103). */
  reachableFrom(local: Address): readonly BrokerEndpoint[];
  /** A live broker that admin requests may go to. Any can be asked; all of them must name one. */
  readonly controllerId: number;
}

export interface BrokerEndpoint {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  /** The availability zone, or null. */
  readonly rack: string | null;
}

/** Settings given at start that handlers act on; Kafka's names stand beside them. */
export interface BrokerSettings {
  /** `auto.create.topics.enable` */
  readonly autoCreateTopics: boolean;
  /** `delete.topic.enable` */
  readonly deleteTopics: boolean;
}
