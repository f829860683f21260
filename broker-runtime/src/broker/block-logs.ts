import { invariant, MillraceError } from '../base/errors.ts';
import type { NodeRef, PreviousLife } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import type { RecoveredEntries } from '../store/stream-store.ts';
import {
  BlockWal,
  type BlockWalRecovery,
  formatBlockWal,
  isBlank,
  type MayAcknowledge,
  recoverBlockWal,
} from '../wal/block-wal.ts';
import type { MemoryPlan } from './memory.ts';
import type { DeadLog, NodeLogs, OwnLog } from './node-logs.ts';
import type { WalDevices, WalVolumes } from './wal-volume.ts';

export interface BlockLogsParts {
  readonly env: Env;
  readonly clusterId: string;
  readonly volumes: WalVolumes;
  readonly memory: MemoryPlan['wal'];
  readonly mayAcknowledge: MayAcknowledge;
  /** The user says that what was only in a WAL that is gone may be lost. */
  readonly acceptWalLoss: boolean;
}

/** Logs on block volumes. */
export function blockLogs(parts: BlockLogsParts): NodeLogs {
  const { env, clusterId, volumes } = parts;
  return {
    kind: volumes.kind,
    openOwn: (self, previous) => openOwn(parts, self, previous),
    takeOver: async (node, by): Promise<DeadLog> => {
      const dead = await volumes.takeOver(node, by);
      const devices = dead?.devices ?? [];
      const log =
        dead && (await recoverBlockWal(devices, { clusterId, nodeId: node.nodeId }, env, dead.writer));
      return {
        groups: () => log?.groups() ?? nothing(),
        // The next life of the node gives it up, see `readLast`.
        discard: () => Promise.resolve(),
        close: () => closeAll(dead),
      };
    },
    watch: (self, onLost) => volumes.watch(self, onLost),
    holds: (self) => volumes.holds(self),
  };
}

/** @throws {BlankWalError} */
async function openOwn(parts: BlockLogsParts, self: NodeRef, previous: PreviousLife | null): Promise<OwnLog> {
  const { env, clusterId, volumes, memory, mayAcknowledge } = parts;
  const owner = { clusterId, nodeId: self.nodeId };
  const last = await volumes.openLast(self, previous);
  const recovery = await readLast(parts, self, previous, last);
  return {
    groups: () => recovery?.groups() ?? nothing(),
    start: async (listener) => {
      const options = { nodeEpoch: self.nodeEpoch, mayAcknowledge, ...memory };
      // A device in place of a new file still holds the last life's log, of which nothing is needed any more.
      const fresh = await volumes.openNew(self, (devices) => formatBlockWal(devices, owner, env, 'given-up'));
      if (fresh === undefined) {
        invariant(recovery !== undefined, 'wal', 'a log that is not begun anew is there');
        return BlockWal.open(recovery, options, env, listener);
      }
      // They were read to their end; the writer's own stay open until it closes.
      await closeAll(last);
      const empty = await recoverBlockWal(fresh.devices, owner, env, fresh.writer);
      for await (const { sequence } of empty.groups()) {
        invariant(false, 'I28', 'a new log is empty', { sequence });
      }
      return BlockWal.open(empty, options, env, listener);
    },
  };
}

/** Undefined: there is nothing to be read. @throws {BlankWalError} there should be */
async function readLast(
  parts: BlockLogsParts,
  { nodeId }: NodeRef,
  previous: PreviousLife | null,
  last: WalDevices | undefined,
): Promise<BlockWalRecovery | undefined> {
  const { env, clusterId } = parts;
  const isNeeded = previous?.logNeeded === true;
  if (isNeeded && (last === undefined || (await isBlank(last.devices, env)))) refuseBlank(parts, nodeId);
  if (last === undefined) return undefined;
  const owner = { clusterId, nodeId };
  // Whoever recovered a dead life's log chose where it ends: what the devices still hold is not to be read again.
  const isGivenUp = previous !== null && !isNeeded;
  await formatBlockWal(last.devices, owner, env, isGivenUp ? 'given-up' : 'kept');
  return recoverBlockWal(last.devices, owner, env, last.writer);
}

function refuseBlank({ env, acceptWalLoss }: BlockLogsParts, nodeId: number): void {
  if (!acceptWalLoss) {
    throw new BlankWalError(
      `node ${nodeId} was not stopped cleanly and its write-ahead log is blank or gone: what was acknowledged and not ` +
        'uploaded yet is on the volume it had before; attach that one, or start with --accept-wal-loss to give it up',
    );
  }
  // Never silent (2.2).
  env.events.error('broker.wal-loss-accepted', {
    nodeId,
    consequence: 'records acknowledged since the last upload of the life before are lost',
  });
}

async function closeAll(log: WalDevices | undefined): Promise<void> {
  await Promise.all((log?.devices ?? []).map((device) => device.close()));
}

async function* nothing(): AsyncGenerator<RecoveredEntries> {
  yield* [];
}

/** Acknowledged records may be on a volume that is not here. */
export class BlankWalError extends MillraceError {
  readonly code = 'BLANK_WAL';
}
