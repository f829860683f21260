import { DEVICE_BLOCK_BYTES } from '../../ports/block-device.ts';
import type { Clock } from '../../ports/clock.ts';
import { AdmissionExpiredError, type Patience } from '../wal.ts';
import { ENTRY_HEADER_BYTES } from './entry-layout.ts';
import { alignUp } from './slabs.ts';

interface Waiter {
  readonly bytes: number;
  readonly entryCount: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * The most memory and ring space that `entryCount` entries of `payloadBytes` in all can take, whatever their sizes
 * are. Groups are filled first come, first served, so two neighbours together exceed one full group (or one slab,
 * where a slab ended early); each brings a header and less than one block of padding, and the group that was open
 * before may be padded further once.
 */
export function worstCaseBytes(
  payloadBytes: number,
  entryCount: number,
  groupBytes: number,
  slabBytes: number,
  headBytes: number,
): number {
  const entriesBytes = payloadBytes + entryCount * ENTRY_HEADER_BYTES;
  if (entryCount === 1) return alignUp(headBytes + entriesBytes);
  const fullGroups = Math.floor(entriesBytes / (groupBytes - headBytes));
  const fullSlabs = Math.floor(entriesBytes / (slabBytes - headBytes - DEVICE_BLOCK_BYTES));
  const groups = Math.min(entryCount, 2 * fullGroups + 2 * fullSlabs + 2);
  return entriesBytes + groups * headBytes + (groups + 1) * (DEVICE_BLOCK_BYTES - 1);
}

/**
 * First come, first served. Whoever is let in at once appends in the same turn, so nothing needs to be remembered
 * for it. Whoever waited appends in a promise reaction: until the turn is over its bytes count as taken and nobody
 * overtakes it. What was admitted and then not appended (a batch was refused) costs nothing after the turn.
 */
export class Admission {
  readonly #fits: (bytes: number, entryCount: number) => boolean;
  readonly #clock: Pick<Clock, 'afterTurn' | 'timer'>;
  readonly #waiters: Waiter[] = [];
  #grantedBytes = 0;
  #grantedEntries = 0;

  constructor(
    fits: (bytes: number, entryCount: number) => boolean,
    clock: Pick<Clock, 'afterTurn' | 'timer'>,
  ) {
    this.#fits = fits;
    this.#clock = clock;
  }

  /** What the first in line needs, together with all that was let in this turn; 0 when nobody waits. */
  get wantedBytes(): number {
    const first = this.#waiters[0];
    return first === undefined ? 0 : this.#grantedBytes + first.bytes;
  }

  /** As {@link wantedBytes}. */
  get wantedEntries(): number {
    const first = this.#waiters[0];
    return first === undefined ? 0 : this.#grantedEntries + first.entryCount;
  }

  /** @throws {AdmissionExpiredError} (rejects) when the patience is over */
  enter(bytes: number, entryCount: number, patience?: Patience): Promise<void> | undefined {
    if (this.#waiters.length === 0 && this.#grantedBytes === 0 && this.#fits(bytes, entryCount)) {
      return undefined;
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiter: Waiter = {
      bytes,
      entryCount,
      resolve: () => {
        resolve(undefined);
      },
      reject,
    };
    this.#waiters.push(waiter);
    return patience === undefined ? promise : this.#limited(waiter, promise, patience);
  }

  /** Whoever is gone must not stand in the line: what comes after would wait for room that nobody uses. */
  async #limited(waiter: Waiter, admitted: Promise<undefined>, { ms, signal }: Patience): Promise<void> {
    const onGone = (): void => {
      this.#leave(waiter, 'whoever waited for room in the WAL is gone');
    };
    const timer = this.#clock.timer(ms, () => {
      this.#leave(waiter, `the WAL had no room for ${ms} ms`);
    });
    signal?.addEventListener('abort', onGone);
    if (signal?.aborted === true) onGone();
    try {
      await admitted;
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', onGone);
    }
  }

  #leave(waiter: Waiter, why: string): void {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return;
    this.#waiters.splice(at, 1);
    waiter.reject(new AdmissionExpiredError(`${why}; nothing was appended`));
    if (at === 0) this.admitWaiting();
  }

  /** Something was freed. */
  admitWaiting(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (!this.#fits(this.#grantedBytes + first.bytes, this.#grantedEntries + first.entryCount)) return;
      this.#waiters.shift();
      if (this.#grantedBytes === 0) {
        this.#clock.afterTurn(() => {
          this.#grantedBytes = 0;
          this.#grantedEntries = 0;
          this.admitWaiting();
        });
      }
      this.#grantedBytes += first.bytes;
      this.#grantedEntries += first.entryCount;
      first.resolve();
    }
  }

  rejectAll(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}
