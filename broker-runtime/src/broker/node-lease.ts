import type { Clock } from '../ports/clock.ts';

/** Of the session: what two clocks may drift apart in it (1 %), and the controller's answer may take, many times over. */
const MARGIN_SHARE = 0.1;
/** Wall and monotonic clock moved differently by more: the machine was suspended, or somebody set the clock (R9). */
const CLOCK_JUMP_MS = 1_000;

/**
 * While the bucket is out of reach, readers are answered for so long after the volume was asked and said that it is ours.
 * Whoever takes the volume waits a little longer before others lead ({@link VOLUME_WORD_WAIT_MS}), so that nobody reads
 * here what is not the newest any more (I8).
 */
export const VOLUME_WORD_MS = 600;
/** The same as the successor counts it: its clock may be faster by far more than clocks are. */
export const VOLUME_WORD_WAIT_MS = 700;

interface Change {
  readonly promise: Promise<undefined>;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export interface LeaseMoment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/**
 * How long this node may act as if it were not declared dead (protocol 3.4). The lease counts from the moment a
 * heartbeat was sent that the controller answered (R8): the controller heard it later, so it counts longer than we do.
 *
 * While the bucket is out of reach the lease does not run out. Declaring a node dead takes an entry in the bucket, and
 * whoever can write one although we cannot read still has to get past the reservation of our volume, which decides
 * about every write anyway; readers are answered as long as the volume itself says that it is ours. Without this the loss
 * of the bucket would stop a cluster whose logs have room for minutes.
 */
export class NodeLease {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  #renewedAt: LeaseMoment | undefined;
  #bucketLostAt: LeaseMoment | undefined;
  #volumeHeldAt: LeaseMoment | undefined;
  #change = newChange();
  #ended: Error | undefined;

  constructor(clock: Clock, sessionTimeoutMs: number) {
    this.#clock = clock;
    this.#ttlMs = sessionTimeoutMs * (1 - MARGIN_SHARE);
  }

  /** Taken right before a heartbeat is sent. */
  moment(): LeaseMoment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** The heartbeat sent at `moment` was answered by the newest controller. */
  renew(moment: LeaseMoment): void {
    if (this.#renewedAt !== undefined && moment.monotonicMs < this.#renewedAt.monotonicMs) return;
    this.#renewedAt = moment;
    this.#changed();
  }

  /** The bucket did not answer a question asked at `moment`, or answers again (undefined). */
  bucketLost(moment: LeaseMoment | undefined): void {
    const isNews = (this.#bucketLostAt === undefined) !== (moment === undefined);
    this.#bucketLostAt = moment;
    if (isNews) this.#changed();
  }

  get isBucketLost(): boolean {
    return this.#bucketLostAt !== undefined;
  }

  /** The volume was asked at `moment`, and said that this life holds it. */
  volumeHeld(moment: LeaseMoment): void {
    this.#volumeHeldAt = moment;
  }

  /** This life of the node is over. */
  end(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#change.reject(reason);
  }

  /** What was written may be acknowledged: the medium took it. */
  isValid(): boolean {
    return (
      this.#ended === undefined &&
      (this.#isFresh(this.#renewedAt, this.#ttlMs) || this.#isFresh(this.#bucketLostAt, this.#ttlMs))
    );
  }

  /** What this node leads nobody else leads yet: what it has is the newest there is. */
  mayAnswerReaders(): boolean {
    if (this.#ended !== undefined) return false;
    if (this.#isFresh(this.#renewedAt, this.#ttlMs)) return true;
    return this.isValid() && this.#isFresh(this.#volumeHeldAt, VOLUME_WORD_MS);
  }

  /**
   * The proof a write needs before it is acknowledged: true now, or a promise of the next change, after which to ask
   * again; it rejects when this life of the node is over.
   */
  proof(): true | Promise<undefined> {
    return this.isValid() ? true : this.#change.promise;
  }

  #isFresh(moment: LeaseMoment | undefined, ttlMs: number): boolean {
    if (moment === undefined) return false;
    const passedMs = this.#clock.monotonicMs() - moment.monotonicMs;
    const jumpedMs = Math.abs(this.#clock.wallMs() - moment.wallMs - passedMs);
    return passedMs < ttlMs && jumpedMs <= CLOCK_JUMP_MS;
  }

  #changed(): void {
    if (this.#ended !== undefined) return;
    const before = this.#change;
    this.#change = newChange();
    before.resolve();
  }
}

function newChange(): Change {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  // Nobody may be waiting when it is over.
  promise.catch(() => undefined);
  return { promise, resolve: () => resolve(undefined), reject };
}
