import { backoffMs } from '../base/backoff.ts';
import { CorruptionError, invariant, messageOf } from '../base/errors.ts';
import type { BrokerRegistration, NodeRef } from '../metadata/cluster-metadata.ts';
import {
  type Commands,
  NodeFencedError,
  NodeRecoveringError,
  type Registered,
} from '../metadata/commands.ts';
import type { NodeLoad } from '../metadata/node-load.ts';
import type { Env } from '../ports/env.ts';
import { ConnectError } from '../ports/network.ts';
import { RpcError, RpcRefusedError } from '../rpc/errors.ts';
import type { LogFollower } from '../wal/log-follower.ts';
import { BucketUnreachableError, type ControllerLink, NoControllerError } from './controller-link.ts';
import { NodeLease } from './node-lease.ts';
import { RemoteCommands } from './remote-commands.ts';

/** How long the controller may keep a follower waiting for news. */
const FOLLOW_WAIT_MS = 5_000;
/** The answer may be a whole entry on a slow connection. */
const FOLLOW_TIMEOUT_MS = FOLLOW_WAIT_MS + 5_000;
const PAUSE = { firstMs: 20, maxMs: 500 };
/** Heartbeats in the time of a session: several may be lost before the node is missed. */
const HEARTBEATS_PER_SESSION = 6;
/** Often enough that a broker that joins finds the controller informed; rates are smoothed over longer. */
const LOAD_INTERVAL_MS = 5_000;
/** Twice in the time that the volume's word is good for, and once more if an answer is slow. */
const ASK_VOLUME_INTERVAL_MS = 200;

export interface ClusterMemberParts {
  readonly env: Env;
  readonly nodeId: number;
  readonly link: ControllerLink;
  readonly follower: LogFollower;
  readonly sessionTimeoutMs: number;
  /** This life of the node is over; nothing may be acknowledged any more. Called once. */
  readonly onFenced: (error: Error) => void;
}

/**
 * A broker's membership in the cluster: it follows the log through the controller, registers, and keeps its lease by
 * heartbeats (protocol 3.4).
 */
export class ClusterMember {
  readonly commands: Commands;
  readonly lease: NodeLease;
  readonly #parts: ClusterMemberParts;
  readonly #closing = new AbortController();
  #self: NodeRef | undefined;
  #newestEpoch = 0;
  #isLeaving = false;
  #load: () => NodeLoad = () => [];
  #holdsVolume: (() => Promise<boolean>) | undefined;
  #isAskingVolume = false;
  #work: Promise<unknown>[] = [];

  constructor(parts: ClusterMemberParts) {
    this.#parts = parts;
    const { env, link, follower, nodeId } = parts;
    this.lease = new NodeLease(env.clock, parts.sessionTimeoutMs);
    this.commands = new RemoteCommands({
      env,
      link,
      follower,
      nodeId,
      self: () => this.#self,
      signal: this.#closing.signal,
    });
    this.#work.push(this.#follow());
  }

