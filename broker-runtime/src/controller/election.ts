import { backoffMs } from '../base/backoff.ts';
import { messageOf } from '../base/errors.ts';
import type { Moment } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { ClockWatch } from './clock-watch.ts';
import { timingOf } from './election-options.ts';
import type { ElectionOptions, ElectionTiming } from './election-options.ts';
import { LEASE_RETRY, LeaseRequests } from './lease-requests.ts';
import { LeaseVanishedError } from './lease.ts';
import type { LeaseClaim, StoredLease } from './lease.ts';
import { LeaseTerm, TermEndedError } from './term.ts';
import type { Term } from './term.ts';

export type { ElectionOptions } from './election-options.ts';
export { TermEndedError } from './term.ts';
export type { Term, TermEnd } from './term.ts';

export type ElectionState = 'follower' | 'candidate' | 'leader';

/** Unsure writes in a row before a candidate looks at the lease again. */
const MAX_CLAIM_WRITES = 8;
/** Who failed to serve lets others try first: in ttls. */
const PENALTY_TTLS = { first: 1, max: 10 };
/** Others look at the lease twice in a ttl: who steps aside has given each of them several chances by then. */
const ASIDE_TTLS = 2;

/** Serving has begun when it resolves. Must settle soon after the term's signal is aborted. */
export type OnElected = (term: Term) => Promise<void>;
/** Called once for every term, as soon as it ends; resolves when nothing is served any more. */
export type OnLost = (term: Term, error: TermEndedError) => Promise<void>;

interface Won {
  readonly claim: LeaseClaim;
  readonly epoch: number;
  readonly sentAt: Moment;
  readonly ttlMs: number;
}

/**
 * Who is the controller (protocol 3.2): each process runs one, and the object `lease/controller` names the one that
 * won. The lease only keeps candidates apart, the log decides: whoever is elected takes the log over with its fence
 * entry before it serves, and what it appends is void once another has done so.
 */
export class Election {
  readonly #env: Env;
  readonly #options: ElectionOptions;
  readonly #timing: ElectionTiming;
  readonly #watch: ClockWatch;
  readonly #lease: LeaseRequests;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #state: ElectionState = 'follower';
  #term: LeaseTerm | undefined;
  #wake = new AbortController();
  /** Terms in a row that ended before anything was served. */
  #failures = 0;

  /** @throws {ElectionOptionsError} */
  constructor(env: Env, store: ObjectStore, options: ElectionOptions) {
    this.#env = env;
    this.#options = options;
    this.#timing = timingOf(options);
    this.#watch = new ClockWatch(env.clock);
    this.#lease = new LeaseRequests(env, store, options, this.#timing, () => this.#watch.now());
  }

  get state(): ElectionState {
    return this.#state;
  }

  /** Of this process, while it is the leader. */
  get term(): Term | undefined {
    return this.#term;
  }

  /** Runs for the lease until {@link stop}; one term after the other, never two at a time. */
  start(onElected: OnElected, onLost: OnLost): void {
    this.#watch.start();
    this.#running ??= this.#run(onElected, onLost);
  }

  /** Something hints that the controller is gone, a broken connection say: look at the lease now. */
  lookNow(): void {
    this.#wake.abort();
  }

  /** Ends the term, waits until nothing is served, and gives the lease back, so that a successor need not wait. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#term?.finish(new TermEndedError('stopped', 'the controller of this process was stopped'));
    await this.#running;
    this.#watch.stop();
  }

  /**
   * Who says of itself that it is the controller. It may be gone already, or not serve yet: then try again later.
   * Undefined while nobody is.
   * @throws {ObjectStoreError} UNAVAILABLE, DENIED
   * @throws {LeaseMalformedError}
   */
  async currentLeader(): Promise<{ host: string; port: number; epoch: number } | undefined> {
    const stored = await this.#lease.look();
    if (stored === undefined || stored.body.released) return undefined;
    const { owner, epoch } = stored.body;
    return { host: owner.host, port: owner.port, epoch };
  }

  async #run(onElected: OnElected, onLost: OnLost): Promise<void> {
    try {
      for (;;) {
        const won = await this.#win();
        if (won === undefined) return;
        if (this.#isStopping()) {
          await this.#lease.release(won.claim, won.epoch);
          return;
        }
        const ended = await this.#lead(won, onElected, onLost);
        this.#state = 'follower';
        if (ended.why === 'unheard') await this.#pause(ASIDE_TTLS * this.#lease.ttlMs);
        if (ended.why !== 'failed' && ended.why !== 'superseded') continue;
        const { ttlMs } = this.#timing;
        const penalty = { firstMs: PENALTY_TTLS.first * ttlMs, maxMs: PENALTY_TTLS.max * ttlMs };
        await this.#pause(backoffMs(this.#failures++, penalty, this.#env.random));
      }
    } catch (error) {
      this.#state = 'follower';
      this.#env.events.error('election.failed', { cause: messageOf(error) });
      this.#options.onFailed?.(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Follows until the lease is free, then takes it. Undefined: stopped. */
  async #win(): Promise<Won | undefined> {
    const { clock, random } = this.#env;
    const { pollMs, candidateDelayMs } = this.#timing;
    let seen: { readonly etag: string | undefined; readonly sinceMs: number } | undefined;
    let repeat = 0;
    while (!this.#isStopping()) {
      const look = await this.#lease.tryLook();
      if (look === 'unavailable') {
        await this.#pause(backoffMs(repeat++, LEASE_RETRY, random));
        continue;
      }
      repeat = 0;
      const { stored } = look;
      // From now, not from when the request was sent: the holder may have renewed just before the answer (R8).
      if (seen === undefined || seen.etag !== stored?.etag) {
        seen = { etag: stored?.etag, sinceMs: clock.monotonicMs() };
      }
      if (!this.#lease.isFree(stored)) {
        const leftMs = seen.sinceMs + (stored?.body.ttlMs ?? 0) - clock.monotonicMs();
        if (leftMs > 0) {
          await this.#pause(Math.min(leftMs, pollMs), true);
          continue;
        }
        await this.#pause(random.below(candidateDelayMs + 1));
      }
      const won = await this.#claim(stored);
      if (won !== undefined) return won;
    }
    return undefined;
  }

