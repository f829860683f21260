import type { WalDevices, WalVolumes } from '../../../broker-runtime/src/broker/wal-volume.ts';
import { invariant } from '../../../broker-runtime/src/base/errors.ts';
import type { NodeRef } from '../../../broker-runtime/src/metadata/cluster-metadata.ts';
import type { Env } from '../../../broker-runtime/src/ports/env.ts';
import { reservationKey, type Reservation } from '../../../broker-runtime/src/ports/reservation.ts';
import type { takeVolume } from '../../../broker-runtime/src/wal/fence.ts';
import { type FenceProof } from '../../../broker-runtime/src/wal/fence.ts';
import { watchReservation } from '../../../broker-runtime/src/wal/reservation-watch.ts';
import type { SimDisk } from '../world/sim-block-device.ts';
import type { SimHostReservation, SimReservations } from '../world/sim-reservation.ts';
import { gatedDevice, gatedReservation, type ProcessGate } from './process-gate.ts';

/** Longer than the disk ever holds an admitted write, as the I/O timeout of a host is. */
export const DRAIN_MS = 3_000;
const EXIT_POLL_MS = 5;

/** One volume of a zone: all hosts there are attached to it. */
export interface SharedVolume {
  readonly nodeId: number;
  readonly zone: string;
  readonly disk: SimDisk;
  readonly reservations: SimReservations;
}

export interface SharedVolumesParts {
  /** As this process has it: its events come through the gate. */
  readonly env: Env;
  readonly gate: ProcessGate;
  readonly host: string;
  readonly zone: string;
  readonly volumes: ReadonlyMap<number, SharedVolume>;
  /** Broken on purpose by the canaries. */
  readonly reservationOf: (reservation: SimHostReservation) => Reservation;
  readonly fence: typeof takeVolume;
  readonly waitsForOldWrites: boolean;
  /** The fence of the volume was just proven: the world looks whether that is true (I30). */
  readonly onProven: (volume: SharedVolume, proof: FenceProof) => void;
}

/** The volumes of a zone as one process reaches them (WAL kind `block-shared`). */
export function sharedVolumes(parts: SharedVolumesParts): WalVolumes {
  const { env, gate, host, zone, volumes, fence, waitsForOldWrites, onProven } = parts;
  const volumeOf = (nodeId: number): SharedVolume => {
    const volume = volumes.get(nodeId);
    invariant(volume?.zone === zone, 'test', 'a volume is attached inside its zone', { nodeId, zone });
    return volume;
  };
  const reservationOf = (volume: SharedVolume): Reservation =>
    gatedReservation(parts.reservationOf(volume.reservations.host(host)), gate);
  const take = async (nodeId: number, by: NodeRef, victimEpoch: number | undefined): Promise<WalDevices> => {
    const volume = volumeOf(nodeId);
    const victim = victimEpoch === undefined ? {} : { victimKey: reservationKey(nodeId, victimEpoch) };
    const proof = await fence(env, reservationOf(volume), reservationKey(by.nodeId, by.nodeEpoch), {
      drainMs: DRAIN_MS,
      ...victim,
    });
    onProven(volume, proof);
    const device = gatedDevice(volume.disk.open(host), gate);
    return { devices: [device], writer: [proof] };
  };
  return {
    kind: 'block-shared',
    openLast: async (self, previous) => {
      // As an exclusive open does: the process before is gone, and its I/O with it (B8).
      const { disk } = volumeOf(self.nodeId);
      while (waitsForOldWrites && [...disk.pending].some((write) => write.host === host))
        await env.clock.sleep(EXIT_POLL_MS);
      const victimEpoch = previous === null || previous.state === 'clean' ? undefined : previous.nodeEpoch;
      return take(self.nodeId, self, victimEpoch);
    },
    openNew: () => undefined,
    takeOver: (node, by) => take(node.nodeId, by, node.nodeEpoch),
    watch: (self, onLost) => {
      const key = reservationKey(self.nodeId, self.nodeEpoch);
      const watch = watchReservation(env, reservationOf(volumeOf(self.nodeId)), key, onLost);
      return () => watch.stop();
    },
    holds: async (self) => {
      const { holder } = await reservationOf(volumeOf(self.nodeId)).report();
      return holder === reservationKey(self.nodeId, self.nodeEpoch);
    },
    close: () => undefined,
  };
}
