import { DEVICE_BLOCK_BYTES, type BlockDevice } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import type { Reservation } from '../ports/reservation.ts';
import type { SharedVolume } from '../ports/shared-volume.ts';
import { DirectBlockDevice } from './direct-block-device.ts';

/** Both superblocks of a log; zeros there say that nothing was ever written. */
const HEAD_BYTES = 2 * DEVICE_BLOCK_BYTES;

/**
 * A device attached to several hosts, such as an io2 Multi-Attach volume. The device refuses writes of all but the holder of its
 * reservation, and preempt-and-abort waits for those it has admitted, so nothing else is needed to keep writers apart.
 */
export class SharedDeviceVolume implements SharedVolume {
  readonly reservation: Reservation;
  /** Preempt-and-abort resolves when no write of the victim is under way. */
  readonly drainMs = 0;
  readonly #env: Env;
  readonly #device: string;

  /** `device` is a path such as /dev/nvme1n1, and `reservation` that of the same device. */
  constructor(env: Env, device: string, reservation: Reservation) {
    this.reservation = reservation;
    this.#env = env;
    this.#device = device;
  }

  async openToRead(): Promise<BlockDevice | undefined> {
    const device = await DirectBlockDevice.open(this.#env, this.#device, { access: 'read' });
    const head = device.allocate(HEAD_BYTES);
    await device.read(0, head);
    if (head.some((byte) => byte !== 0)) return device;
    await device.close();
    return undefined;
  }

  /** The same device, whoever wrote to it before: the log that is there is given up for an empty one. */
  async openToWrite(
    _ownKey: number,
    prepare: (device: BlockDevice) => Promise<unknown>,
  ): Promise<BlockDevice> {
    const device = await DirectBlockDevice.open(this.#env, this.#device);
    try {
      await prepare(device);
    } catch (error) {
      await device.close();
      throw error;
    }
    return device;
  }
}
