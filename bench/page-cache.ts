import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { runOk } from '../test/harness/command.ts';

/** More than is free, so that the rest is read into pages the kernel had to take back: those have been touched. */
const EXCESS_BYTES = 512 * 1024 ** 2;
/** Less is what the kernel keeps free at any time. */
const WORTH_FILLING_BYTES = 512 * 1024 ** 2;
const READ_BYTES = 4 * 1024 ** 2;
/** The space is reserved, not written; a disk without it is not filled. */
const DISK_SPARE_BYTES = 8 * 1024 ** 3;
const FILL_DEADLINE_MS = 60_000;

/**
 * Gives the machine a page cache that is full, as it is wherever a broker has run for a while.
 *
 * In a virtual machine, free memory lies with the hypervisor: the first touch of each page is a fault there, accounted
 * as time of whoever touched it. Measured: 2.6 s of kernel time for a GiB written into free memory, 0.22 s for one
 * written into pages that other files are evicted from. What is measured must not depend on who came first.
 *
 * The pages are those of files whose space was reserved and never written: reading them needs no disk.
 */
export class FullPageCache {
  readonly #folder: string;
  #files = 0;

  /** `folder`: on a disk, and removed by {@link close}. */
  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /**
   * Fills what is free now. Called before each measurement: deleting files frees memory, and some kernels give pages
   * back that were not touched for a while (DAMON; here 25 MB of the cache a second, and produce 1.6 to 2.6 CPU s/GiB
   * within a minute of it).
   */
  async fill(): Promise<void> {
    const free = freeBytes();
    if (free < WORTH_FILLING_BYTES) return;
    const bytes = free + EXCESS_BYTES;
    const disk = statfsSync(this.#folder);
    if (bytes + DISK_SPARE_BYTES > disk.bavail * disk.bsize) return;
    this.#files += 1;
    const file = path.join(this.#folder, `fill-${this.#files}`);
    await runOk('fallocate', ['-l', String(bytes), file], { deadlineMs: FILL_DEADLINE_MS });
    const handle = openSync(file, 'r');
    try {
      const buffer = Buffer.alloc(READ_BYTES);
      while (readSync(handle, buffer) > 0);
    } finally {
      closeSync(handle);
    }
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function freeBytes(): number {
  const line = /^MemFree:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  if (line?.[1] === undefined) throw new Error('/proc/meminfo has no line MemFree');
  return Number(line[1]) * 1024;
}
