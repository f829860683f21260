import { CorruptionError } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { RetryingStore } from '../conditional/retrying-store.ts';
import { LOG_ID_BYTES, type LogOwner } from '../log-owner.ts';
import { WalMismatchError } from '../wal.ts';
import {
  checkStep,
  decodeFence,
  describeFence,
  encodeFence,
  FENCE_FORMAT,
  WalFenceLostError,
  type FenceRecord,
} from './fence-record.ts';
import { fenceKey } from './keys.ts';

/** Losing a compare-and-swap this often in a row means two processes act as one node (P8). */
const MAX_LOST_SWAPS = 8;
/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;

/** What a change leaves as it is need not be named; what makes every body different is added by the swap. */
export type FenceChange = Partial<Omit<FenceRecord, 'format' | 'clusterId' | 'nodeId' | 'nonce' | 'counter'>>;

/** Who fences: the epoch to be over, and the attempt the controller assigned. */
export interface FencedBy {
  readonly epoch: number;
  readonly recoverer: number;
  readonly attempt: number;
}

/** The object `walfence/<node>` of one node; see {@link FenceRecord}. */
export class WalFence {
  readonly key: string;
  readonly #env: Env;
  readonly #store: RetryingStore;
  readonly #owner: LogOwner;

  constructor(env: Env, store: RetryingStore, owner: LogOwner) {
    this.key = fenceKey(owner.nodeId);
    this.#env = env;
    this.#store = store;
    this.#owner = owner;
  }

  /** Straight from the store, never from a cache (R7). @throws {CorruptionError} @throws {WalMismatchError} */
  async read(): Promise<FenceRecord | undefined> {
    return (await this.#read())?.fence;
  }

  /**
   * Changes the object by compare-and-swap. `decide` is asked again about what another process made of it meanwhile;
   * it throws when the change is not to be made any more, and says undefined when nothing is left to change.
   * @throws {WalFenceLostError} after too many lost swaps
   */
  async swap(decide: (current: FenceRecord | undefined) => FenceChange | undefined): Promise<FenceRecord> {
    let current = await this.#read();
    for (let losses = 0; losses < MAX_LOST_SWAPS; losses++) {
      const change = decide(current?.fence);
      if (change === undefined) return this.#present(current).fence;
      const next = this.#next(current?.fence, change);
      const answer = await this.#store.put(
        this.key,
        encodeFence(next),
        current === undefined ? { kind: 'absent' } : { kind: 'etag', etag: current.etag },
      );
      if (answer.outcome === 'committed') return next;
      // Our own nonce there: an earlier try of this very put landed and only its answer was lost (P1).
      current = this.#present(await this.#read());
      if (current.fence.nonce === next.nonce) return next;
    }
    throw new WalFenceLostError(
      `${this.key} was changed by others ${MAX_LOST_SWAPS} times in a row: two processes act as one node; stop one`,
    );
  }

  #next(before: FenceRecord | undefined, change: FenceChange): FenceRecord {
    const { clusterId, nodeId } = this.#owner;
    const next = {
      ...(before ?? blankFence(clusterId, nodeId)),
      ...change,
      nonce: this.#env.random.uuid(),
      counter: (before?.counter ?? 0) + 1,
    };
    checkStep(before, next);
    return next;
  }

  async #read(): Promise<{ readonly fence: FenceRecord; readonly etag: string } | undefined> {
    for (let attempt = 1; ; attempt++) {
      const stored = await this.#store.get(this.key);
      if (stored === undefined) return undefined;
      try {
        const fence = decodeFence(stored.body, this.key);
        this.#checkOwner(fence);
        return { fence, etag: stored.etag };
      } catch (error) {
        if (!(error instanceof CorruptionError) || attempt >= READ_ATTEMPTS) throw error;
        this.#env.events.warn('wal.read-again', { key: this.key, attempt, cause: error.message });
      }
    }
  }

  #checkOwner({ clusterId, nodeId }: FenceRecord): void {
    if (clusterId === this.#owner.clusterId && nodeId === this.#owner.nodeId) return;
    throw new WalMismatchError(
      `${this.key} belongs to node ${nodeId} of cluster ${clusterId}, wanted is node ${this.#owner.nodeId} of cluster ` +
        `${this.#owner.clusterId}; give this cluster a bucket or prefix of its own`,
    );
  }

  #present<T>(found: T | undefined): T {
    if (found !== undefined) return found;
    throw new CorruptionError(
      `${this.key} vanished: nobody deletes it on purpose; restore it from a bucket version`,
    );
  }
}

