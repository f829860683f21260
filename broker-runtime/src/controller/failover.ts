import { MillraceError } from '../base/errors.ts';
import { isBeingRecovered, isServing } from '../metadata/cluster-decisions.ts';
import type { ClusterDecisions } from '../metadata/cluster-decisions.ts';
import type { RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';
import type { Env } from '../ports/env.ts';
import type { Journal } from '../wal/journal.ts';
import type { NodeWatch } from './node-watch.ts';

export interface FailoverParts {
  readonly env: Env;
  readonly journal: Journal;
  /** One of the images of `journal`. */
  readonly image: MetadataImage;
  readonly decisions: ClusterDecisions;
  readonly watch: NodeWatch;
  readonly sessionTimeoutMs: number;
  /** Heartbeats are answered at the moment. */
  readonly isLeading: () => boolean;
  /** See {@link ControllerOptions.stepAside}. */
  readonly stepAside: ((reason: Error) => void) | undefined;
}

/** The controller hears of so few nodes that it may be the one that is cut off. */
export class UnheardError extends MillraceError {
  readonly code = 'UNHEARD';
}

/**
 * The controller's part of a failover (protocol 3.5): declares silent nodes dead, and gives the recovery of each to a
 * living neighbour; all failures side by side. Every step is an entry of the log, so a successor goes on where this
 * controller stopped, and a step that was taken already is not taken again.
 */
export class Failover {
  readonly #parts: FailoverParts;
  /** Since when partitions without a living leader wait for anybody; undefined: there are none. */
  #orphanedSinceMs: number | undefined;

  constructor(parts: FailoverParts) {
    this.#parts = parts;
  }

  /** One look at all nodes. @throws {JournalClosedError} the term is over */
  async tick(): Promise<void> {
    const { image, watch, isLeading, stepAside } = this.#parts;
    // Whoever cannot prove that it leads answers nobody: what is silent then is this process. One that stood still for
    // longer than its lease found all nodes silent when it woke, and declared every one of them dead.
    if (!isLeading()) {
      watch.restart();
      return;
    }
    const overdue = watch.overdue(image.brokers.values());
    // A controller that reached the bucket and no broker declared all of them dead, one after the other, and nobody served.
    if (stepAside !== undefined && overdue.length > 0 && watch.isMostlySilent(image.brokers.values())) {
      stepAside(new UnheardError('most brokers are silent: if any of them lives, it can lead better'));
      return;
    }
    await Promise.all(overdue.map((node) => this.#fence(node)));
    await Promise.all([...image.brokers.values()].map((node) => this.#assign(node)));
    await this.#adopt();
  }

  async #fence(node: RegisteredBroker): Promise<void> {
    const { env, journal, decisions, watch, isLeading } = this.#parts;
    const { nodeId, nodeEpoch } = node;
    const silentMs = watch.silenceMs(node);
    const isNews = await journal.commit(() => {
      // It may have been heard of, or left, since; and this process may have stood still.
      if (!isLeading() || watch.silenceMs(node) < silentMs) return { records: [], result: false };
      return decisions.nodes.fence({ nodeId, nodeEpoch });
    });
    if (isNews) {
      env.events.warn('controller.node-fenced', { nodeId, nodeEpoch, silentMs: Math.round(silentMs) });
    }
  }

  async #assign(node: RegisteredBroker): Promise<void> {
    const { env, journal, image, decisions } = this.#parts;
    const { nodeId, nodeEpoch } = node;
    if (node.state !== 'fenced' || isBeingRecovered(node, image.brokers)) return;
    const assigned = await journal.commit(() => {
      const current = image.brokers.get(nodeId);
      const recoverer = this.#recovererOf(node);
      const isNeeded = current !== undefined && !isBeingRecovered(current, image.brokers);
      if (!isNeeded || recoverer === undefined) return { records: [], result: undefined };
      const { records, result: attempt } = decisions.nodes.assignRecovery(
        { nodeId, nodeEpoch },
        recoverer.nodeId,
      );
      return { records, result: attempt === 0 ? undefined : { recovererId: recoverer.nodeId, attempt } };
    });
    if (assigned !== undefined) {
      env.events.info('controller.recovery-assigned', { nodeId, nodeEpoch, ...assigned });
    }
  }

  /**
   * A living node that can reach the WAL: one of the same zone, for a block volume cannot be attached from another; the
   * one with the fewest recoveries to do. Undefined: the node must come back and recover itself.
   */
  #recovererOf(failed: RegisteredBroker): RegisteredBroker | undefined {
    const { image } = this.#parts;
    if (failed.walKind === 'block-single') return undefined;
    const busy = new Map<number, number>();
    for (const { state, recovery } of image.brokers.values()) {
      if (state !== 'fenced' || recovery === undefined) continue;
      busy.set(recovery.recovererId, (busy.get(recovery.recovererId) ?? 0) + 1);
    }
    const isEverywhere = failed.walKind === 'object';
    return [...image.brokers.values()]
      .filter((node) => isServing(node) && (isEverywhere || node.zone === failed.zone))
      .sort((a, b) => (busy.get(a.nodeId) ?? 0) - (busy.get(b.nodeId) ?? 0) || a.nodeId - b.nodeId)[0];
  }

  /**
   * Partitions of nodes that left when nobody else was there. A node that is only restarted gets the time of a session
   * to come back to its partitions; then those who are there take them.
   */
  async #adopt(): Promise<void> {
    const { env, journal, decisions, sessionTimeoutMs } = this.#parts;
    const nowMs = env.clock.monotonicMs();
    if (!this.#hasOrphans()) {
      this.#orphanedSinceMs = undefined;
      return;
    }
    this.#orphanedSinceMs ??= nowMs;
    if (nowMs - this.#orphanedSinceMs <= sessionTimeoutMs) return;
    const adopted = await journal.commit(() => decisions.partitions.adopt());
    if (adopted > 0) env.events.info('controller.partitions-adopted', { partitions: adopted });
  }

  #hasOrphans(): boolean {
    const { brokers } = this.#parts.image;
    for (const { partitions } of this.#parts.image.topics()) {
      for (const { leaderId } of partitions) {
        const state = brokers.get(leaderId)?.state;
        if (state === undefined || state === 'clean') return true;
      }
    }
    return false;
  }
}
