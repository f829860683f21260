import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { SharedDeviceVolume } from '../../broker-runtime/src/adapters/shared-device-volume.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { NvmeDevices } from '../../broker-runtime/src/adapters/nvme-devices.ts';
import type { BlockDevice } from '../../broker-runtime/src/ports/block-device.ts';
import type { Reservation } from '../../broker-runtime/src/ports/reservation.ts';
import { TempDir } from '../harness/temp-dir.ts';

const dir = new TempDir();
const env = systemEnv({ minLevel: 'error' });
afterAll(() => dir.remove());

/** Who holds it is not what is tested here: test/nvme does, on a device. */
const reservation = {} as Reservation;

function volume(name: string): SharedDeviceVolume {
  const file = dir.join(name);
  writeFileSync(file, new Uint8Array(1024 * 1024), { flag: 'a' });
  return new SharedDeviceVolume(env, file, reservation);
}

async function writeHead(device: BlockDevice): Promise<void> {
  await device.write(0, device.allocate(4096).fill(7));
}

describe('a device that several hosts have attached', () => {
  test('that was never written has no log to be read', async () => {
    expect(await volume('blank').openToRead()).toBeUndefined();
  });

  test('is written by its owner after it was prepared, and read by others beside it', async () => {
    const shared = volume('used');
    const own = await shared.openToWrite(1, writeHead);
    const other = await shared.openToRead();
    const bytes = own.allocate(4096);
    await other?.read(0, bytes);
    expect(bytes.every((byte) => byte === 7)).toBe(true);
    await own.close();
    await other?.close();
  });

  test('is let go of when it cannot be prepared', async () => {
    const shared = volume('broken');
    await expect(shared.openToWrite(1, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await (await shared.openToWrite(1, writeHead)).close();
  });
});

test('a volume is found by its serial, which is its id without the dash, whatever its number', async () => {
  const controllers = dir.join('nvme');
  for (const [name, serial] of [
    ['nvme0', 'vol0aaa\n'],
    ['nvme3', 'vol0123456789abcdef0 \n'],
  ] as const) {
    mkdirSync(`${controllers}/${name}`, { recursive: true });
    writeFileSync(`${controllers}/${name}/serial`, serial);
  }
  const devices = new NvmeDevices(controllers);
  expect(await devices.find('vol-0123456789abcdef0')).toBe('/dev/nvme3n1');
  expect(await devices.find('vol-0fff')).toBeUndefined();
  expect(await new NvmeDevices(dir.join('none')).find('vol-0fff')).toBeUndefined();
});
