import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { Env } from '../ports/env.ts';

/**
 * What handlers work on. `broker.ts` builds it; a handler gets all it needs from here and keeps no state of its
 * own. The group coordinator joins here with its own interface.
 */
export interface Services {
  readonly env: Env;
  readonly brokerId: number;
  readonly metadata: ClusterMetadata;
  readonly partitions: Partitions;
  /** Admission to the WAL: the back-pressure of everything that appends; see `StreamStore.admit`. */
  admit(payloadBytes: number, entryCount: number): Promise<void> | undefined;
}

/** The partitions this broker leads. */
export interface Partitions {
  /** Opens on first use (state is rebuilt before it resolves, I14); synchronous when open. Undefined: not ours. */
  open(topicId: string, partition: number): PartitionLog | Promise<PartitionLog> | undefined;
}