  get self(): NodeRef {
    invariant(this.#self !== undefined, 'cluster', 'the node is registered');
    return this.#self;
  }

  /** Enters the cluster and begins to send heartbeats. Waits while a neighbour recovers the log of the life before. */
  async register(registration: BrokerRegistration): Promise<Registered> {
    const { env } = this.#parts;
    for (let repeat = 0; ; repeat++) {
      try {
        const registered = await this.commands.send('node.register', registration);
        this.#self = { nodeId: registration.nodeId, nodeEpoch: registered.nodeEpoch };
        this.#work.push(this.#sendHeartbeats(this.#self));
        return registered;
      } catch (error) {
        if (!(error instanceof NodeRecoveringError)) throw error;
        if (repeat === 0) env.events.warn('cluster.waiting-for-recovery', { reason: error.message });
      }
      await env.clock.sleep(backoffMs(repeat, PAUSE, env.random), this.#closing.signal);
    }
  }

  /** What goes with a heartbeat every few seconds, for the balancer. */
  tellLoad(load: () => NodeLoad): void {
    this.#load = load;
  }

  /**
   * The node's WAL is on a volume, which says itself who may write: the lease does not run out while the bucket is out of
   * reach. A WAL in the bucket gains nothing by that, and a dead node would answer from what it last knew (I8).
   */
  relyOnVolume(holdsVolume: () => Promise<boolean>): void {
    this.#holdsVolume = holdsVolume;
  }

  /** Nothing that is needed is in this node's log any more: its slot is free. It was told so, and not declared dead. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    await this.commands.send('node.leave', {});
  }

  /** Stops following and sending; what waits for an answer is given up. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.lease.end(new NodeFencedError('this broker closed'));
    await Promise.all(this.#work);
  }

  async #follow(): Promise<void> {
    const { link, follower } = this.#parts;
    const { signal } = this.#closing;
    for (let repeat = 0; !signal.aborted;) {
      try {
        const question = { after: follower.sequence, maxWaitMs: FOLLOW_WAIT_MS };
        const { json, blobs } = await link.call('follow', { json: question, blobs: [] }, FOLLOW_TIMEOUT_MS);
        const { tooFarBehind } = json as { tooFarBehind?: boolean };
        if (tooFarBehind === true) await follower.catchUp();
        else await this.#apply(blobs);
        repeat = 0;
      } catch (error) {
        if (!this.#isTransient(error)) {
          this.#fail(error);
          return;
        }
        await this.#pause(repeat++);
      }
    }
  }

  /** Entries that do not fit ours: a controller that was superseded and does not know yet. The bucket knows. */
  async #apply(entries: readonly Uint8Array[]): Promise<void> {
    const { env, follower } = this.#parts;
    try {
      follower.apply(entries);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      env.events.warn('cluster.entries-refused', { reason: error.message });
      await follower.catchUp();
    }
  }

  async #sendHeartbeats(node: NodeRef): Promise<void> {
    const { env, link, sessionTimeoutMs } = this.#parts;
    const { signal } = this.#closing;
    const intervalMs = sessionTimeoutMs / HEARTBEATS_PER_SESSION;
    let loadToldMs = env.clock.monotonicMs();
    while (!signal.aborted) {
      const sent = this.lease.moment();
      try {
        const isLoadDue = sent.monotonicMs - loadToldMs >= LOAD_INTERVAL_MS;
        if (isLoadDue) loadToldMs = sent.monotonicMs;
        const question = isLoadDue ? { node, load: this.#load() } : { node };
        const { json } = await link.call('heartbeat', { json: question, blobs: [] }, intervalMs);
        const { epoch, isAlive } = json as { epoch: number; isAlive: boolean };
        // An older controller than one we heard of may not know that we are fenced (T22).
        if (epoch >= this.#newestEpoch) {
          this.#newestEpoch = epoch;
          if (!isAlive) {
            if (this.#isLeaving) return;
            this.#fail(
              new NodeFencedError(
                `node ${node.nodeId} was declared dead in its epoch ${node.nodeEpoch}: it was silent for longer than ` +
                  `${sessionTimeoutMs} ms; this process stops and may start again`,
              ),
            );
            return;
          }
          this.lease.renew(sent);
          this.lease.bucketLost(undefined);
        }
      } catch (error) {
        if (!this.#isTransient(error)) {
          this.#fail(error);
          return;
        }
        // Whoever leads is asked of the bucket. Any other trouble proves nothing about it.
        if (error instanceof BucketUnreachableError) {
          if (this.#holdsVolume !== undefined) {
            this.lease.bucketLost(sent);
            void this.#askVolume(node, this.#holdsVolume);
          }
        } else if (error instanceof NoControllerError) this.lease.bucketLost(undefined);
      }
      const untilNextMs = sent.monotonicMs + intervalMs - env.clock.monotonicMs();
      await env.clock.sleep(Math.max(PAUSE.firstMs, untilNextMs), signal).catch(() => undefined);
    }
  }

  /** Again and again until the bucket answers: its word is good for a moment only. One at a time; never rejects. */
  async #askVolume(node: NodeRef, holdsVolume: () => Promise<boolean>): Promise<void> {
    const { env } = this.#parts;
    const { signal } = this.#closing;
    const isClosing = (): boolean => signal.aborted;
    if (this.#isAskingVolume) return;
    this.#isAskingVolume = true;
    while (this.lease.isBucketLost && !isClosing()) {
      const asked = this.lease.moment();
      // No answer proves nothing; the watch of the reservation gives up after some of them.
      const isHeld = await holdsVolume().catch(() => undefined);
      if (isHeld === true) this.lease.volumeHeld(asked);
      if (isHeld === false && !isClosing()) {
        this.#fail(
          new NodeFencedError(
            `the volume of node ${node.nodeId} is not held by its epoch ${node.nodeEpoch} any more: somebody took its log ` +
              'over while the bucket was out of reach; this process stops and may start again',
          ),
        );
        break;
      }
      await env.clock.sleep(ASK_VOLUME_INTERVAL_MS, signal).catch(() => undefined);
    }
    this.#isAskingVolume = false;
  }

  /** Nobody leads, or the way there is broken: it passes. What the log itself says, or a bug, does not. */
  #isTransient(error: unknown): boolean {
    return (
      this.#closing.signal.aborted ||
      error instanceof NoControllerError ||
      error instanceof BucketUnreachableError ||
      error instanceof ConnectError ||
      error instanceof RpcError ||
      error instanceof RpcRefusedError
    );
  }

  #fail(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(messageOf(error));
    this.lease.end(reason);
    this.#parts.onFenced(reason);
  }

  async #pause(repeat: number): Promise<void> {
    const { env } = this.#parts;
    await env.clock.sleep(backoffMs(repeat, PAUSE, env.random), this.#closing.signal).catch(() => undefined);
  }
}
