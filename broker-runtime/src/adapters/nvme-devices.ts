import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { VolumeDevices } from '../ports/cloud.ts';

/**
 * Devices by their serial, which on EBS is the volume's id without the dash (EBS: identify-nvme-ebs-device). Looked up each time:
 * a volume that comes back has another number.
 */
export class NvmeDevices implements VolumeDevices {
  readonly #controllers: string;

  constructor(controllers = '/sys/class/nvme') {
    this.#controllers = controllers;
  }

  async find(volumeId: string): Promise<string | undefined> {
    const serial = volumeId.replace('-', '');
    const names = await readdir(this.#controllers).catch(() => []);
    for (const name of names) {
      const found = await readFile(path.join(this.#controllers, name, 'serial'), 'utf8').catch(() => '');
      if (found.trim() === serial) return `/dev/${name}n1`;
    }
    return undefined;
  }
}
