import { ClosedError, messageOf } from '../base/errors.ts';
import type { PartitionSet } from '../log/partitions.ts';
import type { Partition, Topic } from '../metadata/cluster-metadata.ts';
import type { Commands } from '../metadata/commands.ts';
import type { Env } from '../ports/env.ts';

/** Partitions let go of at the same time: each uploads what is only in the WAL, and they share those uploads. */
const MAX_RELEASING = 64;

export interface PartitionMovesParts {
  readonly env: Env;
  readonly nodeId: number;
  readonly partitions: Pick<PartitionSet, 'release'>;
  readonly commands: Commands;
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
      if (movingTo === undefined || leaderId !== this.#parts.nodeId) continue;
      const key = `${topic.id}/${index}/${leaderEpoch}`;
      if (this.#underWay.has(key)) continue;
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
      void this.#release(next.topic, next.partition).finally(() => {
        this.#underWay.delete(next.key);
        this.#releasing--;
        this.#startWaiting();
      });
    }
  }

  async #release(
    topic: Topic,
    { index, leaderEpoch, dataStreamId, stateStreamId }: Partition,
  ): Promise<void> {
    const { env, partitions, commands } = this.#parts;
    const begunMs = env.clock.monotonicMs();
    try {
      await partitions.release(topic.id, index, [dataStreamId, stateStreamId]);
      const closedMs = env.clock.monotonicMs();
      await commands.send('partition.release', { topicId: topic.id, index, leaderEpoch });
      env.events.info('partition.released', {
        topic: topic.name,
        partition: index,
        closeMs: Math.round(closedMs - begunMs),
        commitMs: Math.round(env.clock.monotonicMs() - closedMs),
      });
    } catch (error) {
      // It stays closed and is told of again with the next change of its topic, or dies with this broker.
      if (error instanceof ClosedError) return;
      env.events.error('partition.release-failed', {
        topic: topic.name,
        partition: index,
        reason: messageOf(error),
      });
    }
  }
}