/** What the fence becomes when `by` fences the node. @throws {WalFenceLostError} */
export function fencing(current: FenceRecord | undefined, by: FencedBy): FenceChange | undefined {
  if (current !== undefined && current.epoch >= by.epoch) {
    const isSameEpoch = current.epoch === by.epoch && current.state === 'FENCED';
    if (isSameEpoch && current.attempt === by.attempt && current.recoverer === by.recoverer) return undefined;
    if (current.epoch > by.epoch || (isSameEpoch && current.attempt >= by.attempt)) {
      throw new WalFenceLostError(
        `attempt ${by.attempt} of broker ${by.recoverer} may not fence epoch ${by.epoch} of node ${current.nodeId}: ` +
          `the fence is at ${describeFence(current)}; ask the controller whether the recovery is still wanted`,
      );
    }
  }
  return { epoch: by.epoch, state: 'FENCED', recoverer: by.recoverer, attempt: by.attempt };
}

/** What the fence becomes when the node of `nodeEpoch` begins a log behind group `endSequence`. */
export function claiming(
  current: FenceRecord | undefined,
  proof: FencedBy,
  log: { readonly nodeEpoch: number; readonly logId: string; readonly endSequence: number },
): FenceChange {
  if (current !== undefined && current.epoch >= log.nodeEpoch) {
    throw new WalMismatchError(
      `node epoch ${log.nodeEpoch} is not above ${current.epoch}, which the fence of node ${current.nodeId} names; ` +
        'register the broker again to get a newer one',
    );
  }
  checkFencedBy(current, proof);
  return {
    epoch: log.nodeEpoch,
    state: 'SELF',
    recoverer: null,
    attempt: 0,
    logEpoch: log.nodeEpoch,
    logId: log.logId,
    trimmedUpTo: log.endSequence,
    ackedUpTo: log.endSequence,
  };
}

/** @throws {WalFenceLostError} the fence is not `proof`'s any more */
export function checkFencedBy(current: FenceRecord | undefined, proof: FencedBy): void {
  if (
    current?.state === 'FENCED' &&
    current.epoch === proof.epoch &&
    current.recoverer === proof.recoverer &&
    current.attempt === proof.attempt
  ) {
    return;
  }
  throw new WalFenceLostError(
    `the fence that broker ${proof.recoverer} set at epoch ${proof.epoch}, attempt ${proof.attempt}, is ` +
      `${current === undefined ? 'gone' : `at ${describeFence(current)} now`}: the log is another's; recover it again ` +
      'if the controller still wants it',
  );
}

/** The fence proof of the writer (I7). @throws {WalFenceLostError} */
export function checkSelf(current: FenceRecord | undefined, nodeEpoch: number, logId: string): void {
  if (current?.state === 'SELF' && current.epoch === nodeEpoch && current.logId === logId) return;
  throw new WalFenceLostError(
    `the log of epoch ${nodeEpoch} may not be written any more: its fence is ` +
      `${current === undefined ? 'gone' : `at ${describeFence(current)}`}; start the broker again`,
  );
}

/** Of a node that never had a log. */
function blankFence(clusterId: string, nodeId: number): FenceRecord {
  return {
    format: FENCE_FORMAT,
    clusterId,
    nodeId,
    epoch: 0,
    state: 'FENCED',
    recoverer: 0,
    attempt: 0,
    logEpoch: 0,
    logId: '0'.repeat(2 * LOG_ID_BYTES),
    trimmedUpTo: 0,
    ackedUpTo: 0,
    nonce: '',
    counter: 0,
  };
}
