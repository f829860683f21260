import { MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { Address, Network } from '../ports/network.ts';
import { ObjectStoreError } from '../ports/object-store.ts';
import { RpcClient } from '../rpc/client.ts';
import { RpcError, RpcRefusedError } from '../rpc/errors.ts';
import type { RpcBody } from '../rpc/frame.ts';

/** Two processes of one region connect within milliseconds; what takes longer is gone. */
const CONNECT_TIMEOUT_MS = 1_000;

export interface ControllerLinkParts {
  readonly env: Env;
  readonly network: Network;
  /** Who holds the lease, read from the bucket. @throws {ObjectStoreError} */
  readonly leader: () => Promise<Address | undefined>;
}

/** Heartbeats go every sixth of a session: the node is missed only after twice as many. */
const MAX_TIMEOUTS_IN_A_ROW = 3;
/** An object of a few hundred bytes; a bucket that takes longer is as good as gone for who waits, and who asks next finds what came. */
const LEADER_TIMEOUT_MS = 2_000;
/** An answer that comes later than that is of no use, if it comes: the bucket is asked anew. */
const LEADER_LATE_MS = 10_000;

/**
 * The one connection of this broker to whoever is the controller. It is opened when somebody calls, and dropped when it
 * breaks or leads to a process that does not lead any more; calls that fail are repeated by those who made them.
 */
export class ControllerLink {
  readonly #parts: ControllerLinkParts;
  #client: Promise<RpcClient> | undefined;
  /** A read of the lease that is under way. */
  #reading: { readonly leader: Promise<Address | undefined>; readonly sinceMs: number } | undefined;
  #timeoutsInARow = 0;
  #isClosed = false;

  constructor(parts: ControllerLinkParts) {
    this.#parts = parts;
  }

  /**
   * @throws {NoControllerError} nobody leads at the moment; nothing was sent
   * @throws {ConnectError | RpcError | RpcRefusedError} as {@link RpcClient}
   */
  async call(method: string, body: RpcBody, timeoutMs: number): Promise<RpcBody> {
    if (this.#isClosed) throw new NoControllerError('this broker is closing');
    this.#client ??= this.#connect();
    const pending = this.#client;
    try {
      const client = await pending;
      const answer = await client.call(method, body, { timeoutMs });
      this.#timeoutsInARow = 0;
      return answer;
    } catch (error) {
      // An answer came: the connection is good, unless it leads to a process that does not lead any more.
      const isAnswer = error instanceof RpcRefusedError && error.code !== 'NOT_CONTROLLER';
      // Nothing was sent because too much is: a new connection would not be better.
      const isBusy = error instanceof RpcError && error.code === 'BUSY';
      if (error instanceof RpcError && error.code === 'TIMED_OUT') this.#timedOut(pending);
      else if (!isAnswer && !isBusy) this.#drop(pending);
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    if (this.#client !== undefined) this.#drop(this.#client);
  }

  async #connect(): Promise<RpcClient> {
    const { env, network } = this.#parts;
    const address = await this.#leader();
    if (address === undefined) throw new NoControllerError('no broker holds the controller lease');
    const client = await RpcClient.connect(env, network, address, { timeoutMs: CONNECT_TIMEOUT_MS });
    const opened = this.#client;
    void client.closed.then(() => {
      if (this.#client === opened) this.#client = undefined;
    });
    return client;
  }

  /** @throws {BucketUnreachableError} */
  async #leader(): Promise<Address | undefined> {
    const { env } = this.#parts;
    const inTime = new AbortController();
    const late = env.clock.sleep(LEADER_TIMEOUT_MS, inTime.signal).then(
      () => Promise.reject(new BucketUnreachableError(`no answer within ${LEADER_TIMEOUT_MS} ms`)),
      () => undefined,
    );
    try {
      const address = await Promise.race([this.#read(), late]);
      this.#reading = undefined;
      return address;
    } catch (error) {
      if (!(error instanceof ObjectStoreError && error.code === 'UNAVAILABLE')) throw error;
      throw new BucketUnreachableError(error.message, { cause: error });
    } finally {
      inTime.abort();
    }
  }

  /**
   * One that is late goes on, and its answer stays for whoever asks next, also when nobody waits in the moment it comes: in a
   * bucket that always takes longer than we wait, nobody would find the controller otherwise, and a new one would take every
   * node for dead.
   */
  #read(): Promise<Address | undefined> {
    const { env, leader } = this.#parts;
    const nowMs = env.clock.monotonicMs();
    if (this.#reading !== undefined && nowMs - this.#reading.sinceMs < LEADER_LATE_MS) {
      return this.#reading.leader;
    }
    const reading = { leader: leader(), sinceMs: nowMs };
    this.#reading = reading;
    reading.leader.catch(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    return reading.leader;
  }

  /** One that answers nothing for so long may be a connection of which only our end is left. */
  #timedOut(client: Promise<RpcClient>): void {
    this.#timeoutsInARow++;
    if (this.#timeoutsInARow < MAX_TIMEOUTS_IN_A_ROW) void this.#dropUnlessLeading(client);
    else this.#drop(client);
  }

  /** Slow, or gone: a controller that is gone has a successor soon. Others wait on the same connection meanwhile. */
  async #dropUnlessLeading(client: Promise<RpcClient>): Promise<void> {
    try {
      const { remote } = await client;
      const leader = await this.#leader();
      if (leader === undefined || (leader.host === remote.host && leader.port === remote.port)) return;
    } catch {
      // Not even the bucket answers: then a new connection could not be found either.
      return;
    }
    this.#drop(client);
  }

  #drop(client: Promise<RpcClient>): void {
    this.#timeoutsInARow = 0;
    if (this.#client === client) this.#client = undefined;
    client.then(
      (opened) => opened.close(),
      () => undefined,
    );
  }
}

/** The bucket does not tell who leads; nothing was sent. */
export class BucketUnreachableError extends MillraceError {
  readonly code = 'BUCKET_UNREACHABLE';
}

/** Nobody leads the cluster at the moment; nothing was sent. */
export class NoControllerError extends MillraceError {
  readonly code = 'NO_CONTROLLER';
}
