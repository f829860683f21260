import { ClosedError } from '../base/errors.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { PartitionSet } from '../log/partitions.ts';
import type { Partitions } from '../server/services.ts';
import type { NodeLease } from './node-lease.ts';

/**
 * The partitions of this broker for as long as it can prove that it leads them (3.6): else they may be somebody else's
 * already, and what is known here not the newest any more (I8).
 */
export function leasedPartitions(partitions: PartitionSet, lease: NodeLease): Partitions {
  const ifStillOurs = (log: PartitionLog): PartitionLog => {
    if (lease.mayAnswerReaders()) return log;
    throw new ClosedError('the lease of this node ran out while the partition was opened');
  };
  return {
    open: (topicId, partition) => {
      if (!lease.mayAnswerReaders()) return undefined;
      const log = partitions.open(topicId, partition);
      // Opening reads from the bucket, and may take longer than the lease lives.
      return log instanceof Promise ? log.then(ifStillOurs) : log;
    },
  };
}
