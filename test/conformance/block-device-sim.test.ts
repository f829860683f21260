import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import { describeBlockDevice } from './block-device.ts';

describeBlockDevice('SimDisk', async () => {
  const { clock, random } = simEnv(1);
  const disk = new SimDisk({ capacityBytes: 1024 * 1024, clock, random });
  return {
    device: disk.open(),
    settle: (work) => clock.run(work),
    reopen: async () => disk.open(),
    stop: async () => undefined,
  };
});
