import type { Clock } from '../../../broker-runtime/src/ports/clock.ts';
import {
  isReservationKey,
  ReservationError,
  type Reservation,
  type ReservationReport,
} from '../../../broker-runtime/src/ports/reservation.ts';
import type { SimDisk } from './sim-block-device.ts';

export type ReservationCommand =
  'register' | 'acquire' | 'preempt' | 'preempt-and-abort' | 'release' | 'report';

/** `lost`: carried out, and the answer never came (an abort goes on by itself). `dropped`: never arrived. */
export type AnswerFate = 'given' | 'lost' | 'dropped';

const COMMAND_MS = 1;

/**
 * The reservations of a {@link SimDisk}, type Write Exclusive, as Linux' NVMe target was seen to keep them
 * (protocol 4), and with what the specification leaves open decided against us: commands do not wait for an abort
 * that another one began, and a report tells nothing of writes still under way.
 */
export class SimReservations {
  /** How each command ends; default: given. */
  decide: (command: ReservationCommand, host: string) => AnswerFate = () => 'given';
  readonly #disk: SimDisk;
  readonly #clock: Clock;
  readonly #keys = new Map<string, number>();
  #holder: string | undefined;
  #generation = 0;

  constructor(disk: SimDisk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
    disk.admits = (host) => this.#holder === undefined || this.#holder === host;
  }

  /** Whose writes the disk takes; undefined: everybody's. */
  get holderHost(): string | undefined {
    return this.#holder;
  }

  host(host: string): SimHostReservation {
    const run = async <T>(command: ReservationCommand, act: () => T): Promise<T> => {
      await this.#clock.sleep(COMMAND_MS);
      const fate = this.decide(command, host);
      if (fate === 'dropped') throw unanswered(command);
      const result = act();
      if (fate === 'lost') throw unanswered(command);
      await this.#clock.sleep(COMMAND_MS);
      return result;
    };
    return {
      volume: this.#disk.name,
      register: (key) => run('register', () => this.#register(host, key)),
      acquire: (key) => run('acquire', () => this.#acquire(host, key)),
      preempt: (key, victimKey) =>
        run('preempt', () => {
          this.#preempt(host, key, victimKey);
        }),
      preemptAndAbort: async (key, victimKey) => {
        const victims = await run('preempt-and-abort', () => this.#preempt(host, key, victimKey));
        await this.#ended(victims);
      },
      release: (key) => run('release', () => this.#release(host, key)),
      report: () => run('report', () => this.#report()),
      close: () => undefined,
    };
  }

  /** As a forced detach does: registration and reservation of the host are gone, nobody is told. */
  detach(host: string): void {
    if (!this.#keys.delete(host)) return;
    if (this.#holder === host) this.#holder = undefined;
    this.#generation++;
  }

  #register(host: string, key: number): void {
    if (!isReservationKey(key))
      throw new ReservationError('UNSUPPORTED', `${String(key)} is no reservation key`);
    this.#keys.set(host, key);
    this.#generation++;
  }

  #acquire(host: string, key: number): void {
    this.#check(host, key);
    if (this.#holder !== undefined && this.#holder !== host) throw conflict('somebody else holds');
    this.#holder = host;
  }

  #preempt(host: string, key: number, victimKey: number): string[] {
    this.#check(host, key);
    const victims = [...this.#keys].filter(([other, its]) => its === victimKey && other !== host);
    if (victims.length === 0) throw conflict(`nobody is registered with ${victimKey}`);
    for (const [victim] of victims) {
      this.#keys.delete(victim);
      if (this.#holder === victim) this.#holder = host;
    }
    this.#generation++;
    return victims.map(([victim]) => victim);
  }

  #release(host: string, key: number): void {
    this.#check(host, key);
    this.detach(host);
  }

  #report(): ReservationReport {
    return {
      holder: this.#holder === undefined ? undefined : this.#keys.get(this.#holder),
      registrants: [...this.#keys.values()],
      generation: this.#generation,
    };
  }

  #check(host: string, key: number): void {
    if (this.#keys.get(host) !== key) throw conflict(`${host} is not registered with ${key}`);
  }

  /** What the disk admitted of these hosts has ended. */
  async #ended(hosts: readonly string[]): Promise<void> {
    while ([...this.#disk.pending].some((write) => hosts.includes(write.host))) {
      await this.#clock.sleep(COMMAND_MS);
    }
  }
}

/** With what no takeover may use: a preempt that does not wait. */
export interface SimHostReservation extends Reservation {
  preempt(key: number, victimKey: number): Promise<void>;
}

function conflict(why: string): ReservationError {
  return new ReservationError('CONFLICT', `Reservation Conflict: ${why}`);
}

function unanswered(command: ReservationCommand): ReservationError {
  return new ReservationError('UNAVAILABLE', `no answer to ${command}`);
}
