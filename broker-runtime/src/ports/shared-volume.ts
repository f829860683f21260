import type { BlockDevice } from './block-device.ts';
import type { Reservation } from './reservation.ts';

/**
 * The volume of one node's WAL, attached to several hosts, as one of them sees it. Open it after its reservation was
 * taken only (`wal/fence.ts`).
 */
export interface SharedVolume {
  readonly reservation: Reservation;

  /** How long a write that was admitted may still take, where the volume does not say that it ended. */
  readonly drainMs: number;

  /** To read a log that was fenced. Undefined: there is no log, the volume was never written. @throws {BlockDeviceError} */
  openToRead(): Promise<BlockDevice | undefined>;

  /**
   * To write, as the holder `ownKey`. `prepare` makes an empty log on it; a crash before it is done leaves what was there.
   * @throws {BlockDeviceError | ReservationError}
   */
  openToWrite(ownKey: number, prepare: (device: BlockDevice) => Promise<unknown>): Promise<BlockDevice>;
}
