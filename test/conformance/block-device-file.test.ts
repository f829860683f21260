import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { describeBlockDevice } from './block-device.ts';

/** Where files lie on a disk, and in memory, where O_DIRECT may be refused. */
for (const parent of [tmpdir(), '/dev/shm'].filter((folder) => existsSync(folder))) {
  describeBlockDevice(`DirectBlockDevice on a file in ${parent}`, async () => {
    const folder = await mkdtemp(path.join(parent, 'millrace-device-'));
    const file = path.join(folder, 'wal');
    const env = systemEnv({ minLevel: 'error' });
    return {
      device: await DirectBlockDevice.open(env, file, { createBytes: 1024 * 1024 }),
      settle: (work) => work,
      reopen: () => DirectBlockDevice.open(env, file),
      stop: () => rm(folder, { recursive: true }),
    };
  });
}
