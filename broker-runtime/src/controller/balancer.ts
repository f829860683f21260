import { isServing } from '../metadata/cluster-decisions.ts';
import type { ClusterDecisions } from '../metadata/cluster-decisions.ts';
import { EffectiveConfigs } from '../metadata/configs.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';
import type { Env } from '../ports/env.ts';
import type { Journal } from '../wal/journal.ts';
import { planMoves } from './balance-plan.ts';

/** Between two rounds: the leaders let go of what the last one moves meanwhile. */
const ROUND_MS = 1000;
/** Partitions on the way at the same time, of all nodes: each of them serves nobody for a moment. */
const MAX_MOVING = 256;

export interface BalancerParts {
  readonly env: Env;
  readonly journal: Journal;
  /** One of the images of `journal`. */
  readonly image: MetadataImage;
  readonly decisions: ClusterDecisions;
  readonly nodeId: number;
  readonly staticSettings: ReadonlyMap<string, string>;
}

/**
 * Gives a node that joins its part of the partitions. It works from the moment a node begins to serve until all lead
 * about as many, and rests until the next one joins: what a person moved by hand meanwhile stays where it is. A new
 * controller knows of those that join in its own term. `auto.leader.rebalance.enable` switches it off.
 */
export class Balancer {
  readonly #parts: BalancerParts;
  /** Lives of nodes that served already. */
  #serving: ReadonlySet<number>;
  #isNeeded = false;
  #nextRoundMs = 0;

  /** Made at the beginning of the term, of the image as it was taken over. */
  constructor(parts: BalancerParts) {
    this.#parts = parts;
    this.#serving = servingEpochs(parts.image);
  }

  /** Cheap when nobody joined. @throws {JournalClosedError} the term is over */
  async tick(): Promise<void> {
    const { env, image } = this.#parts;
    const serving = servingEpochs(image);
    for (const epoch of serving) if (!this.#serving.has(epoch)) this.#isNeeded = true;
    this.#serving = serving;
    const nowMs = env.clock.monotonicMs();
    if (!this.#isNeeded || nowMs < this.#nextRoundMs) return;
    this.#nextRoundMs = nowMs + ROUND_MS;
    if (this.#isEnabled()) await this.#round();
    else this.#isNeeded = false;
  }

  async #round(): Promise<void> {
    const { env, journal, image, decisions } = this.#parts;
    const begun = await journal.commit(() => {
      const nodeIds = [...image.brokers.values()].filter(isServing).map(({ nodeId }) => nodeId);
      const moves = planMoves(image, nodeIds, MAX_MOVING);
      const { records } = decisions.partitions.move(moves);
      return { records, result: records.length };
    });
    if (begun > 0) env.events.info('controller.balancing', { partitions: begun });
    // Nothing to begin: they are even, or there is no room beside the moves under way.
    else this.#isNeeded = this.#hasMoves();
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
