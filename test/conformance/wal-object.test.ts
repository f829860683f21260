import { KIB } from '../wal/block-wal-world.ts';
import { ObjectWalWorld } from '../wal/object-wal-world.ts';
import { describeWal } from './wal.ts';

describeWal('ObjectWal', () => {
  const world = new ObjectWalWorld();
  let isBroken = false;
  let writes = 0;
  return {
    env: world.env,
    open: (options) => {
      const store = world.process();
      store.onRequest = (operation, key) => {
        if (operation === 'put' && key.startsWith('wal/')) writes++;
      };
      store.inner.faults = (operation, key) =>
        isBroken && operation === 'put' && key.startsWith('wal/') ? { kind: 'denied' } : undefined;
      // An object counts for 64 KiB, however small it is.
      return world.open({ capacityBytes: 4096 * KIB, ...options }, store);
    },
    writes: () => writes,
    breakMedium: () => {
      isBroken = true;
    },
    fence: async () => {
      await world.run(world.takeOver({ epoch: world.nodeEpoch, recoverer: 8, attempt: 1 }));
    },
  };
});
