import type { NodeRef, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { Clock } from '../ports/clock.ts';

/**
 * When each node was heard of last, on this controller's monotonic clock. A node that this controller never heard of
 * counts from the beginning of its term: its predecessor may have answered it until then (protocol 3.4, T22).
 */
export class NodeWatch {
  readonly #clock: Clock;
  readonly #sessionTimeoutMs: number;
  readonly #begunMs: number;
  readonly #heard = new Map<number, { readonly nodeEpoch: number; readonly atMs: number }>();

  /** Made after the term's fence entry was committed. */
  constructor(clock: Clock, sessionTimeoutMs: number) {
    this.#clock = clock;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    this.#begunMs = clock.monotonicMs();
  }

  heard({ nodeId, nodeEpoch }: NodeRef): void {
    this.#heard.set(nodeId, { nodeEpoch, atMs: this.#clock.monotonicMs() });
  }

  /** Milliseconds since the node was heard of. */
  silenceMs({ nodeId, nodeEpoch }: NodeRef): number {
    const heard = this.#heard.get(nodeId);
    const sinceMs = heard?.nodeEpoch === nodeEpoch ? heard.atMs : this.#begunMs;
    return this.#clock.monotonicMs() - sinceMs;
  }

  /** Active nodes that were silent for longer than their session lasts. */
  overdue(nodes: Iterable<RegisteredBroker>): readonly RegisteredBroker[] {
    return [...nodes].filter(
      (node) => node.state === 'active' && this.silenceMs(node) > this.#sessionTimeoutMs,
    );
  }
}
