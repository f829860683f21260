import { ClosedError } from '../base/errors.ts';
import type { BlockDevice } from '../ports/block-device.ts';
import { previousProcessExited } from '../wal/fence.ts';
import type { WalDevices, WalVolumes } from './wal-volume.ts';

/**
 * Devices that this process alone can have, and no neighbour can reach (WAL kind `block-single`): when the broker is
 * gone, it must come back itself. That it holds them proves that its last life has exited (protocol 3.4, B8).
 */
export function exclusiveVolumes(devices: readonly BlockDevice[]): WalVolumes {
  return {
    kind: 'block-single',
    openLast: (): Promise<WalDevices> => Promise.resolve({ devices, writer: previousProcessExited(devices) }),
    openNew: () => undefined,
    takeOver: ({ nodeId }) =>
      Promise.reject(new ClosedError(`the log of node ${nodeId} cannot be reached from here`)),
    watch: () => () => undefined,
    holds: () => Promise.resolve(true),
    close: () => undefined,
  };
}
