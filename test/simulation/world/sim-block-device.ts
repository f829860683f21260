import {
  BlockDeviceError,
  DEVICE_BLOCK_BYTES,
  type BlockDevice,
  type BlockDeviceErrorCode,
} from '../../../broker-runtime/src/ports/block-device.ts';
import type { Clock } from '../../../broker-runtime/src/ports/clock.ts';
import type { SimRandom } from './sim-random.ts';

export interface SimDiskOptions {
  readonly name?: string;
  readonly capacityBytes: number;
  readonly clock: Clock;
  readonly random: SimRandom;
  /** Each operation takes a random time in this range, so they finish out of order. Default 0.1 to 2 ms. */
  readonly latencyMs?: readonly [number, number];
  /** The unit a crash tears: 512 or 4096. */
  readonly sectorBytes?: number;
}

/** A write that the disk has taken and not yet finished. */
export interface PendingWrite {
  readonly host: string;
  readonly position: number;
  readonly bytes: Uint8Array;
  /** As it was handed over: the memory must not change before the write is finished. */
  readonly copy: Uint8Array;
  readonly finish: (outcome: WriteOutcome) => void;
}

/**
 * `lost`: reported as durable, and nothing was stored. `failed`: EIO; any subset of sectors was stored, as for a
 * write that raced with a preempt-and-abort.
 */
export type WriteOutcome = 'stored' | 'lost' | 'failed';

/**
 * A disk that lives on when its user crashes. `open` gives a handle; a crash ends the handle, lets any subset of the
 * sectors of each pending write land, and leaves the bytes for the next handle. Several hosts may be attached, each
 * with a handle of its own; who of them may write is a matter of SimReservations.
 */
export class SimDisk {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly pending = new Set<PendingWrite>();
  /** When set, writes finish only by {@link PendingWrite.finish}. */
  isHeld = false;
  /** Decides how a write ends when its time has come; default: stored. */
  decide: (write: PendingWrite) => WriteOutcome = () => 'stored';
  /** On top of a write's latency: a few that take long, while those behind them do not. */
  extraMs: (write: PendingWrite) => number = () => 0;
  /** Sees every write when it is handed over. */
  onWrite: (write: PendingWrite) => void = () => undefined;
  /** Asked at admission, when a write is handed over; a refused one ends FENCED and stores nothing. */
  admits: (host: string) => boolean = () => true;
  /** Reads fail while set. */
  readError: BlockDeviceErrorCode | undefined;
  writes = 0;
  writtenBytes = 0;
  reads = 0;
  readBytes = 0;
  allocatedBytes = 0;
  readonly #clock: Clock;
  readonly #random: SimRandom;
  readonly #latencyMs: readonly [number, number];
  readonly #sectorBytes: number;
  readonly #handles = new Map<string, SimBlockDevice>();

  constructor(options: SimDiskOptions) {
    this.name = options.name ?? 'disk-0';
    this.bytes = new Uint8Array(options.capacityBytes);
    this.#clock = options.clock;
    this.#random = options.random;
    this.#latencyMs = options.latencyMs ?? [0.1, 2];
    this.#sectorBytes = options.sectorBytes ?? 512;
  }

  /** @throws {BlockDeviceError} BUSY while another handle is open, as O_EXCL does */
  open(host = DEFAULT_HOST): BlockDevice {
    if (this.#handles.get(host)?.isOpen === true) {
      throw new BlockDeviceError('BUSY', `${this.name} is open already`);
    }
    const handle = new SimBlockDevice(this, host);
    this.#handles.set(host, handle);
    return handle;
  }

