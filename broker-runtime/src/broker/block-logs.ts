import { invariant, MillraceError } from '../base/errors.ts';
import type { NodeRef, PreviousLife } from '../metadata/cluster-metadata.ts';
import type { Env } from '../ports/env.ts';
import { BlockWal, formatBlockWal, isBlank, type MayAcknowledge, recoverBlockWal } from '../wal/block-wal.ts';
import type { MemoryPlan } from './memory.ts';
import type { NodeLogs, OwnLog } from './node-logs.ts';
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
    takeOver: async (node, by) => {
      const { devices, writer } = await volumes.takeOver(node, by);
      const log = await recoverBlockWal(devices, { clusterId, nodeId: node.nodeId }, env, writer);
      return {
        groups: () => log.groups(),
        // The next life of the node gives it up, see `openOwn`.
        discard: () => Promise.resolve(),
        close: async () => {
          await Promise.all(devices.map((device) => device.close()));
        },
      };
    },
    watch: (self, onLost) => volumes.watch(self, onLost),
  };
}

async function openOwn(parts: BlockLogsParts, self: NodeRef, previous: PreviousLife | null): Promise<OwnLog> {
  const { env, clusterId, volumes, memory, mayAcknowledge } = parts;
  const owner = { clusterId, nodeId: self.nodeId };
  const last = await volumes.openLast(self, previous);
  // Whoever recovered a dead life's log chose where it ends: what the devices still hold is not to be read again.
  const isGivenUp = previous?.state === 'clean';
  if (previous?.logNeeded === true && (await isBlank(last.devices, env))) refuseBlank(parts, self, last);
  await formatBlockWal(last.devices, owner, env, isGivenUp ? 'given-up' : 'kept');
  const recovery = await recoverBlockWal(last.devices, owner, env, last.writer);
  return {
    groups: () => recovery.groups(),
    start: async (listener) => {
      const options = { nodeEpoch: self.nodeEpoch, mayAcknowledge, ...memory };
      const fresh = await volumes.openNew(self);
      if (fresh === undefined) return BlockWal.open(recovery, options, env, listener);
      await formatBlockWal(fresh.devices, owner, env);
      const empty = await recoverBlockWal(fresh.devices, owner, env, fresh.writer);
      for await (const { sequence } of empty.groups()) {
        invariant(false, 'I28', 'a new log is empty', { sequence });
      }
      return BlockWal.open(empty, options, env, listener);
    },
  };
}

function refuseBlank({ env, acceptWalLoss }: BlockLogsParts, self: NodeRef, { devices }: WalDevices): void {
  const names = devices.map(({ name }) => name).join(', ');
  if (!acceptWalLoss) {
    throw new BlankWalError(
      `node ${self.nodeId} was not stopped cleanly and its write-ahead log ${names} is blank: what was acknowledged ` +
        'and not uploaded yet is on the volume it had before; attach that one, or start with --accept-wal-loss to give ' +
        'it up',
    );
  }
  // Never silent (2.2).
  env.events.error('broker.wal-loss-accepted', {
    nodeId: self.nodeId,
    consequence: 'records acknowledged since the last upload of the life before are lost',
  });
}

/** Acknowledged records may be on a volume that is not here. */
export class BlankWalError extends MillraceError {
  readonly code = 'BLANK_WAL';
}
