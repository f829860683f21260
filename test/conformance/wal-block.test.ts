import { KIB, WalWorld } from '../wal/block-wal-world.ts';
import { describeWal } from './wal.ts';

const SUPERBLOCKS_BYTES = 8 * KIB;

describeWal('BlockWal', () => {
  const world = new WalWorld({ ringBytes: 512 * KIB });
  let isOwner = true;
  let writes = 0;
  return {
    env: world.env,
    open: (options) => {
      world.disk.onWrite = ({ position }) => {
        if (position >= SUPERBLOCKS_BYTES) writes++;
      };
      return world.open({
        mayAcknowledge: () => isOwner || Promise.reject(new Error('fenced')),
        ...options,
      });
    },
    writes: () => writes,
    breakMedium: () => {
      world.disk.decide = () => 'failed';
    },
    fence: async () => {
      isOwner = false;
    },
  };
});
