import { MillraceError } from '../base/errors.ts';
import type { NodeRef } from '../metadata/cluster-metadata.ts';
import type { Registered } from '../metadata/commands.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import { type BrokerStreamStore, openStreamStore, type StoreContext } from '../store/stream-store.ts';
import { BlockWal, formatBlockWal, type MayAcknowledge, recoverBlockWal } from '../wal/block-wal.ts';
import { previousProcessExited } from '../wal/fence.ts';
import type { MemoryPlan } from './memory.ts';

export interface StoreOpening {
  readonly context: StoreContext;
  /** The WAL's devices in stripe order, held exclusively by this process. */
  readonly devices: readonly BlockDevice[];
  readonly self: NodeRef;
  readonly previous: Registered['previous'];
  /** The user says that what was only in a WAL that is gone may be lost. */
  readonly acceptWalLoss: boolean;
  readonly wal: MemoryPlan['wal'];
  readonly mayAcknowledge: MayAcknowledge;
  readonly onFailed: (error: Error) => void;
}

/**
 * What the last life of this broker left in its WAL goes into objects first; then the WAL begins anew.
 * @throws {BlankWalError}
 */
export async function openStore(opening: StoreOpening): Promise<BrokerStreamStore> {
  const { context, devices, self, previous, wal, mayAcknowledge, onFailed } = opening;
  const { env } = context;
  const owner = { clusterId: context.writer.clusterId, nodeId: self.nodeId };
  // Whoever recovered a dead life's log chose where it ends: what the devices still hold is not to be read again.
  const isNew = await formatBlockWal(devices, owner, env, previous === 'clean' ? 'given-up' : 'kept');
  if (isNew && previous !== 'clean' && previous !== 'none') refuseBlank(opening);
  const recovery = await recoverBlockWal(devices, owner, env, previousProcessExited(devices));
  return openStreamStore({
    ...context,
    recovered: recovery.groups(),
    startWal: (listener) =>
      BlockWal.open(recovery, { nodeEpoch: self.nodeEpoch, mayAcknowledge, ...wal }, env, listener),
    onFailed,
  });
}

function refuseBlank({ context, self, devices, acceptWalLoss }: StoreOpening): void {
  const names = devices.map(({ name }) => name).join(', ');
  if (!acceptWalLoss) {
    throw new BlankWalError(
      `node ${self.nodeId} was not stopped cleanly and its write-ahead log ${names} is blank: what was acknowledged ` +
        'and not uploaded yet is on the volume it had before; attach that one, or start with --accept-wal-loss to give ' +
        'it up',
    );
  }
  // Never silent (2.2).
  context.env.events.error('broker.wal-loss-accepted', {
    nodeId: self.nodeId,
    consequence: 'records acknowledged since the last upload of the life before are lost',
  });
}

/** Acknowledged records may be on a volume that is not here. */
export class BlankWalError extends MillraceError {
  readonly code = 'BLANK_WAL';
}
