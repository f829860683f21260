import { invariant, MillraceError } from '../base/errors.ts';
import type { NodeRef } from '../metadata/cluster-metadata.ts';
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
    victim: NodeRef | undefined,
    mayDisplace: (holder: NodeRef) => boolean,
  ): Promise<FenceProof> => {
    const { reservation, drainMs } = volumeOf(nodeId);
    // Whoever comes to hold it after this look came later than we were told to take it, and is left alone.
    const { holder } = await reservation.report();
    const expectedHolders = holder !== undefined && mayDisplace(nodeOfKey(holder)) ? [holder] : [];
    const victimKey =
      victim === undefined ? {} : { victimKey: reservationKey(victim.nodeId, victim.nodeEpoch) };
    const ownKey = reservationKey(by.nodeId, by.nodeEpoch);
    return takeVolume(env, reservation, ownKey, { ...victimKey, expectedHolders, drainMs });
  };

  const openToRead = async (nodeId: number, proof: FenceProof): Promise<WalDevices | undefined> => {
    const device = await volumeOf(nodeId).openToRead();
    return device === undefined ? undefined : { devices: [device], writer: [proof] };
  };

  return {
    kind: 'block-shared',

    openLast: async (self, previous) => {
      const { nodeId, nodeEpoch } = self;
      const isNeeded = previous?.logNeeded === true;
      const victim = isNeeded ? { nodeId, nodeEpoch: previous.nodeEpoch } : undefined;
      // Everybody with an older epoch is a life before, or recovered one; a newer one is our successor.
      ownProof = await take(nodeId, self, victim, (holder) => holder.nodeEpoch < nodeEpoch);
      // Whoever recovered a log that is not needed any more chose where it ends: it is not to be read again.
      return isNeeded ? openToRead(nodeId, ownProof) : undefined;
    },

    openNew: async (self, prepare) => {
      const proof = ownProof;
      invariant(proof !== undefined, 'I30', 'a volume is written after it was taken', { ...self });
      const ownKey = reservationKey(self.nodeId, self.nodeEpoch);
      const device = await volumeOf(self.nodeId).openToWrite(ownKey, (blank) => prepare([blank]));
      return { devices: [device], writer: [proof] };
    },

    takeOver: async (node, by) => {
      const { nodeId, nodeEpoch, logNeeded } = node;
      // Lives up to the fenced one, and others that were given its recovery before.
      const proof = await take(
        nodeId,
        by,
        logNeeded ? { nodeId, nodeEpoch } : undefined,
        (holder) => holder.nodeId !== nodeId || holder.nodeEpoch <= nodeEpoch,
      );
      if (!logNeeded) return undefined;
      const log = await openToRead(nodeId, proof);
      if (log !== undefined) return log;
      throw new VolumeMissingError(
        `${proof.volume} holds no log, but node ${nodeId} served with it before its epoch ${nodeEpoch} was fenced: ` +
          'attach the volume it had then',
      );
    },

    watch: (self, onLost) => {
      const ownKey = reservationKey(self.nodeId, self.nodeEpoch);
      const watch = watchReservation(env, volumeOf(self.nodeId).reservation, ownKey, onLost);
      return () => watch.stop();
    },

    holds: async (self) => {
      const { holder } = await volumeOf(self.nodeId).reservation.report();
      return holder === reservationKey(self.nodeId, self.nodeEpoch);
    },

    close: () => {
      for (const { reservation } of volumes.values()) reservation.close();
    },
  };
}
