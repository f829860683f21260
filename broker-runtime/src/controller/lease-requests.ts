import { backoffMs } from '../base/backoff.ts';
import { messageOf } from '../base/errors.ts';
import type { Moment } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import type { ElectionOptions, ElectionTiming } from './election-options.ts';
import { LEASE_KEY, LeaseMalformedError } from './lease-body.ts';
import type { LeaseOwner } from './lease-body.ts';
import { LeasePace } from './lease-pace.ts';
import { type ClaimOutcome, LeaseClaim, readLease, type StoredLease } from './lease.ts';

/** Between requests that the store did not answer; far below a ttl, so that a renewal gets many chances. */
export const LEASE_RETRY = { firstMs: 20, maxMs: 500 };
/** A lease that cannot be given back just expires. */
const MAX_RELEASE_WRITES = 3;

/** The lease as one process sees it and writes it: what each request taught is kept for the next. */
export class LeaseRequests {
  readonly #env: Env;
  readonly #store: ObjectStore;
  readonly #options: ElectionOptions;
  readonly #timing: ElectionTiming;
  readonly #me: LeaseOwner;
  readonly #now: () => Moment;
  readonly #pace: LeasePace;
  /** Of all leases seen: an epoch is not given twice even when the object was deleted meanwhile (I22). */
  #highestEpoch = 0;

  constructor(
    env: Env,
    store: ObjectStore,
    options: ElectionOptions,
    timing: ElectionTiming,
    now: () => Moment,
  ) {
    this.#env = env;
    this.#store = store;
    this.#options = options;
    this.#timing = timing;
    this.#now = now;
    this.#pace = new LeasePace(timing);
    const { ownerId, host, port } = options;
    this.#me = { id: ownerId ?? null, incarnation: env.random.uuid(), host, port };
  }

  /** How long a lease lives that is written now. */
  get ttlMs(): number {
    return this.#pace.ttlMs;
  }

  get nextEpoch(): number {
    return Math.max(this.#highestEpoch, this.#options.epochSeen?.() ?? 0) + 1;
  }

  /**
   * @throws {ObjectStoreError} UNAVAILABLE, DENIED
   * @throws {LeaseMalformedError} also when the lease is another cluster's
   */
  async look(): Promise<StoredLease | undefined> {
    const stored = await readLease(this.#env, this.#store);
    if (stored === undefined) return undefined;
    const ours = this.#options.clusterId?.();
    const { clusterId: theirs, epoch } = stored.body;
    if (ours !== undefined && theirs !== null && theirs !== ours) {
      throw new LeaseMalformedError(
        `${LEASE_KEY} belongs to cluster ${theirs}, this process to ${ours}: give each cluster a bucket of its own`,
      );
    }
    this.#highestEpoch = Math.max(this.#highestEpoch, epoch);
    return stored;
  }

  async tryLook(): Promise<{ readonly stored: StoredLease | undefined } | 'unavailable'> {
    try {
      return { stored: await this.#timed(() => this.look()) };
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code === 'UNAVAILABLE') return 'unavailable';
      throw error;
    }
  }

  /** Nobody needs to be waited for: nobody has it, or its holder is this process, or one that is gone for certain. */
  isFree(stored: StoredLease | undefined): boolean {
    if (stored === undefined || stored.body.released) return true;
    const { id, incarnation } = stored.body.owner;
    // Ours: a write whose answer was lost has landed. Same id: the caller holds the exclusive lock on it.
    return incarnation === this.#me.incarnation || (id !== null && id === this.#me.id);
  }

  /** A chain of writes, the first of them in place of what was seen. */
  claim(seen: StoredLease | undefined): LeaseClaim {
    return new LeaseClaim(this.#env, this.#store, this.#me, this.#now, seen);
  }

  /** One write of a lease that is held, for as long as the store's pace asks for. */
  async write(
    claim: LeaseClaim,
    epoch: number,
  ): Promise<{ readonly answer: ClaimOutcome; readonly ttlMs: number }> {
    const { ttlMs } = this;
    const answer = await this.#timed(() => claim.write(this.#terms(epoch, false, ttlMs)));
    if (answer.outcome === 'committed') this.#highestEpoch = Math.max(this.#highestEpoch, epoch);
    return { answer, ttlMs };
  }

  async release(claim: LeaseClaim, epoch: number): Promise<void> {
    const { clock, random, events } = this.#env;
    try {
      for (let n = 0; n < MAX_RELEASE_WRITES; n++) {
        if (n > 0) await clock.sleep(backoffMs(n, LEASE_RETRY, random));
        const { outcome } = await claim.write(this.#terms(epoch, true, this.#timing.ttlMs));
        if (outcome !== 'unsure') return;
      }
      events.warn('election.not-released', { epoch, cause: 'the object store does not answer' });
    } catch (error) {
      events.warn('election.not-released', { epoch, cause: messageOf(error) });
    }
  }

  #terms(epoch: number, released: boolean, ttlMs: number): Parameters<LeaseClaim['write']>[0] {
    return { clusterId: this.#options.clusterId?.() ?? null, epoch, ttlMs, released };
  }

  /** How fast the store answers sets the pace; a request that failed says nothing of it. */
  async #timed<T>(request: () => Promise<T>): Promise<T> {
    const { clock } = this.#env;
    const startedMs = clock.monotonicMs();
    const answer = await request();
    this.#pace.answered(clock.monotonicMs() - startedMs);
    return answer;
  }
}