  async #claim(stored: StoredLease | undefined): Promise<Won | undefined> {
    if (this.#isStopping()) return undefined;
    this.#state = 'candidate';
    const epoch = this.#lease.nextEpoch;
    const claim = this.#lease.claim(stored);
    for (let n = 0; n < MAX_CLAIM_WRITES && !this.#isStopping(); n++) {
      const { answer, ttlMs } = await this.#lease.write(claim, epoch);
      if (answer.outcome === 'committed') return { claim, epoch, sentAt: answer.sentAt, ttlMs };
      if (answer.outcome === 'lost') break;
      await this.#pause(backoffMs(n, LEASE_RETRY, this.#env.random));
    }
    this.#state = 'follower';
    // Stopped while it was not sure whether the lease is ours: give it back if it is.
    if (this.#isStopping()) await this.#lease.release(claim, epoch);
    return undefined;
  }

  async #lead(won: Won, onElected: OnElected, onLost: OnLost): Promise<TermEndedError> {
    const { clock, events } = this.#env;
    const { claim, epoch, sentAt, ttlMs } = won;
    const { host, port } = this.#options;
    const term = new LeaseTerm(clock, this.#watch, epoch, ttlMs - this.#timing.marginMs, sentAt);
    this.#state = 'leader';
    this.#term = term;
    events.info('election.elected', { epoch, host, port });
    const serving = this.#serve(term, onElected);
    const renewing = this.#renew(term, claim, sentAt);
    const ended = await term.ended;
    events.warn('election.lost', { epoch, why: ended.why, cause: ended.message });
    try {
      await onLost(term, ended);
    } catch (error) {
      events.error('election.not-handed-over', { epoch, cause: messageOf(error) });
    }
    await serving;
    await renewing;
    this.#term = undefined;
    if (ended.why !== 'rejected') await this.#lease.release(claim, epoch);
    return ended;
  }

  async #serve(term: LeaseTerm, onElected: OnElected): Promise<void> {
    try {
      await onElected(term);
      if (!term.signal.aborted) this.#failures = 0;
    } catch (error) {
      term.end('failed', error);
    }
  }

  /** Keeps the term alive. Returns when it has ended and no write of it is under way. */
  async #renew(term: LeaseTerm, claim: LeaseClaim, won: Moment): Promise<void> {
    const { clock, random } = this.#env;
    const { renewMs } = this.#timing;
    let dueMs = won.monotonicMs + renewMs;
    let repeat = 0;
    for (;;) {
      await pauseUntil(term.signal, (signal) => clock.sleep(dueMs - clock.monotonicMs(), signal));
      if (term.signal.aborted) return;
      try {
        const { answer, ttlMs } = await this.#lease.write(claim, term.epoch);
        if (answer.outcome === 'committed') {
          term.renewed(answer.sentAt, ttlMs - this.#timing.marginMs);
          dueMs = answer.sentAt.monotonicMs + renewMs;
          repeat = 0;
        } else if (answer.outcome === 'lost') {
          const { owner, epoch } = answer.to.body;
          const winner = `${owner.host}:${owner.port} with epoch ${epoch}`;
          term.finish(new TermEndedError('rejected', `the lease was taken by ${winner}`));
        } else {
          dueMs = clock.monotonicMs() + backoffMs(repeat++, LEASE_RETRY, random);
        }
      } catch (error) {
        const why = error instanceof LeaseVanishedError ? 'rejected' : 'failed';
        term.finish(new TermEndedError(why, messageOf(error), { cause: error }));
      }
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Ends early when the election is stopped; `wakeable`: also when somebody hints that the lease is free. */
  async #pause(delayMs: number, wakeable = false): Promise<void> {
    const signals = [this.#stopping.signal];
    if (wakeable) {
      this.#wake = new AbortController();
      signals.push(this.#wake.signal);
    }
    await pauseUntil(AbortSignal.any(signals), (signal) => this.#env.clock.sleep(delayMs, signal));
  }
}

/** A sleep rejects for one reason only, its signal, and that is the caller's to look at. */
async function pauseUntil(signal: AbortSignal, sleep: (signal: AbortSignal) => Promise<void>): Promise<void> {
  try {
    await sleep(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