  /** The user dies: what it waits for never settles. Every pending write lands in none, all or some sectors. */
  crash(): void {
    for (const write of this.pending) this.storeSome(write);
    this.pending.clear();
    for (const host of [...this.#handles.keys()]) this.crashHost(host);
  }

  /** One of several users dies. What the disk had admitted of it lands later, as if it still lived. */
  crashHost(host: string): void {
    this.#handles.get(host)?.die();
    this.#handles.delete(host);
  }

  flipBit(position: number, bit = 0): void {
    this.bytes[position] = (this.bytes[position] ?? 0) ^ (1 << bit);
  }

  startWrite(host: string, position: number, bytes: Uint8Array): Promise<void> {
    if (!this.admits(host)) {
      return Promise.reject(
        new BlockDeviceError(
          'FENCED',
          `${this.name}: write at ${position}: another host holds the reservation`,
        ),
      );
    }
    this.writes++;
    this.writtenBytes += bytes.length;
    return new Promise<undefined>((resolve, reject) => {
      const write: PendingWrite = {
        host,
        position,
        bytes,
        copy: bytes.slice(),
        finish: (outcome) => {
          if (!this.pending.delete(write)) return;
          if (!equal(write.bytes, write.copy)) {
            reject(new Error(`memory of the write at ${position} changed while it was under way`));
          } else if (outcome === 'failed') {
            this.storeSome(write);
            reject(new BlockDeviceError('IO', `${this.name}: write at ${position} failed`));
          } else {
            if (outcome === 'stored') this.bytes.set(write.copy, position);
            resolve(undefined);
          }
        },
      };
      this.pending.add(write);
      this.onWrite(write);
      if (this.isHeld) return;
      this.#clock.timer(this.#latency() + this.extraMs(write), () => {
        if (this.pending.has(write)) write.finish(this.decide(write));
      });
    });
  }

  async read(position: number, into: Uint8Array): Promise<void> {
    this.reads++;
    this.readBytes += into.length;
    await this.#clock.sleep(this.#latency());
    if (this.readError !== undefined) {
      throw new BlockDeviceError(this.readError, `${this.name}: read at ${position} failed`);
    }
    into.set(this.bytes.subarray(position, position + into.length));
  }

  /** None, all, or any subset of the sectors. */
  storeSome(write: PendingWrite): void {
    const draw = this.#random.below(4);
    for (let at = 0; at < write.copy.length; at += this.#sectorBytes) {
      const lands = draw === 0 ? false : draw === 1 ? true : this.#random.below(2) === 0;
      if (lands) this.bytes.set(write.copy.subarray(at, at + this.#sectorBytes), write.position + at);
    }
  }

  #latency(): number {
    const [low, high] = this.#latencyMs;
    return low + ((high - low) * this.#random.below(1 << 20)) / (1 << 20);
  }
}

/** Of a disk that only one host uses. */
const DEFAULT_HOST = 'host-0';

class SimBlockDevice implements BlockDevice {
  readonly isExclusive = true;
  readonly #disk: SimDisk;
  readonly #host: string;
  /** Direct I/O refuses all other memory; devices of one process share what they allocated. */
  static readonly #aligned = new WeakSet<ArrayBufferLike>();
  #state: 'open' | 'closed' | 'dead' = 'open';

  constructor(disk: SimDisk, host: string) {
    this.#disk = disk;
    this.#host = host;
  }

  get name(): string {
    return this.#disk.name;
  }

  get capacityBytes(): number {
    return this.#disk.bytes.length;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  allocate(bytes: number): Uint8Array {
    checkAligned('allocation', 0, bytes);
    const memory = new Uint8Array(bytes);
    SimBlockDevice.#aligned.add(memory.buffer);
    this.#disk.allocatedBytes += bytes;
    return memory;
  }

  read(position: number, into: Uint8Array): Promise<void> {
    this.#check(position, into);
    if (this.#state === 'dead') return neverSettles();
    return this.#disk.read(position, into);
  }

  write(position: number, bytes: Uint8Array): Promise<void> {
    this.#check(position, bytes);
    if (this.#state === 'dead') return neverSettles();
    return this.#disk.startWrite(this.#host, position, bytes);
  }

  close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'closed';
    return Promise.resolve();
  }

  die(): void {
    this.#state = 'dead';
  }

  #check(position: number, bytes: Uint8Array): void {
    if (this.#state === 'closed') throw new Error(`${this.name} is used after it was closed`);
    checkAligned('I/O', position, bytes.length);
    checkAligned('memory', bytes.byteOffset, bytes.length);
    if (position < 0 || position + bytes.length > this.capacityBytes)
      throw new Error(`I/O past the end of ${this.name}`);
    if (!SimBlockDevice.#aligned.has(bytes.buffer))
      throw new Error('I/O with memory that was not allocated for it');
  }
}

function checkAligned(what: string, position: number, lengthBytes: number): void {
  if (position % DEVICE_BLOCK_BYTES !== 0 || lengthBytes % DEVICE_BLOCK_BYTES !== 0 || lengthBytes <= 0) {
    throw new Error(`${what} at ${position} of ${lengthBytes} bytes is not aligned to ${DEVICE_BLOCK_BYTES}`);
  }
}

function neverSettles(): Promise<void> {
  return new Promise(() => undefined);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
