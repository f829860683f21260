import type { BlockDevice } from '../../../broker-runtime/src/ports/block-device.ts';
import type { Clock, Timer } from '../../../broker-runtime/src/ports/clock.ts';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
  Receiver,
} from '../../../broker-runtime/src/ports/network.ts';
import type { ObjectStore } from '../../../broker-runtime/src/ports/object-store.ts';
import type { Reservation } from '../../../broker-runtime/src/ports/reservation.ts';

/**
 * The one door through which a process hears of the world. Dead: nothing comes in any more. Paused (SIGSTOP): what
 * comes is held, and all of it comes at once when the process goes on.
 */
export class ProcessGate {
  readonly #clock: Clock;
  readonly #held: (() => void)[] = [];
  /** What the process was about to do when it was stopped in the middle of a turn. */
  readonly #begun: (() => void)[] = [];
  #state: 'running' | 'paused' | 'dead' = 'running';

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isPaused(): boolean {
    return this.#state === 'paused';
  }

  enter(event: () => void): void {
    if (this.#state === 'running') event();
    else if (this.#state === 'paused') this.#held.push(event);
  }

  /** What the process itself does to the world: one that stands still in the middle of a turn goes on there. */
  act(deed: () => void): void {
    if (this.#state === 'paused') this.#begun.push(deed);
    else deed();
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    for (const deed of this.#begun.splice(0)) deed();
    // Each in a turn of its own, in an order of the seed, as an event loop finds them ready.
    for (const event of this.#held.splice(0)) this.#clock.timer(0, () => this.enter(event));
  }

  kill(): void {
    this.#state = 'dead';
    this.#held.length = 0;
    this.#begun.length = 0;
  }

  promise<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => this.enter(() => resolve(value)),
        (error: unknown) =>
          this.enter(() => reject(error instanceof Error ? error : new Error(String(error)))),
      );
    });
  }

  /** A request that a dead process can no longer make. */
  request<T>(make: () => Promise<T>): Promise<T> {
    if (this.isDead) return new Promise(() => undefined);
    if (!this.isPaused) return this.promise(make());
    return new Promise((resolve, reject) => {
      this.act(() => {
        this.request(make).then(resolve, reject);
      });
    });
  }
}

export function gatedClock(clock: Clock, gate: ProcessGate): Clock {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    timer: (delayMs, fire): Timer => {
      // A timer that was cancelled while the process stood still does not fire.
      let isCancelled = false;
      const timer = clock.timer(delayMs, () =>
        gate.enter(() => {
          if (!isCancelled) fire();
        }),
      );
      return {
        cancel: () => {
          isCancelled = true;
          timer.cancel();
        },
      };
    },
    sleep: (delayMs, signal) => gate.promise(clock.sleep(delayMs, signal)),
    afterTurn: (task) => clock.afterTurn(() => gate.enter(task)),
  };
}

export function gatedStore(store: ObjectStore, gate: ProcessGate): ObjectStore {
  return {
    put: (key, body, condition) => gate.request(() => store.put(key, body, condition)),
    get: (key, range, into) => gate.request(() => store.get(key, range, into)),
    head: (key) => gate.request(() => store.head(key)),
    list: (prefix, options) => gate.request(() => store.list(prefix, options)),
    delete: (keys) => gate.request(() => store.delete(keys)),
    close: () => store.close(),
  };
}

export function gatedDevice(device: BlockDevice, gate: ProcessGate): BlockDevice {
  return {
    name: device.name,
    capacityBytes: device.capacityBytes,
    isExclusive: device.isExclusive,
    allocate: (bytes) => device.allocate(bytes),
    read: (position, into) => gate.request(() => device.read(position, into)),
    write: (position, bytes) => gate.request(() => device.write(position, bytes)),
    close: () => gate.request(() => device.close()),
  };
}

export function gatedReservation(reservation: Reservation, gate: ProcessGate): Reservation {
  return {
    volume: reservation.volume,
    register: (key) => gate.request(() => reservation.register(key)),
    acquire: (key) => gate.request(() => reservation.acquire(key)),
    preemptAndAbort: (key, victim) => gate.request(() => reservation.preemptAndAbort(key, victim)),
    release: (key) => gate.request(() => reservation.release(key)),
    report: () => gate.request(() => reservation.report()),
    close: () => reservation.close(),
  };
}

/** Bytes are held back by the network while the host is frozen; everything else comes through the gate. */
export function gatedNetwork(network: Network, gate: ProcessGate): Network {
  const accepting =
    (accept: (connection: Connection) => Receiver) =>
    (connection: Connection): Receiver => {
      const receiver = accept(gatedConnection(connection, gate));
      return {
        buffer: () => receiver.buffer(),
        received: (length) => receiver.received(length),
        drained: () => gate.enter(() => receiver.drained()),
        closed: (error) => gate.enter(() => receiver.closed(error)),
      };
    };
  return {
    listen: (address: Address, accept): Promise<Listener> =>
      gate.request(() => network.listen(address, accepting(accept))),
    connect: (address: Address, accept, options?: ConnectOptions) =>
      gate.request(async () =>
        gatedConnection(await network.connect(address, accepting(accept), options), gate),
      ),
  };
}

const wrappers = new WeakMap<Connection, Connection>();

/** The same wrapper for the same connection: its user may compare them. */
function gatedConnection(connection: Connection, gate: ProcessGate): Connection {
  const known = wrappers.get(connection);
  if (known !== undefined) return known;
  const wrapper: Connection = {
    remote: connection.remote,
    local: connection.local,
    get unsentBytes() {
      return connection.unsentBytes;
    },
    send: (pieces, sent) =>
      gate.act(() => connection.send(pieces, sent === undefined ? undefined : () => gate.enter(sent))),
    pause: () => gate.act(() => connection.pause()),
    resume: () => gate.act(() => connection.resume()),
    end: () => gate.act(() => connection.end()),
    destroy: () => gate.act(() => connection.destroy()),
  };
  wrappers.set(connection, wrapper);
  return wrapper;
}
