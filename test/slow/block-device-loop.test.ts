import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { describeBlockDevice } from '../conformance/block-device.ts';

/** `npm run test:devices`: a real block device of the kernel, a loop device with direct I/O. Needs root. */
const isRoot = process.getuid?.() === 0;
const env = systemEnv({ minLevel: 'error' });

function attachLoop(): { readonly device: string; detach(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-loop-'));
  const image = path.join(folder, 'image');
  closeSync(openSync(image, 'wx'));
  truncateSync(image, 8 * 1024 * 1024);
  const device = execFileSync('losetup', ['--find', '--show', '--direct-io=on', image], {
    encoding: 'utf8',
  }).trim();
  return {
    device,
    detach: () => {
      execFileSync('losetup', ['--detach', device]);
      rmSync(folder, { recursive: true });
    },
  };
}

if (!isRoot) {
  test('loop devices need root: run `sudo npm run test:devices`; nothing was tested', () => {
    throw new Error('not root: the block device suite did not run');
  });
} else {
  describeBlockDevice('DirectBlockDevice on a loop device', async () => {
    const loop = attachLoop();
    return {
      device: await DirectBlockDevice.open(env, loop.device),
      settle: (work) => work,
      reopen: () => DirectBlockDevice.open(env, loop.device),
      stop: async () => loop.detach(),
    };
  });

  test('a device is held with O_EXCL: a second open is BUSY, a size comes from the kernel', async () => {
    const loop = attachLoop();
    const device = await DirectBlockDevice.open(env, loop.device);
    expect(device.capacityBytes).toBe(8 * 1024 * 1024);
    await expect(DirectBlockDevice.open(env, loop.device)).rejects.toMatchObject({ code: 'BUSY' });
    await device.close();
    const again = await DirectBlockDevice.open(env, loop.device);
    await again.close();
    loop.detach();
  });
}
