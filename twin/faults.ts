import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Network,
  Receiver,
} from '../broker-runtime/src/ports/network.ts';
import { CONNECT_TIMEOUT_MS, ConnectError } from '../broker-runtime/src/ports/network.ts';
import type { ObjectStore, PutOutcome } from '../broker-runtime/src/ports/object-store.ts';
import { ObjectStoreError } from '../broker-runtime/src/ports/object-store.ts';

/** What is wrong around one broker. */
export interface Faults {
  /** No byte reaches it or leaves it; its volume stays attached. */
  readonly isCutOff: boolean;
  readonly isStoreDown: boolean;
  /** Added to every request to the object store. */
  readonly storeDelayMs: number;
}

export const NO_FAULTS: Faults = { isCutOff: false, isStoreDown: false, storeDelayMs: 0 };

/** How long a request to an object store that is away takes to fail. */
const OUTAGE_ANSWER_MS = 200;

/**
 * Stands between a broker and the machine it runs on, so that a drill can break what root or a real network would be
 * needed for. The process itself, its clock and its volume are untouched.
 */
export class FaultySurroundings {
  #faults = NO_FAULTS;
  readonly #connections = new Set<CuttableConnection>();

  set(faults: Faults): void {
    this.#faults = faults;
    for (const connection of this.#connections) connection.follow();
  }

  network(real: Network): Network {
    const wrap =
      (accept: (connection: Connection) => Receiver) =>
      (connection: Connection): Receiver => {
        const cuttable = new CuttableConnection(connection, () => this.#faults.isCutOff);
        this.#connections.add(cuttable);
        const receiver = accept(cuttable);
        if (this.#faults.isCutOff) cuttable.follow();
        return {
          buffer: () => receiver.buffer(),
          received: (length) => receiver.received(length),
          drained: () => receiver.drained(),
          closed: (error) => {
            this.#connections.delete(cuttable);
            cuttable.dropHeld();
            receiver.closed(error);
          },
        };
      };
    return {
      listen: (address, accept): Promise<Listener> => real.listen(address, wrap(accept)),
      connect: async (address, accept, options = {}) => {
        if (this.#faults.isCutOff) return nobodyAnswers(address, options);
        return real.connect(address, wrap(accept), options);
      },
    };
  }

  objects(real: ObjectStore): ObjectStore {
    const answers = async <T>(act: () => Promise<T>, away: () => T): Promise<T> => {
      const { isStoreDown, isCutOff, storeDelayMs } = this.#faults;
      if (isStoreDown || isCutOff) {
        await sleep(OUTAGE_ANSWER_MS);
        return away();
      }
      if (storeDelayMs > 0) await sleep(storeDelayMs);
      return act();
    };
    const unavailable = (): never => {
      throw new ObjectStoreError('UNAVAILABLE', 'the object store is away: a drill says so');
    };
    const unknown = (): PutOutcome => ({ outcome: 'unknown', cause: 'the object store is away' });
    return {
      put: (key, body, condition) => answers(() => real.put(key, body, condition), unknown),
      get: (key, range, into) => answers(() => real.get(key, range, into), unavailable),
      head: (key) => answers(() => real.head(key), unavailable),
      list: (prefix, options) => answers(() => real.list(prefix, options), unavailable),
      delete: (keys) => answers(() => real.delete(keys), unavailable),
      close: () => real.close(),
    };
  }
}

async function nobodyAnswers(address: Address, { timeoutMs, signal }: ConnectOptions): Promise<never> {
  await sleep(timeoutMs ?? CONNECT_TIMEOUT_MS, undefined, { ...(signal === undefined ? {} : { signal }) });
  throw new ConnectError('TIMED_OUT', `${address.host}:${address.port} does not answer: the network is cut`);
}

/** As TCP behaves on a cut line: nothing arrives, what is sent stays with the sender, and all of it goes on later. */
class CuttableConnection implements Connection {
  readonly #real: Connection;
  readonly #isCut: () => boolean;
  readonly #held: { readonly pieces: readonly Uint8Array[]; readonly sent: (() => void) | undefined }[] = [];
  #heldBytes = 0;
  #isPaused = false;
  #isEnding = false;

  constructor(real: Connection, isCut: () => boolean) {
    this.#real = real;
    this.#isCut = isCut;
  }

  get remote(): Address {
    return this.#real.remote;
  }
  get local(): Address {
    return this.#real.local;
  }
  get unsentBytes(): number {
    return this.#real.unsentBytes + this.#heldBytes;
  }

  send(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (!this.#isCut()) {
      this.#real.send(pieces, sent);
      return;
    }
    // Bounded by its senders: they stop when too much of theirs is unsent.
    this.#held.push({ pieces, sent });
    this.#heldBytes += bytesOf(pieces);
  }

  pause(): void {
    this.#isPaused = true;
    this.#real.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isCut()) this.#real.resume();
  }

  end(): void {
    if (this.#isCut()) this.#isEnding = true;
    else this.#real.end();
  }

  destroy(): void {
    this.#real.destroy();
  }

  /** The line was cut, or is whole again. */
  follow(): void {
    if (this.#isCut()) {
      this.#real.pause();
      return;
    }
    this.#heldBytes = 0;
    for (const { pieces, sent } of this.#held.splice(0)) this.#real.send(pieces, sent);
    if (this.#isEnding) this.#real.end();
    else if (!this.#isPaused) this.#real.resume();
  }

  /** The connection is gone: the memory may be used again. */
  dropHeld(): void {
    this.#heldBytes = 0;
    for (const { sent } of this.#held.splice(0)) sent?.();
  }
}

function bytesOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}
