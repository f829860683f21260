import { MillraceError } from '../../base/errors.ts';
import type { Decision, JournalRecord } from '../../wal/journal.ts';
import type {
  BrokerRegistration,
  Endpoint,
  NodeRef,
  PreviousLife,
  RegisteredBroker,
} from '../cluster-metadata.ts';
import type { MetadataImage } from '../metadata-image.ts';
import { lifeOf } from '../image/nodes.ts';
import { spreadLeaders } from './leader-plan.ts';

/** What a registration found: tells a starting broker what its WAL may hold. */
export interface Registered {
  readonly nodeEpoch: number;
  /** The life before; null when there was none. When it ended `clean` its WAL must not be read any more. */
  readonly previous: PreviousLife | null;
}

/** Decides about the lives of nodes: run inside a decision of the journal, on an image that stands still. */
export class NodeDecisions {
  readonly #image: MetadataImage;

  constructor(image: MetadataImage) {
    this.#image = image;
  }

  /**
   * A process enters as a node. It holds the node's volume exclusively, so an earlier process of the same node is gone
   * (protocol 3.4 step 1). The same incarnation gets the same answer again.
   * A fenced node that nobody can recover (no neighbour in its zone is alive) recovers itself this way.
   * @throws {NodeRecoveringError} while somebody else recovers the WAL of the life before: try again
   */
  register(registration: BrokerRegistration, sequence: number): Decision<Registered> {
    const known = this.#image.brokers.get(registration.nodeId);
    if (known !== undefined && isBeingRecovered(known, this.#image.brokers)) {
      throw new NodeRecoveringError(
        `the log of node ${registration.nodeId} is being recovered since its epoch ${known.nodeEpoch} was fenced; ` +
          'it may register again when that is done',
      );
    }
    if (known?.incarnationId === registration.incarnationId) {
      return { records: [], result: { nodeEpoch: known.nodeEpoch, previous: known.previous ?? null } };
    }
    const record = this.#image.record({ type: 'node-registered', ...registration });
    const previous = known === undefined ? null : lifeOf(known);
    return { records: [record], result: { nodeEpoch: sequence, previous } };
  }

  /** The node is ready: clients are sent to it, and it may be given partitions. */
  serve(node: NodeRef, { host, port }: Endpoint): Decision<void> {
    const record = this.#image.record({ type: 'node-serving', ...node, host, port });
    return { records: [record], result: undefined };
  }

  /** From here on nothing of this life is accepted any more. Nothing when it is over already. */
  fence(node: NodeRef): Decision<boolean> {
    if (!this.isActive(node)) return { records: [], result: false };
    return { records: [this.#image.record({ type: 'node-fenced', ...node })], result: true };
  }

  /** Gives the recovery of a fenced node to another one, which supersedes whoever had it. */
  assignRecovery({ nodeId, nodeEpoch }: NodeRef, recovererId: number): Decision<number> {
    const known = this.#image.brokers.get(nodeId);
    if (known?.nodeEpoch !== nodeEpoch || known.state !== 'fenced') return { records: [], result: 0 };
    const attempt = (known.recovery?.attempt ?? 0) + 1;
    const record = this.#image.record({ type: 'recovery-assigned', nodeId, nodeEpoch, recovererId, attempt });
    return { records: [record], result: attempt };
  }

  /**
   * The log of a fenced node is in objects: its slot is free, and its partitions go to the live nodes, all in one
   * entry. Repeating it is harmless. @throws {StaleRecoveryError}
   */
  finishRecovery(node: NodeRef, sender: NodeRef, attempt: number): Decision<void> {
    const known = this.#image.brokers.get(node.nodeId);
    if (known?.nodeEpoch === node.nodeEpoch && known.state === 'clean')
      return { records: [], result: undefined };
    this.checkRecovery(node, sender, attempt);
    return { records: this.#end(node), result: undefined };
  }

  /** An orderly end: everything is uploaded, partitions go to the live nodes. */
  leave(node: NodeRef): Decision<void> {
    const known = this.#image.brokers.get(node.nodeId);
    if (known?.nodeEpoch === node.nodeEpoch && known.state === 'clean')
      return { records: [], result: undefined };
    this.checkSender(node);
    return { records: this.#end(node), result: undefined };
  }

  /** @throws {NodeFencedError} unless this is the current life of the node and it is not fenced (R6) */
  checkSender(node: NodeRef): void {
    if (this.isActive(node)) return;
    const known = this.#image.brokers.get(node.nodeId);
    throw new NodeFencedError(
      known === undefined
        ? `node ${node.nodeId} is not registered`
        : `epoch ${node.nodeEpoch} of node ${node.nodeId} is over: the cluster knows epoch ${known.nodeEpoch}, which is ` +
            `${known.state}; this process must stop`,
    );
  }

  /** @throws {StaleRecoveryError} unless the sender is whom this attempt was given to */
  checkRecovery({ nodeId, nodeEpoch }: NodeRef, sender: NodeRef, attempt: number): void {
    const known = this.#image.brokers.get(nodeId);
    const { recovererId, attempt: current } = known?.recovery ?? {};
    if (
      known?.nodeEpoch === nodeEpoch &&
      known.state === 'fenced' &&
      recovererId === sender.nodeId &&
      current === attempt
    ) {
      return;
    }
    throw new StaleRecoveryError(
      `node ${sender.nodeId} sent attempt ${attempt} to recover epoch ${nodeEpoch} of node ${nodeId}, which is ` +
        (known?.nodeEpoch === nodeEpoch && known.state === 'fenced'
          ? `in attempt ${current ?? 0} by node ${recovererId ?? 'none'}`
          : `not fenced any more`),
    );
  }

  isActive({ nodeId, nodeEpoch }: NodeRef): boolean {
    const known = this.#image.brokers.get(nodeId);
    return known?.nodeEpoch === nodeEpoch && known.state === 'active';
  }

  #end({ nodeId, nodeEpoch }: NodeRef): readonly JournalRecord[] {
    const others = servingNodeIds(this.#image).filter((other) => other !== nodeId);
    const topics = spreadLeaders(this.#image, (leaderId) => leaderId === nodeId, others);
    const clean = this.#image.record({ type: 'node-clean', nodeId, nodeEpoch });
    return topics.length === 0 ? [clean] : [clean, this.#image.record({ type: 'leaders-changed', topics })];
  }
}

/** Somebody alive was told to recover the node's log. */
export function isBeingRecovered(
  { state, recovery }: RegisteredBroker,
  nodes: ReadonlyMap<number, RegisteredBroker>,
): boolean {
  return state === 'fenced' && recovery !== undefined && nodes.get(recovery.recovererId)?.state === 'active';
}

/** Nodes that partitions can be given to, in ascending order. */
export function servingNodeIds(image: MetadataImage): readonly number[] {
  return [...image.brokers.values()]
    .filter(isServing)
    .map(({ nodeId }) => nodeId)
    .sort((a, b) => a - b);
}

export function isServing({ state, endpoint }: RegisteredBroker): boolean {
  return state === 'active' && endpoint !== undefined;
}

/** The sender's life is over: it was fenced, or a newer process runs as the same node. The process must stop. */
export class NodeFencedError extends MillraceError {
  readonly code = 'NODE_FENCED';
}

/** The node's log is being recovered by another one; registering again later succeeds. */
export class NodeRecoveringError extends MillraceError {
  readonly code = 'NODE_RECOVERING';
}

/** The recovery was given to somebody else, or is done. */
export class StaleRecoveryError extends MillraceError {
  readonly code = 'STALE_RECOVERY';
}
