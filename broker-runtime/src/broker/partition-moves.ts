import { ClosedError, messageOf } from '../base/errors.ts';
import type { PartitionSet } from '../log/partitions.ts';
import type { ClusterMetadata, Partition, Topic } from '../metadata/cluster-metadata.ts';
import type { Commands } from '../metadata/commands.ts';
import type { Env } from '../ports/env.ts';

/** Partitions let go of at the same time: each uploads what is only in the WAL, and they share those uploads. */
const MAX_RELEASING = 64;
/** Before one that failed is tried again: until then nobody serves the partition. */
const RETRY_MS = 500;

export interface PartitionMovesParts {
  readonly env: Env;
  readonly nodeId: number;
  readonly partitions: Pick<PartitionSet, 'release'>;
  readonly commands: Commands;
  readonly metadata: Pick<ClusterMetadata, 'topicById'>;
}

/**
 * This broker's part in moves (docs/cluster.md): a partition that is to go elsewhere is closed, the rest of it uploaded,
 * and the controller told, which makes the new leader. Nothing of it is copied, whatever its size.
 */
export class PartitionMoves {
  readonly #parts: PartitionMovesParts;
  readonly #underWay = new Set<string>();
  readonly #waiting: { readonly key: string; readonly topic: Topic; readonly partition: Partition }[] = [];
  #releasing = 0;

  constructor(parts: PartitionMovesParts) {
    this.#parts = parts;
  }

  /** A topic as metadata shows it now. */
  follow(topic: Topic): void {
    for (const partition of topic.partitions) {
      const { leaderId, leaderEpoch, movingTo, index } = partition;
      const key = `${topic.id}/${index}/${leaderEpoch}`;
      if (movingTo === undefined || leaderId !== this.#parts.nodeId || this.#underWay.has(key)) continue;
      this.#underWay.add(key);
      this.#waiting.push({ key, topic, partition });
    }
    this.#startWaiting();
  }

  #startWaiting(): void {
    while (this.#releasing < MAX_RELEASING) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#releasing++;
      void this.#release(next.topic, next.partition).then((mayFollow) => {
        this.#underWay.delete(next.key);
        this.#releasing--;
        // A move that was called off and begun anew meanwhile, and one that failed, need a release of their own.
        const topic = this.#parts.metadata.topicById(next.topic.id);
        if (topic !== undefined && mayFollow) this.follow(topic);
        this.#startWaiting();
      });
    }
  }

  /** @returns false when it was closed under it: with the topic, or with this broker */
  async #release(
    topic: Topic,
    { index, leaderEpoch, dataStreamId, stateStreamId }: Partition,
  ): Promise<boolean> {
    const { env, partitions, commands } = this.#parts;
    const begunMs = env.clock.monotonicMs();
    try {
      let closedMs = begunMs;
      await partitions.release(topic.id, index, [dataStreamId, stateStreamId], async () => {
        closedMs = env.clock.monotonicMs();
        await commands.send('partition.release', { topicId: topic.id, index, leaderEpoch });
      });
      env.events.info('partition.released', {
        topic: topic.name,
        partition: index,
        closeMs: Math.round(closedMs - begunMs),
        commitMs: Math.round(env.clock.monotonicMs() - closedMs),
      });
    } catch (error) {
      if (error instanceof ClosedError) return false;
      env.events.error('partition.release-failed', {
        topic: topic.name,
        partition: index,
        reason: messageOf(error),
      });
      await env.clock.sleep(RETRY_MS);
    }
    return true;
  }
}
