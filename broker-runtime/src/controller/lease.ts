import { MillraceError } from '../base/errors.ts';
import type { Moment } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import type { ObjectStore, PutCondition, PutOutcome } from '../ports/object-store.ts';
import { decodeLease, encodeLease, LEASE_KEY, LeaseMalformedError } from './lease-body.ts';
import type { LeaseBody, LeaseOwner } from './lease-body.ts';

/** Reads of a body that makes no sense, before it counts as malformed: the fault may be on the way (protocol 3.7). */
const READ_ATTEMPTS = 3;
/** An earlier write of ours that landed is followed by one more; a second such surprise is left to the caller's loop. */
const WRITES_AT_ONCE = 2;

export interface StoredLease {
  readonly body: LeaseBody;
  readonly etag: string;
}

/** Nobody deletes the lease on purpose. It carries no truth, so the next candidate makes a new one. */
export class LeaseVanishedError extends MillraceError {
  readonly code = 'LEASE_VANISHED';
}

/**
 * One look, never repeated: whoever times a lease decides when the next is due. Undefined: there is no lease yet.
 * @throws {ObjectStoreError} UNAVAILABLE, DENIED
 * @throws {LeaseMalformedError}
 */
export async function readLease(env: Env, store: ObjectStore): Promise<StoredLease | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { body, etag } = await store.get(LEASE_KEY);
      return { body: decodeLease(body), etag };
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code === 'NOT_FOUND') return undefined;
      if (!(error instanceof LeaseMalformedError) || attempt >= READ_ATTEMPTS) throw error;
      env.events.warn('election.read-again', { key: LEASE_KEY, attempt, cause: error.message });
    }
  }
}

/** What a holder writes; the rest of the body follows from what is stored. */
export type LeaseTerms = Pick<LeaseBody, 'clusterId' | 'epoch' | 'ttlMs' | 'released'>;

/**
 *   committed  the lease is ours; its age counts from `sentAt`, before the write was sent (R8)
 *   lost       another owns it, and no write of ours can land any more
 *   unsure     it may be ours, now or later: write again
 */
export type ClaimOutcome =
  | { readonly outcome: 'committed'; readonly sentAt: Moment }
  | { readonly outcome: 'lost'; readonly to: StoredLease }
  | { readonly outcome: 'unsure'; readonly cause: string };

/**
 * One process's writes to the lease, from taking it to giving it up: a chain of compare-and-swaps, each on the body
 * the one before left. A body with our incarnation can only have been written here, so when an answer is lost a
 * look tells whether it landed; then we write once more before the lease counts as ours (P1, P5). Two writes on the
 * same etag are harmless: at most one of them lands.
 */
export class LeaseClaim {
  readonly #env: Env;
  readonly #store: ObjectStore;
  readonly #me: LeaseOwner;
  readonly #now: () => Moment;
  #stored: StoredLease | undefined;

  constructor(
    env: Env,
    store: ObjectStore,
    me: LeaseOwner,
    now: () => Moment,
    stored: StoredLease | undefined,
  ) {
    this.#env = env;
    this.#store = store;
    this.#me = me;
    this.#now = now;
    this.#stored = stored;
  }

  /**
   * @throws {ObjectStoreError} DENIED: a misconfiguration, not an answer about the lease
   * @throws {LeaseVanishedError}
   * @throws {LeaseMalformedError}
   */
  async write(terms: LeaseTerms): Promise<ClaimOutcome> {
    let cause = '';
    for (let n = 0; n < WRITES_AT_ONCE; n++) {
      const body: LeaseBody = {
        ...terms,
        owner: this.#me,
        nonce: this.#env.random.uuid(),
        counter: (this.#stored?.body.counter ?? 0) + 1,
      };
      const condition: PutCondition =
        this.#stored === undefined ? { kind: 'absent' } : { kind: 'etag', etag: this.#stored.etag };
      const sentAt = this.#now();
      const answer = await this.#store.put(LEASE_KEY, [encodeLease(body)], condition);
      if (answer.outcome === 'committed') {
        this.#stored = { body, etag: answer.etag };
        return { outcome: 'committed', sentAt };
      }
      cause = causeOf(answer);
      // A conflict says that nothing landed (P2): nothing to look up.
      if (answer.outcome === 'conflict') break;
      const occupant = await this.#look();
      if (occupant === 'unavailable') break;
      if (occupant === undefined) {
        if (condition.kind === 'absent') break;
        throw new LeaseVanishedError(`${LEASE_KEY} vanished while it was held: somebody deleted it`);
      }
      // What we wrote on is still there: this write may yet land.
      if (occupant.etag === this.#stored?.etag) break;
      if (occupant.body.owner.incarnation !== this.#me.incarnation) return { outcome: 'lost', to: occupant };
      this.#stored = occupant;
    }
    return { outcome: 'unsure', cause };
  }

  async #look(): Promise<StoredLease | undefined | 'unavailable'> {
    try {
      return await readLease(this.#env, this.#store);
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code === 'UNAVAILABLE') return 'unavailable';
      throw error;
    }
  }
}

function causeOf(answer: Exclude<PutOutcome, { outcome: 'committed' }>): string {
  switch (answer.outcome) {
    case 'rejected':
      return `the lease ${answer.reason}`;
    case 'conflict':
      return 'a concurrent operation on the lease (409)';
    case 'unknown':
      return answer.cause instanceof Error ? answer.cause.message : String(answer.cause);
  }
}
