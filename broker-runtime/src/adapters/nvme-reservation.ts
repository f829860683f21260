import { execFile } from 'node:child_process';
import {
  isReservationKey,
  ReservationError,
  type Reservation,
  type ReservationErrorCode,
  type ReservationReport,
} from '../ports/reservation.ts';
import type { Clock } from '../ports/clock.ts';
import { systemErrorCode } from './system-error.ts';

/** Write Exclusive: the holder's host writes, everybody reads. */
const WRITE_EXCLUSIVE = 1;
/** `rtype` of a report when nobody holds. */
const NOT_HELD = 0;
/** Bit of a registrant's status. */
const IS_HOLDER = 1;

/** Nearly all of a command's time is starting the program: 100 ms. */
const COMMAND_DEADLINE_MS = 10_000;
/** An abort waits for writes of the victim that the device has: as long as the kernel lets those take. */
const ABORT_DEADLINE_MS = 60_000;
/** A report of 16 registrants has 3 KiB. */
const OUTPUT_MAX_BYTES = 256 * 1024;
const QUOTED_OUTPUT_CHARS = 300;

/** What nvme-cli prints for statuses that say "not here, never". The texts differ little between its versions. */
const UNSUPPORTED_STATUS =
  /invalid command opcode|invalid field|invalid namespace|not supported|inappropriate ioctl/i;
const CONFLICT_STATUS = /reservation conflict/i;

export interface NvmeReservationOptions {
  /** Default: `nvme` on the PATH; from the package nvme-cli, version 2 or newer. */
  readonly program?: string;
}

/** Reservations of an NVMe namespace, through the command `nvme`; needs root. Node has no ioctl of its own. */
export class NvmeReservation implements Reservation {
  readonly volume: string;
  readonly #clock: Clock;
  readonly #program: string;

  /** `device` is the namespace's block device, as `/dev/nvme1n1`. */
  constructor(clock: Clock, device: string, options: NvmeReservationOptions = {}) {
    this.volume = device;
    this.#clock = clock;
    this.#program = options.program ?? 'nvme';
  }

  async register(key: number): Promise<void> {
    this.#check(key);
    try {
      await this.#run('resv-register', [`--nrkey=${key}`, '--rrega=0']);
    } catch (error) {
      if (!(error instanceof ReservationError) || error.code !== 'CONFLICT') throw error;
      // This host is registered with another key, of an earlier process. Replacing keeps what was held with it.
      await this.#run('resv-register', [`--nrkey=${key}`, '--rrega=2', '--iekey']);
    }
  }

  async acquire(key: number): Promise<void> {
    this.#check(key);
    await this.#run('resv-acquire', [`--crkey=${key}`, `--rtype=${WRITE_EXCLUSIVE}`, '--racqa=0']);
  }

  async preemptAndAbort(key: number, victimKey: number): Promise<void> {
    this.#check(key);
    this.#check(victimKey);
    await this.#run(
      'resv-acquire',
      [`--crkey=${key}`, `--prkey=${victimKey}`, `--rtype=${WRITE_EXCLUSIVE}`, '--racqa=2'],
      ABORT_DEADLINE_MS,
    );
  }

  async release(key: number): Promise<void> {
    this.#check(key);
    await this.#run('resv-release', [`--crkey=${key}`, `--rtype=${WRITE_EXCLUSIVE}`, '--rrela=0']);
    await this.#run('resv-register', [`--crkey=${key}`, '--rrega=1']);
  }

  async report(): Promise<ReservationReport> {
    // --eds: with host identifiers of 128 bits, which other devices than NVMe over fabrics may not need, but allow.
    return parseReport(this.volume, await this.#run('resv-report', ['--eds', '-o', 'json']));
  }

  close(): void {
    // Every call opens and closes the device itself.
  }

  #check(key: number): void {
    if (isReservationKey(key)) return;
    throw new ReservationError(
      'UNSUPPORTED',
      `${this.volume}: ${String(key)} is no reservation key; allowed are whole numbers from 1 to 2^53 - 1`,
    );
  }

  /** The command's output. @throws {ReservationError} */
  #run(command: string, options: readonly string[], deadlineMs = COMMAND_DEADLINE_MS): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        this.#program,
        [command, this.volume, ...options],
        { encoding: 'utf8', maxBuffer: OUTPUT_MAX_BYTES },
        (error, stdout, stderr) => {
          deadline.cancel();
          if (error === null) resolve(stdout);
          else reject(this.#failed(command, error, `${stderr} ${stdout}`));
        },
      );
      // Ours and not execFile's: a program that waits in the kernel for the device does not end when it is killed.
      const deadline = this.#clock.timer(deadlineMs, () => {
        child.kill('SIGKILL');
        child.unref();
        reject(
          new ReservationError(
            'UNAVAILABLE',
            `${this.volume}: nvme ${command} gave no answer within ${deadlineMs} ms; it may have taken effect`,
          ),
        );
      });
    });
  }

  #failed(command: string, error: Error, output: string): ReservationError {
    if (systemErrorCode(error) === 'ENOENT') {
      return new ReservationError(
        'UNSUPPORTED',
        `the program ${this.#program} is missing: install the package nvme-cli`,
        { cause: error },
      );
    }
    const said = output.trim().replace(/\s+/g, ' ').slice(0, QUOTED_OUTPUT_CHARS);
    return new ReservationError(
      codeOf(said),
      `${this.volume}: nvme ${command} failed: ${said || error.message}`,
      {
        cause: error,
      },
    );
  }
}

function codeOf(said: string): ReservationErrorCode {
  if (CONFLICT_STATUS.test(said)) return 'CONFLICT';
  return UNSUPPORTED_STATUS.test(said) ? 'UNSUPPORTED' : 'UNAVAILABLE';
}

/**
 * Keys are JSON numbers there: one above 2^53 was rounded by the parser and is nobody's we know, so it is refused, as
 * is any other type of reservation: somebody else's program is at work on this volume.
 * @throws {ReservationError} UNSUPPORTED
 */
export function parseReport(volume: string, output: string): ReservationReport {
  const refuse = (what: string): never => {
    throw new ReservationError(
      'UNSUPPORTED',
      `the reservation report of ${volume} ${what}; clear it (nvme resv-release --rrela=1) if no broker uses the volume`,
    );
  };
  const report = fieldsOf(parseJson(output)) ?? refuse(`is no JSON: ${output.slice(0, QUOTED_OUTPUT_CHARS)}`);
  const { rtype, gen, regctlext } = report;
  if (rtype !== NOT_HELD && rtype !== WRITE_EXCLUSIVE) {
    return refuse(`shows type ${String(rtype)}, allowed is ${WRITE_EXCLUSIVE} (Write Exclusive)`);
  }
  if (!Array.isArray(regctlext)) return refuse('has no list of registrants (regctlext)');
  const holders: number[] = [];
  const registrants = regctlext.map((entry: unknown) => {
    const { rkey, rcsts } = fieldsOf(entry) ?? {};
    if (!isReservationKey(rkey) || typeof rcsts !== 'number') {
      return refuse(`shows key ${String(rkey)}, allowed are 1 to 2^53 - 1`);
    }
    if ((rcsts & IS_HOLDER) !== 0) holders.push(rkey);
    return rkey;
  });
  if (holders.length !== (rtype === NOT_HELD ? 0 : 1)) {
    return refuse(`shows ${holders.length} holders of a reservation of type ${String(rtype)}`);
  }
  const generation = typeof gen === 'number' ? { generation: gen } : {};
  return { holder: holders[0], registrants, ...generation };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? { ...value } : undefined;
}
