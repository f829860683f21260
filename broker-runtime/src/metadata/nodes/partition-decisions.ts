import type { Decision, JournalRecord } from '../../wal/journal.ts';
import { Errors } from '../../wire/errors.ts';
import type { NodeRef, TopicResult } from '../cluster-metadata.ts';
import type { Decided } from '../decided.ts';
import { decided } from '../decided.ts';
import type { MetadataImage } from '../metadata-image.ts';
import { spreadLeaders } from './leader-plan.ts';
import { isServing, servingNodeIds } from './node-decisions.ts';

/** Where a partition shall go; undefined calls a move under way off. */
export interface Move {
  readonly topicId: string;
  readonly index: number;
  readonly toNodeId: number | undefined;
}

/** Decides about who leads what: run inside a decision of the journal. */
export class PartitionDecisions {
  readonly #image: MetadataImage;

  constructor(image: MetadataImage) {
    this.#image = image;
  }

  /** One answer per move. A partition whose leader is gone goes at once; else its leader lets go of it first. */
  move(moves: readonly Move[]): Decided {
    const records: JournalRecord[] = [];
    const results = moves.map((move): TopicResult => {
      const outcome = this.#move(move);
      if ('error' in outcome) return outcome;
      records.push(...outcome.records);
      return { error: Errors.NONE };
    });
    return decided(results, records);
  }

  /** All partitions of a node that wants to leave go to the others, which lead the fewest first. */
  drain({ nodeId }: NodeRef): Decision<void> {
    const others = servingNodeIds(this.#image).filter((other) => other !== nodeId);
    const moves = spreadLeaders(this.#image, (leaderId) => leaderId === nodeId, others);
    const records = moves.flatMap(({ topicId, leaders }) =>
      leaders.map(({ index, leaderId }) =>
        this.#image.record({ type: 'partition-moving', topicId, index, toNodeId: leaderId }),
      ),
    );
    return { records, result: undefined };
  }

  /**
   * The leader let go of a partition that is to move, and everything of it is in objects: the other node leads it now.
   * One that died meanwhile gets nothing: the move is called off and the leader opens the partition again.
   */
  release(topicId: string, index: number, leaderEpoch: number, sender: NodeRef): Decision<void> {
    const partition = this.#image.topicById(topicId)?.partitions[index];
    // A repeat, or the move was called off: nothing to do.
    if (
      partition?.leaderId !== sender.nodeId ||
      partition.leaderEpoch !== leaderEpoch ||
      partition.movingTo === undefined
    ) {
      return { records: [], result: undefined };
    }
    const leaderId = partition.movingTo;
    const target = this.#image.brokers.get(leaderId);
    const isAlive = target !== undefined && isServing(target);
    return {
      records: [
        isAlive
          ? this.#image.record({
              type: 'leaders-changed',
              topics: [{ topicId, leaders: [{ index, leaderId }] }],
            })
          : this.#image.record({ type: 'partition-moving', topicId, index, toNodeId: undefined }),
      ],
      result: undefined,
    };
  }

  /** Partitions whose leader is gone for good and clean: those who are there take them. */
  adopt(): Decision<number> {
    const { brokers } = this.#image;
    const isGone = (leaderId: number): boolean => {
      const state = brokers.get(leaderId)?.state;
      return state === undefined || state === 'clean';
    };
    const topics = spreadLeaders(this.#image, isGone, servingNodeIds(this.#image));
    const result = topics.reduce((sum, { leaders }) => sum + leaders.length, 0);
    return { records: result === 0 ? [] : [this.#image.record({ type: 'leaders-changed', topics })], result };
  }

  #move({ topicId, index, toNodeId }: Move): { readonly records: readonly JournalRecord[] } | TopicResult {
    const partition = this.#image.topicById(topicId)?.partitions[index];
    if (partition === undefined) {
      return { error: Errors.UNKNOWN_TOPIC_OR_PARTITION, message: 'The partition does not exist.' };
    }
    if (toNodeId === undefined) {
      if (partition.movingTo === undefined) {
        return {
          error: Errors.NO_REASSIGNMENT_IN_PROGRESS,
          message: 'No partition reassignment is in progress.',
        };
      }
      return { records: [this.#moving(topicId, index, undefined)] };
    }
    const target = this.#image.brokers.get(toNodeId);
    if (target === undefined || !isServing(target)) {
      return {
        error: Errors.INVALID_REPLICA_ASSIGNMENT,
        message: `Broker ${toNodeId} is not alive; a partition can only go to a live broker.`,
      };
    }
    if (partition.movingTo === toNodeId) return { records: [] };
    if (partition.leaderId === toNodeId) {
      return { records: partition.movingTo === undefined ? [] : [this.#moving(topicId, index, undefined)] };
    }
    if (this.#image.brokers.get(partition.leaderId)?.state === 'clean') {
      const topics = [{ topicId, leaders: [{ index, leaderId: toNodeId }] }];
      return { records: [this.#image.record({ type: 'leaders-changed', topics })] };
    }
    return { records: [this.#moving(topicId, index, toNodeId)] };
  }

  #moving(topicId: string, index: number, toNodeId: number | undefined): JournalRecord {
    return this.#image.record({ type: 'partition-moving', topicId, index, toNodeId });
  }
}
