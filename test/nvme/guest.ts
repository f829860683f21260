import { execFile, spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DirectBlockDevice } from '../../broker-runtime/src/adapters/direct-block-device.ts';
import { NvmeReservation } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import { SystemClock, SystemRandom } from '../../broker-runtime/src/adapters/system-env.ts';
import type { Env } from '../../broker-runtime/src/ports/env.ts';
import { reservationKey } from '../../broker-runtime/src/ports/reservation.ts';

const silent = (): void => undefined;
/** What goes wrong is expected here, and told by {@link tell}. */
export const env: Env = {
  clock: new SystemClock(),
  random: new SystemRandom(),
  events: { debug: silent, info: silent, warn: silent, error: silent },
};
export const OWNER = { clusterId: 'nvme-test', nodeId: 1 };
export const A = { device: process.env['NVME_A'] ?? '', key: reservationKey(1, 10), nodeEpoch: 10 };
export const B = { device: process.env['NVME_B'] ?? '', key: reservationKey(2, 11) };
const CLEANER_KEY = reservationKey(9, 1);
const WIPE_BYTES = 1024 * 1024;
const STEP_DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 20;

/** What a host process tells, one JSON line each. */
export interface Told {
  readonly what: string;
  readonly offset?: number;
  readonly offsets?: readonly number[];
  readonly text?: string;
  readonly tookMs?: number;
}

export function tell(told: Told): void {
  console.log(JSON.stringify(told));
}

/** Looks until there is what is looked for. @throws {Error} it does not come in time, or `look` says that it never will */
export async function until<T>(
  what: string,
  look: () => T | undefined,
  deadlineMs = STEP_DEADLINE_MS,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`${what}: not seen within ${deadlineMs} ms`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** Several hosts' lines in the order in which they came. */
export class HostProcess {
  readonly told: Told[] = [];
  readonly #process: ChildProcess;

  constructor(program: string, ...args: string[]) {
    this.#process = spawn(process.execPath, [path.join(import.meta.dirname, program), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (this.#process.stdout === null) throw new Error('a host process has an output');
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.told.push(JSON.parse(line) as Told);
    });
    this.#process.on('exit', (status) => {
      this.told.push({ what: 'exit', text: String(status) });
    });
  }

  say(word: string): void {
    this.#process.stdin?.write(`${word}\n`);
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#process.kill(name);
  }

  all(what: string): Told[] {
    return this.told.filter((told) => told.what === what);
  }

  /** The `count`th time that it tells this. */
  heard(what: string, count = 1): Promise<Told> {
    return until(`"${what}"`, () => {
      const found = this.all(what)[count - 1];
      if (found === undefined && this.all('exit').length > 0)
        throw new Error(`ended before it told "${what}"`);
      return found;
    });
  }

  async end(): Promise<void> {
    if (this.all('exit').length > 0) return;
    this.signal('SIGCONT');
    this.signal('SIGKILL');
    await this.heard('exit');
  }
}

export const run = promisify(execFile);

let isHolding = false;

/** From now on the disk takes writes and finishes none. */
export async function holdWrites(): Promise<void> {
  isHolding = true;
  await run('hold-writes', ['on']);
}

/** The writes that are held land at once, and later ones as they come. */
export async function letWritesGo(): Promise<void> {
  if (!isHolding) return;
  isHolding = false;
  await run('hold-writes', ['off']);
}

/** Removes all registrations, whoever's they are. */
export async function clearReservations(device: string): Promise<void> {
  const reservation = new NvmeReservation(env.clock, device);
  if ((await reservation.report()).registrants.length === 0) return;
  await reservation.register(CLEANER_KEY);
  await run('nvme', ['resv-release', device, `--crkey=${CLEANER_KEY}`, '--rrela=1']);
}

/** A volume as new. */
export async function cleanVolume(): Promise<void> {
  await clearReservations(A.device);
  const device = await DirectBlockDevice.open(env, A.device);
  await device.write(0, device.allocate(WIPE_BYTES));
  await device.close();
}
