import { isServing } from '../metadata/cluster-decisions.ts';
import type { ClusterDecisions } from '../metadata/cluster-decisions.ts';
import { EffectiveConfigs } from '../metadata/configs.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';
import type { Env } from '../ports/env.ts';
import type { Journal } from '../wal/journal.ts';
import {
  type BalanceRule,
  JOIN_RULE,
  LOAD_RULE,
  planMoves,
  type PlannedMove,
  weigh,
} from './balance-plan.ts';
import type { NodeLoads } from './node-loads.ts';

/** Between two rounds after a node joined: the leaders let go of what the last one moves meanwhile. */
const ROUND_MS = 1_000;
/** Partitions on the way at the same time, of all nodes: each of them serves nobody for a moment. */
const MAX_MOVING = 256;
/** Between two looks at the load: what the last one moved has been measured in its new place by then. */
const LOAD_ROUND_MS = 30_000;
/** Of one such round. */
const MAX_MOVING_FOR_LOAD = 16;
/** What was moved for its load stays where it is for so long, whatever the load does. */
const PIN_MS = 10 * 60_000;

export interface BalancerParts {
  readonly env: Env;
  readonly journal: Journal;
  /** One of the images of `journal`. */
  readonly image: MetadataImage;
  readonly decisions: ClusterDecisions;
  readonly loads: NodeLoads;
  readonly nodeId: number;
  readonly staticSettings: ReadonlyMap<string, string>;
}

/** What the balancer sees, and what it would move if it began now. */
export interface BalanceProposal {
  readonly isEnabled: boolean;
  /** Why it would begin by itself: a node joined, or the load is uneven enough; null: it would not. */
  readonly reason: 'joined' | 'load' | null;
  readonly nodes: readonly {
    readonly nodeId: number;
    readonly partitions: number;
    readonly busyMicros: number;
  }[];
  readonly moves: readonly (PlannedMove & { readonly topic: string })[];
}

/**
 * Gives a node that joins its part of the load: from the moment it begins to serve until all are about as busy. After
 * that it looks every half minute whether the load became so uneven that it will be felt; what differs less stays where
 * it is, and so does what a person moved by hand. A new controller knows of those that join in its own term.
 * `auto.leader.rebalance.enable` switches all of it off.
 */
export class Balancer {
  readonly #parts: BalancerParts;
  /** Lives of nodes that served already. */
  #serving: ReadonlySet<number>;
  #isNeeded = false;
  #nextRoundMs = 0;
  #nextLoadRoundMs: number;
  /** Moved for their load: until when they stay. */
  readonly #pinned = new Map<string, number>();

  /** Made at the beginning of the term, of the image as it was taken over. */
  constructor(parts: BalancerParts) {
    this.#parts = parts;
    this.#serving = servingEpochs(parts.image);
    this.#nextLoadRoundMs = parts.env.clock.monotonicMs() + LOAD_ROUND_MS;
  }

  /** Cheap when nobody joined and no look at the load is due. @throws {JournalClosedError} the term is over */
  async tick(): Promise<void> {
    const { env, image } = this.#parts;
    const serving = servingEpochs(image);
    for (const epoch of serving) if (!this.#serving.has(epoch)) this.#isNeeded = true;
    this.#serving = serving;
    const nowMs = env.clock.monotonicMs();
    if (this.#isNeeded) {
      if (nowMs < this.#nextRoundMs) return;
      this.#nextRoundMs = nowMs + ROUND_MS;
      this.#nextLoadRoundMs = nowMs + LOAD_ROUND_MS;
      if (!this.#isEnabled()) this.#isNeeded = false;
      // Nothing to begin: they are even, or there is no room beside the moves under way.
      else if ((await this.#round(JOIN_RULE, MAX_MOVING)).length === 0) this.#isNeeded = this.#hasMoves();
    } else if (nowMs >= this.#nextLoadRoundMs) {
      this.#nextLoadRoundMs = nowMs + LOAD_ROUND_MS;
      if (!this.#isEnabled()) return;
      this.#unpin(nowMs);
      for (const { topicId, index } of await this.#round(LOAD_RULE, MAX_MOVING_FOR_LOAD)) {
        this.#pinned.set(`${topicId}/${index}`, nowMs + PIN_MS);
      }
    }
  }

  /** A dry run. */
  propose(): BalanceProposal {
    const { image, loads } = this.#parts;
    const byLoad = this.#plan(LOAD_RULE, MAX_MOVING_FOR_LOAD);
    const { nodes } = weigh(image, this.#nodeIds(), {
      busyMicros: (topicId, index) => loads.busyMicros(topicId, index),
    });
    return {
      isEnabled: this.#isEnabled(),
      reason: this.#isNeeded ? 'joined' : byLoad.length > 0 ? 'load' : null,
      nodes: nodes.map(({ nodeId, count, weightMicros }) => ({
        nodeId,
        partitions: count,
        busyMicros: weightMicros,
      })),
      moves: this.#plan(JOIN_RULE, MAX_MOVING).map((move) => ({
        ...move,
        topic: image.topicById(move.topicId)?.name ?? move.topicId,
      })),
    };
  }

  async #round(rule: BalanceRule, limit: number): Promise<readonly PlannedMove[]> {
    const { env, journal, decisions } = this.#parts;
    const begun = await journal.commit(() => {
      const moves = this.#plan(rule, limit);
      const { records } = decisions.partitions.move(moves);
      return { records, result: records.length === 0 ? [] : moves };
    });
    if (begun.length > 0) env.events.info('controller.balancing', { partitions: begun.length });
    return begun;
  }

  #plan(rule: BalanceRule, limit: number): readonly PlannedMove[] {
    const { image, loads } = this.#parts;
    return planMoves(image, this.#nodeIds(), {
      limit,
      rule,
      busyMicros: (topicId, index) => loads.busyMicros(topicId, index),
      ...(rule === LOAD_RULE
        ? { isPinned: (topicId, index) => this.#pinned.has(`${topicId}/${index}`) }
        : {}),
    });
  }

  #nodeIds(): readonly number[] {
    return [...this.#parts.image.brokers.values()].filter(isServing).map(({ nodeId }) => nodeId);
  }

  #unpin(nowMs: number): void {
    for (const [key, untilMs] of this.#pinned) if (untilMs <= nowMs) this.#pinned.delete(key);
  }

  #hasMoves(): boolean {
    for (const { partitions } of this.#parts.image.topics()) {
      if (partitions.some(({ movingTo }) => movingTo !== undefined)) return true;
    }
    return false;
  }

  #isEnabled(): boolean {
    const { image, nodeId, staticSettings } = this.#parts;
    const configs = new EffectiveConfigs(
      image.brokerSettings(nodeId),
      image.brokerSettings(undefined),
      staticSettings,
    );
    return configs.brokerSetting('auto.leader.rebalance.enable')?.toLowerCase() === 'true';
  }
}

function servingEpochs(image: MetadataImage): ReadonlySet<number> {
  return new Set([...image.brokers.values()].filter(isServing).map(({ nodeEpoch }) => nodeEpoch));
}
