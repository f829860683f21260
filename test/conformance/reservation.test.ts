import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from '@jest/globals';
import { FileReservation } from '../../broker-runtime/src/adapters/file-reservation.ts';
import { openSharedFile } from '../../broker-runtime/src/adapters/shared-file.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import { SimReservations } from '../simulation/world/sim-reservation.ts';
import { RESERVATION_CASES, type SharedHost, type SharedVolumeUnderTest } from './reservation.ts';

const VOLUME_BYTES = 1024 * 1024;

/** The real device: `npm run test:nvme`. */
const adapters: Readonly<Record<string, () => Promise<SharedVolumeUnderTest>>> = {
  simulated: async () => {
    const env = simEnv(1);
    const disk = new SimDisk({ capacityBytes: VOLUME_BYTES, clock: env.clock, random: env.random });
    const reservations = new SimReservations(disk, env.clock);
    const host = (name: string): SharedHost => ({
      reservation: reservations.host(name),
      openToWrite: async () => disk.open(name),
      openToRead: async () => disk.open(name),
    });
    return {
      env,
      a: host('host-a'),
      b: host('host-b'),
      settle: (work) => env.clock.run(work),
      stop: async () => undefined,
    };
  },
  file: async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'millrace-reservation-'));
    const file = path.join(folder, 'volume');
    const env = systemEnv({ minLevel: 'error' });
    const open: FileReservation[] = [];
    const host = (): SharedHost => {
      const reservation = new FileReservation(env.clock, file);
      open.push(reservation);
      return {
        reservation,
        openToWrite: async () => {
          const ownKey = (await reservation.report()).holder ?? 0;
          return openSharedFile(env, file, { fresh: true, reservation, ownKey, createBytes: VOLUME_BYTES });
        },
        openToRead: () => openSharedFile(env, file, { fresh: false }),
      };
    };
    return {
      env,
      a: host(),
      b: host(),
      settle: (work) => work,
      stop: async () => {
        for (const reservation of open) reservation.close();
        await rm(folder, { recursive: true });
      },
    };
  },
};

for (const [name, start] of Object.entries(adapters)) {
  describe(`${name} reservations`, () => {
    test.each(RESERVATION_CASES.map((each) => [each.name, each] as const))('%s', async (_, { run }) => {
      const subject = await start();
      try {
        await subject.settle(run(subject));
      } finally {
        await subject.stop();
      }
    });
  });
}
