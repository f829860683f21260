import type { NodeRef } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { fenceObjectWal, ObjectWal, recoverObjectWal } from '../wal/object-wal.ts';
import type { MemoryPlan } from './memory.ts';
import type { NodeLogs } from './node-logs.ts';

export interface ObjectLogsParts {
  readonly env: Env;
  readonly objects: ObjectStore;
  readonly clusterId: string;
  readonly memory: MemoryPlan['wal'];
  /** Aborted when this broker stops: what waits for the bucket is given up. */
  readonly signal: AbortSignal;
}

/**
 * Logs in the bucket: any node can take any other's over, and the loss of a zone loses nothing. The fence object beside
 * each log decides who writes, so acknowledgements need no lease.
 */
export function objectLogs({ env, objects, clusterId, memory, signal }: ObjectLogsParts): NodeLogs {
  const medium = { env, objects, signal };
  const ownerOf = (nodeId: number): { clusterId: string; nodeId: number } => ({ clusterId, nodeId });
  return {
    kind: 'object',
    openOwn: async (self: NodeRef, previous) => {
      const owner = ownerOf(self.nodeId);
      // All epochs before this one, whichever wrote last.
      const by = { epoch: self.nodeEpoch - 1, recoverer: self.nodeId, attempt: 0 };
      const proof = await fenceObjectWal(medium, owner, by);
      const { trimmedUpTo, ackedUpTo } = proof.record;
      // Whoever recovered a dead life's log chose where it ends: what lies in the bucket is not to be read again.
      const isGivenUp = previous?.state === 'clean';
      const recovery = await recoverObjectWal(
        proof,
        medium,
        isGivenUp ? { committedEnd: Math.max(trimmedUpTo, ackedUpTo) } : {},
      );
      return {
        groups: () => recovery.groups(),
        start: (listener) =>
          ObjectWal.open(recovery, objects, { nodeEpoch: self.nodeEpoch, ...memory }, env, listener),
      };
    },
    takeOver: async ({ nodeId, nodeEpoch }, by, attempt) => {
      const fencedBy = { epoch: nodeEpoch, recoverer: by.nodeId, attempt };
      const proof = await fenceObjectWal(medium, ownerOf(nodeId), fencedBy);
      const recovery = await recoverObjectWal(proof, medium);
      return {
        groups: () => recovery.groups(),
        discard: () => recovery.discard(),
        close: () => Promise.resolve(),
      };
    },
    // Every acknowledgement asks the fence.
    watch: () => () => undefined,
    holds: undefined,
  };
}
