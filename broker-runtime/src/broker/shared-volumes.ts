import { invariant, MillraceError } from '../base/errors.ts';
import type { NodeRef, PreviousLife } from '../metadata/cluster-metadata.ts';
import { lifeWithLog } from '../metadata/life-with-log.ts';
import type { Env } from '../ports/env.ts';
import { nodeOfKey, reservationKey } from '../ports/reservation.ts';
import type { SharedVolume } from '../ports/shared-volume.ts';
import { type FenceProof, takeVolume } from '../wal/fence.ts';
import { watchReservation } from '../wal/reservation-watch.ts';
import type { WalDevices, WalVolumes } from './wal-volume.ts';

/** The volume of a node whose log must be read is not here, or was replaced. */
export class VolumeMissingError extends MillraceError {
  readonly code = 'VOLUME_MISSING';
}

/**
 * Volumes that several hosts of a zone have attached (WAL kind `block-shared`), by node id. Whoever wants to read or
 * write one takes its reservation first, under the key of its own life (protocol 3.4 and 3.5).
 */
export function sharedVolumes(env: Env, volumes: ReadonlyMap<number, SharedVolume>): WalVolumes {
  /** Of this life's own volume, from `openLast` on. */
  let ownProof: FenceProof | undefined;

  const volumeOf = (nodeId: number): SharedVolume => {
    const volume = volumes.get(nodeId);
    if (volume !== undefined) return volume;
    throw new VolumeMissingError(
      `the volume of node ${nodeId} is not attached here, only those of nodes ${[...volumes.keys()].join(', ')}: ` +
        'name it in the configuration, or give the recovery to a broker that has it',
    );
  };

  const take = async (
    nodeId: number,
    by: NodeRef,
    life: PreviousLife | undefined,
    mayDisplace: (holder: NodeRef) => boolean,
  ): Promise<FenceProof> => {
    const { reservation, drainMs } = volumeOf(nodeId);
    // Whoever comes to hold it after this look came later than we were told to take it, and is left alone.
    const { holder } = await reservation.report();
    const expectedHolders = holder !== undefined && mayDisplace(nodeOfKey(holder)) ? [holder] : [];
    const victimKey =
      life === undefined || life.state === 'clean'
        ? {}
        : { victimKey: reservationKey(nodeId, life.nodeEpoch) };
    const ownKey = reservationKey(by.nodeId, by.nodeEpoch);
    return takeVolume(env, reservation, ownKey, { ...victimKey, expectedHolders, drainMs });
  };

  const openToRead = async (
    nodeId: number,
    life: PreviousLife | undefined,
    proof: FenceProof,
  ): Promise<WalDevices | undefined> => {
    // Whoever recovered a clean life's log chose where it ends: it is not to be read again.
    if (life === undefined || life.state === 'clean') return undefined;
    const device = await volumeOf(nodeId).openToRead();
    return device === undefined ? undefined : { devices: [device], writer: [proof] };
  };

  return {
    kind: 'block-shared',

    openLast: async (self, previous) => {
      const life = previous ?? undefined;
      // Everybody with an older epoch is a life before, or recovered one; a newer one is our successor.
      ownProof = await take(self.nodeId, self, life, (holder) => holder.nodeEpoch < self.nodeEpoch);
      return openToRead(self.nodeId, life, ownProof);
    },

    openNew: async (self, prepare) => {
      const proof = ownProof;
      invariant(proof !== undefined, 'I30', 'a volume is written after it was taken', { ...self });
      const ownKey = reservationKey(self.nodeId, self.nodeEpoch);
      const device = await volumeOf(self.nodeId).openToWrite(ownKey, (blank) => prepare([blank]));
      return { devices: [device], writer: [proof] };
    },

    takeOver: async (node, by) => {
      const life = lifeWithLog(node);
      // Lives up to the fenced one, and others that were given its recovery before.
      const proof = await take(
        node.nodeId,
        by,
        life,
        (holder) => holder.nodeId !== node.nodeId || holder.nodeEpoch <= node.nodeEpoch,
      );
      const log = await openToRead(node.nodeId, life, proof);
      if (log !== undefined || life === undefined || life.state === 'clean') return log;
      throw new VolumeMissingError(
        `${proof.volume} holds no log, but node ${node.nodeId} served with it in its epoch ${life.nodeEpoch}: ` +
          'attach the volume it had then',
      );
    },

    watch: (self, onLost) => {
      const ownKey = reservationKey(self.nodeId, self.nodeEpoch);
      const watch = watchReservation(env, volumeOf(self.nodeId).reservation, ownKey, onLost);
      return () => watch.stop();
    },

    close: () => {
      for (const { reservation } of volumes.values()) reservation.close();
    },
  };
}
