import { invariant, MillraceError } from '../base/errors.ts';
import type { NodeRef, PreviousLife } from '../metadata/cluster-metadata.ts';
import { type BrokerStreamStore, openStreamStore, type StoreContext } from '../store/stream-store.ts';
import {
  BlockWal,
  type BlockWalRecovery,
  formatBlockWal,
  isBlank,
  type LogOwner,
  type MayAcknowledge,
  type RecoveredGroup,
  recoverBlockWal,
} from '../wal/block-wal.ts';
import type { MemoryPlan } from './memory.ts';
import type { WalDevices, WalVolumes } from './wal-volume.ts';

export interface StoreOpening {
  readonly context: StoreContext;
  readonly volumes: WalVolumes;
  readonly self: NodeRef;
  readonly previous: PreviousLife | null;
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
  const { context, volumes, self, previous, wal, mayAcknowledge, onFailed } = opening;
  const { env } = context;
  const owner = { clusterId: context.writer.clusterId, nodeId: self.nodeId };
  const last = await volumes.openLast(self, previous);
  const recovery = await readLast(opening, owner, last);
  return openStreamStore({
    ...context,
    recovered: recovery?.groups() ?? nothing(),
    startWal: async (listener) => {
      const options = { nodeEpoch: self.nodeEpoch, mayAcknowledge, ...wal };
      const fresh = await volumes.openNew(self, (devices) => formatBlockWal(devices, owner, env));
      if (fresh === undefined) {
        invariant(recovery !== undefined, 'wal', 'a log that is not begun anew is there');
        return BlockWal.open(recovery, options, env, listener);
      }
      // They were read to their end; the writer's own stay open until it closes.
      await Promise.all((last?.devices ?? []).map((device) => device.close()));
      const empty = await recoverBlockWal(fresh.devices, owner, env, fresh.writer);
      for await (const group of empty.groups()) invariant(false, 'I28', 'a new log is empty', { ...group });
      return BlockWal.open(empty, options, env, listener);
    },
    onFailed,
  });
}

/** Undefined: there is nothing to be read. @throws {BlankWalError} there should be */
async function readLast(
  opening: StoreOpening,
  owner: LogOwner,
  last: WalDevices | undefined,
): Promise<BlockWalRecovery | undefined> {
  const { previous } = opening;
  const { env } = opening.context;
  const isNeeded = previous?.logNeeded === true;
  if (isNeeded && (last === undefined || (await isBlank(last.devices, env)))) refuseBlank(opening);
  if (last === undefined) return undefined;
  // Whoever recovered a dead life's log chose where it ends: what the devices still hold is not to be read again.
  const isGivenUp = previous !== null && !isNeeded;
  await formatBlockWal(last.devices, owner, env, isGivenUp ? 'given-up' : 'kept');
  return recoverBlockWal(last.devices, owner, env, last.writer);
}

async function* nothing(): AsyncGenerator<RecoveredGroup> {
  yield* [];
}

function refuseBlank({ context, self, acceptWalLoss }: StoreOpening): void {
  if (!acceptWalLoss) {
    throw new BlankWalError(
      `node ${self.nodeId} was not stopped cleanly and its write-ahead log is blank or gone: what was acknowledged ` +
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
