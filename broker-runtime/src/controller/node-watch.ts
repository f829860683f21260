import type { NodeRef, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { Clock } from '../ports/clock.ts';

/** Of a session: three heartbeats of six missed. Long enough to be no accident, and before the last of them is overdue. */
const SILENT_SHARE = 0.5;

/**
 * When each node was heard of last, on this controller's monotonic clock. A life that this controller never heard of
 * counts from the first look at it: those that are there when a term begins have been answered by the predecessor until
 * then (protocol 3.4, T22), and one that registers later has just begun.
 */
export class NodeWatch {
  readonly #clock: Clock;
  readonly #sessionTimeoutMs: number;
  readonly #firstContactMs: number;
  readonly #heard = new Map<number, { readonly nodeEpoch: number; readonly atMs: number }>();

  /**
   * Made after the term's fence entry was committed, and asked about all nodes at once and again and again.
   * @param firstContactMs on top of the session for those not heard of yet: they find a new controller through the bucket,
   * and with a bucket that answers slowly one that lives was taken for dead
   */
  constructor(clock: Clock, sessionTimeoutMs: number, firstContactMs = 0) {
    this.#clock = clock;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    this.#firstContactMs = firstContactMs;
  }

  heard(node: NodeRef): void {
    this.#countFrom(node, this.#clock.monotonicMs());
  }

  /** Nobody could be heard for a while: all count from the next look at them. */
  restart(): void {
    this.#heard.clear();
  }

  /** Milliseconds since the node was heard of, or looked at for the first time. */
  silenceMs({ nodeId, nodeEpoch }: NodeRef): number {
    const heard = this.#heard.get(nodeId);
    return heard?.nodeEpoch === nodeEpoch ? Math.max(0, this.#clock.monotonicMs() - heard.atMs) : 0;
  }

  /** Active nodes that were silent for longer than their session lasts. */
  overdue(nodes: Iterable<RegisteredBroker>): readonly RegisteredBroker[] {
    const active = activeOf(nodes);
    for (const node of active) {
      if (this.#heard.get(node.nodeId)?.nodeEpoch === node.nodeEpoch) continue;
      this.#countFrom(node, this.#clock.monotonicMs() + this.#firstContactMs);
    }
    return active.filter((node) => this.silenceMs(node) > this.#sessionTimeoutMs);
  }

  /**
   * Most of the active nodes have missed several heartbeats: it may be this process that nobody reaches. They fall silent
   * at the same moment, and are overdue one after the other, as far apart as their heartbeats.
   */
  isMostlySilent(nodes: Iterable<RegisteredBroker>): boolean {
    const active = activeOf(nodes);
    const silent = active.filter((node) => this.silenceMs(node) > SILENT_SHARE * this.#sessionTimeoutMs);
    return silent.length * 2 > active.length;
  }

  #countFrom({ nodeId, nodeEpoch }: NodeRef, atMs: number): void {
    this.#heard.set(nodeId, { nodeEpoch, atMs });
  }
}

function activeOf(nodes: Iterable<RegisteredBroker>): readonly RegisteredBroker[] {
  return [...nodes].filter(({ state }) => state === 'active');
}
