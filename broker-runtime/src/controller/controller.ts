import { messageOf } from '../base/errors.ts';
import { ClusterDecisions } from '../metadata/cluster-decisions.ts';
import type { NodeRef } from '../metadata/cluster-metadata.ts';
import type { NodeLoad } from '../metadata/node-load.ts';
import type { CommandArgs, CommandName, CommandResult } from '../metadata/commands.ts';
import { MetadataImage } from '../metadata/metadata-image.ts';
import type { Timer } from '../ports/clock.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { ManifestImage } from '../store/manifest-image.ts';
import { ConditionalJournal, type RecentEntries } from '../wal/conditional-journal.ts';
import { JournalClosedError } from '../wal/journal.ts';
import { Balancer, type BalanceProposal } from './balancer.ts';
import { Failover } from './failover.ts';
import { NodeLoads } from './node-loads.ts';
import { NodeWatch } from './node-watch.ts';

/** How often the controller looks for nodes that fell silent: what it adds to the detection of a failure at most. */
const TICK_MS = 100;

export interface ControllerOptions {
  /** The node this controller runs in, and the broker settings it was given at start. */
  readonly nodeId: number;
  readonly staticSettings: ReadonlyMap<string, string>;
  /**
   * `broker.session.timeout.ms`: a node that is silent for longer is declared dead. Shorter finds a dead node sooner, and
   * takes a node for dead that only paused.
   */
  readonly sessionTimeoutMs: number;
  /** Of the lease: the log is taken over with it, or a higher one. */
  readonly minimumEpoch: number;
  /** The lease is valid now; it may be so again later in the same term. */
  readonly isLeading: () => boolean;
  /** Aborted when the lease is lost. */
  readonly signal: AbortSignal;
  /** The term is over: the log was taken over by another controller, or cannot be written. Called once. */
  readonly onEnded: (error: Error) => void;
  /**
   * Most nodes are silent, and any of them that lives should lead: the term is to end, and somebody else to have the first
   * chance. Undefined: that was done just now, nobody came, and whoever is silent is dead.
   */
  readonly stepAside?: ((reason: Error) => void) | undefined;
}

export interface CommandAnswer<N extends CommandName> {
  readonly result: CommandResult<N>;
  /** Whoever has applied the log up to here sees what was done. */
  readonly sequence: number;
}

/** One term of leadership: the log is ours, its fence entry committed, from `open` to `close` or until it is taken. */
export class Controller {
  readonly #env: Env;
  readonly #journal: ConditionalJournal;
  readonly #image: MetadataImage;
  readonly #decisions: ClusterDecisions;
  readonly #watch: NodeWatch;
  readonly #failover: Failover;
  readonly #loads: NodeLoads;
  readonly #balancer: Balancer;
  #timer: Timer | undefined;
  #tick: Promise<void> | undefined;
  #isOver = false;

  /**
   * Replays the log, takes it over, and begins to watch the nodes. Waits while the store is down.
   * @throws {SupersededError} another process keeps writing
   * @throws {CorruptionError}
   */
  static async open(env: Env, objects: ObjectStore, options: ControllerOptions): Promise<Controller> {
    const metadata = new MetadataImage();
    const manifest = new ManifestImage();
    const begunMs = env.clock.monotonicMs();
    const journal = await ConditionalJournal.open(env, objects, [manifest, metadata], {
      writer: `node ${options.nodeId}`,
      minimumEpoch: options.minimumEpoch,
      signal: options.signal,
      onFailed: options.onEnded,
    });
    // Opening the log takes some answers of the bucket; so does finding us. Never more than a session of it.
    const openedInMs = env.clock.monotonicMs() - begunMs;
    const firstContactMs = Math.min(openedInMs, options.sessionTimeoutMs);
    return new Controller(env, journal, { metadata, manifest }, { ...options, firstContactMs });
  }

  private constructor(
    env: Env,
    journal: ConditionalJournal,
    images: { readonly metadata: MetadataImage; readonly manifest: ManifestImage },
    options: ControllerOptions & { readonly firstContactMs: number },
  ) {
    this.#env = env;
    this.#journal = journal;
    this.#image = images.metadata;
    this.#decisions = new ClusterDecisions({ env, ...images, ...options });
    this.#watch = new NodeWatch(env.clock, options.sessionTimeoutMs, options.firstContactMs);
    this.#failover = new Failover({
      env,
      journal,
      image: images.metadata,
      decisions: this.#decisions,
      watch: this.#watch,
      sessionTimeoutMs: options.sessionTimeoutMs,
      isLeading: options.isLeading,
      stepAside: options.stepAside,
    });
    this.#loads = new NodeLoads(env.clock);
    this.#balancer = new Balancer({
      env,
      journal,
      image: images.metadata,
      decisions: this.#decisions,
      loads: this.#loads,
      nodeId: options.nodeId,
      staticSettings: options.staticSettings,
    });
    this.#schedule();
  }

  /** Grows with every term. */
  get epoch(): number {
    return this.#journal.epoch;
  }

  /** Why commits are not getting through at the moment, for people. */
  get trouble(): string | undefined {
    return this.#journal.trouble;
  }

  /** Decides and commits. @throws what the decision throws, or {@link JournalClosedError}: the outcome is unknown then */
  async command<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    sender: NodeRef,
  ): Promise<CommandAnswer<N>> {
    const { result, decidedAt } = await this.#journal.commit((sequence) => {
      const { records, result: outcome } = this.#decisions.decide(name, args, sender, sequence);
      return { records, result: { result: outcome, decidedAt: sequence } };
    });
    // Nothing was to be written when no decision of this round changed anything.
    return { result, sequence: Math.min(decidedAt, this.#journal.committedSequence) };
  }

  isCommand(name: string): name is CommandName {
    return this.#decisions.isCommand(name);
  }

  /** Entries after `sequence`, as stored; waits up to `maxWaitMs` for the first. */
  async follow(
    sequence: number,
    maxWaitMs: number,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<RecentEntries> {
    await this.#journal.waitForEntries(sequence, maxWaitMs, signal);
    return this.#journal.entriesAfter(sequence, maxBytes);
  }

  /**
   * The node lives, and is so busy as it says, when it does.
   * @returns false when this life of it is over: the process must stop
   */
  heartbeat(node: NodeRef, load?: NodeLoad): boolean {
    if (!this.#decisions.nodes.isActive(node)) return false;
    this.#watch.heard(node);
    if (load !== undefined) this.#loads.report(load);
    return true;
  }

  /** What the balancer sees and would do; nothing is done. */
  proposeBalance(): BalanceProposal {
    return this.#balancer.propose();
  }

  /** Ends the term in order; a successor need not wait. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#timer?.cancel();
    await this.#journal.close();
    await this.#tick;
  }

  #schedule(): void {
    this.#timer = this.#env.clock.timer(TICK_MS, () => {
      this.#tick = this.#failover
        .tick()
        .then(() => this.#balancer.tick())
        .catch((error: unknown) => {
          // The journal told by itself that the term is over.
          if (error instanceof JournalClosedError) return;
          this.#env.events.error('controller.tick-failed', { reason: messageOf(error) });
        })
        .then(() => {
          if (!this.#isOver) this.#schedule();
        });
    });
  }
}
