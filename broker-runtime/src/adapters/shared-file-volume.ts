import { existsSync } from 'node:fs';
import type { BlockDevice } from '../ports/block-device.ts';
import type { Env } from '../ports/env.ts';
import type { SharedVolume } from '../ports/shared-volume.ts';
import { FileReservation } from './file-reservation.ts';
import { openSharedFile } from './shared-file.ts';

/** A file that plays a volume of `createBytes`, attached to every process that can reach its folder. */
export class SharedFileVolume implements SharedVolume {
  readonly reservation: FileReservation;
  /** A late write lands in a file that nobody reads any more: see `openSharedFile`. */
  readonly drainMs = 0;
  readonly #env: Env;
  readonly #file: string;
  readonly #createBytes: number;

  constructor(env: Env, file: string, createBytes: number) {
    this.reservation = new FileReservation(env.clock, file);
    this.#env = env;
    this.#file = file;
    this.#createBytes = createBytes;
  }

  async openToRead(): Promise<BlockDevice | undefined> {
    // Nobody ever deletes it, so nothing comes between the question and the opening.
    return existsSync(this.#file) ? openSharedFile(this.#env, this.#file, { fresh: false }) : undefined;
  }

  openToWrite(ownKey: number, prepare: (device: BlockDevice) => Promise<unknown>): Promise<BlockDevice> {
    return openSharedFile(this.#env, this.#file, {
      fresh: true,
      reservation: this.reservation,
      ownKey,
      createBytes: this.#createBytes,
      prepare,
    });
  }
}
