import { ClosedError, messageOf } from '../base/errors.ts';
import type { ClusterMetadata, NodeRef, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import { type Commands, type RecoveryRef, StaleRecoveryError } from '../metadata/commands.ts';
import type { Env } from '../ports/env.ts';
import type { Manifest } from '../store/manifest.ts';
import { recoverStreams, type StoreContext } from '../store/stream-store.ts';
import { VOLUME_WORD_WAIT_MS } from './node-lease.ts';
import type { NodeLogs } from './node-logs.ts';

/** Pause before a recovery that failed is tried again: its log is not going anywhere. */
const RETRY_MS = 500;

export interface TakeoverParts {
  readonly env: Env;
  readonly self: NodeRef;
  readonly metadata: ClusterMetadata;
  readonly commands: Commands;
  readonly logs: NodeLogs;
  /** The manifest with changes in the place of the dead node. */
  readonly manifestOf: (recovery: RecoveryRef) => Manifest;
  readonly context: StoreContext;
  readonly signal: AbortSignal;
}

/**
 * Recoveries that the controller gave to this broker (protocol 3.5): fence the medium → prove it → read the log → upload
 * and commit → say that it is done. All given ones side by side; each is repeated until it is done or given to another.
 */
export class Takeovers {
  readonly #parts: TakeoverParts;
  readonly #underWay = new Set<string>();

  constructor(parts: TakeoverParts) {
    this.#parts = parts;
  }

  /** Looks at all nodes; called when they changed. */
  follow(): void {
    for (const node of this.#parts.metadata.brokers()) {
      if (!this.#isOurs(node)) continue;
      const key = `${node.nodeId}/${node.nodeEpoch}/${node.recovery?.attempt ?? 0}`;
      if (this.#underWay.has(key)) continue;
      this.#underWay.add(key);
      void this.#recover(node).finally(() => this.#underWay.delete(key));
    }
  }

  #isOurs({ state, recovery }: RegisteredBroker): boolean {
    return state === 'fenced' && recovery?.recovererId === this.#parts.self.nodeId;
  }

  async #recover(node: RegisteredBroker): Promise<void> {
    const { env, metadata, signal } = this.#parts;
    const { nodeId, nodeEpoch, recovery } = node;
    for (;;) {
      try {
        await this.#recoverOnce(node, { node: { nodeId, nodeEpoch }, attempt: recovery?.attempt ?? 0 });
        return;
      } catch (error) {
        if (error instanceof StaleRecoveryError || error instanceof ClosedError || signal.aborted) return;
        env.events.error('takeover.failed', { nodeId, nodeEpoch, reason: messageOf(error) });
      }
      await env.clock.sleep(RETRY_MS, signal).catch(() => undefined);
      const now = metadata.broker(nodeId);
      if (now?.nodeEpoch !== nodeEpoch || now.recovery?.attempt !== recovery?.attempt || !this.#isOurs(now))
        return;
    }
  }

  async #recoverOnce(node: RegisteredBroker, recovery: RecoveryRef): Promise<void> {
    const { env, self, commands, logs, manifestOf, context } = this.#parts;
    const begunMs = env.clock.monotonicMs();
    const log = await logs.takeOver(node, self, recovery.attempt);
    try {
      const fencedMs = env.clock.monotonicMs();
      const report = await recoverStreams({ ...context, manifest: manifestOf(recovery) }, log.groups());
      const replayedMs = env.clock.monotonicMs();
      await this.#untilSilent(fencedMs);
      const waitMs = env.clock.monotonicMs() - replayedMs;
      await commands.send('recovery.finish', recovery);
      env.events.info('takeover.finished', {
        nodeId: node.nodeId,
        nodeEpoch: node.nodeEpoch,
        attempt: recovery.attempt,
        ...report,
        fenceMs: Math.round(fencedMs - begunMs),
        replayMs: Math.round(replayedMs - fencedMs),
        commitMs: Math.round(env.clock.monotonicMs() - replayedMs),
        // Of it.
        waitMs: Math.round(waitMs),
      });
      await log.discard();
    } finally {
      await log.close();
    }
  }

  /** A dead node that cannot reach the bucket may answer readers for as long as the volume's last word is good for. */
  async #untilSilent(fencedMs: number): Promise<void> {
    const { env, logs, signal } = this.#parts;
    if (logs.holds === undefined) return;
    const leftMs = fencedMs + VOLUME_WORD_WAIT_MS - env.clock.monotonicMs();
    if (leftMs > 0) await env.clock.sleep(leftMs, signal);
  }
}
