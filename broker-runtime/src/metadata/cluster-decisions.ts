import { MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import { ManifestDecisions } from '../store/manifest-decisions.ts';
import type { ManifestImage } from '../store/manifest-image.ts';
import type { CommittedObject } from '../store/manifest.ts';
import type { Decision } from '../wal/journal.ts';
import type { NodeRef } from './cluster-metadata.ts';
import type { CommandArgs, CommandName, CommandResult, RecoveryRef } from './commands.ts';
import { EffectiveConfigs } from './configs.ts';
import { decideConfigs } from './configs/decide.ts';
import type { MetadataImage } from './metadata-image.ts';
import { NodeDecisions } from './nodes/node-decisions.ts';
import { PartitionDecisions } from './nodes/partition-decisions.ts';
import { TopicDecisions } from './topics/topic-decisions.ts';
import type { TopicLimits } from './topics/topic-plan.ts';

export { isBeingRecovered, isServing } from './nodes/node-decisions.ts';

export interface ClusterDecisionsParts {
  readonly env: Env;
  /** The images of the journal that commits what is decided. */
  readonly metadata: MetadataImage;
  readonly manifest: ManifestImage;
  /** The node that decides, and the broker settings it was given at start: they are the defaults of topics. */
  readonly nodeId: number;
  readonly staticSettings: ReadonlyMap<string, string>;
  readonly limits?: Partial<TopicLimits>;
}

const DEFAULT_LIMITS: TopicLimits = {
  maxPartitionsPerTopic: 10_000,
  maxPartitions: 100_000,
  acceptAnyReplicationFactor: true,
};

type Deciders = {
  readonly [N in CommandName]: (
    args: CommandArgs<N>,
    sender: NodeRef,
    sequence: number,
  ) => Decision<CommandResult<N>>;
};

/**
 * Everything that can be asked of the controller, decided on the journal's own images. Whoever sends a command must be
 * an active node (R6), and changes only streams that it leads or was given to recover: so a broker that was declared
 * dead cannot bring in anything late (I5, I7).
 */
export class ClusterDecisions {
  readonly nodes: NodeDecisions;
  readonly partitions: PartitionDecisions;
  readonly #metadata: MetadataImage;
  readonly #deciders: Deciders;

  constructor(parts: ClusterDecisionsParts) {
    const { env, metadata: image, nodeId, staticSettings } = parts;
    const configs = (brokerId: number): EffectiveConfigs =>
      new EffectiveConfigs(
        image.brokerSettings(brokerId),
        image.brokerSettings(undefined),
        brokerId === nodeId ? staticSettings : new Map(),
      );
    const manifest = new ManifestDecisions(env, parts.manifest);
    const topics = new TopicDecisions({
      env,
      image,
      manifest,
      limits: { ...DEFAULT_LIMITS, ...parts.limits },
      configs: () => configs(nodeId),
    });
    const nodes = new NodeDecisions(image);
    const partitions = new PartitionDecisions(image);
    this.nodes = nodes;
    this.partitions = partitions;
    this.#metadata = image;
    this.#deciders = {
      'topics.create': ({ requests, validateOnly }) => topics.create(requests, validateOnly),
      'topics.delete': ({ topicIds }) => topics.delete(topicIds),
      'partitions.create': ({ topicName, partitionCount, assignments, validateOnly }) =>
        topics.grow(topicName, partitionCount, assignments, validateOnly),
      'configs.alter': ({ changes, validateOnly }) =>
        decideConfigs(changes, validateOnly, { image, brokerId: nodeId, configs }),
      'producer-ids.allocate': ({ count }) => {
        const first = image.nextProducerId;
        const record = image.record({ type: 'producer-ids-allocated', nextProducerId: first + count });
        return { records: [record], result: first };
      },
      'objects.prepare': ({ count, deadlineWallMs }) => manifest.prepareObjects(count, deadlineWallMs),
      'objects.commit': ({ objects, recovery }, sender) => {
        this.#checkOwner(streamsOf(objects), sender, recovery);
        return silent(manifest.commitObjects(objects));
      },
      'ranges.replace': ({ objects, replaced }, sender) => {
        this.#checkOwner([...streamsOf(objects), ...replaced.map(({ streamId }) => streamId)], sender);
        return silent(manifest.replaceRanges(objects, replaced));
      },
      'stream.trim': ({ streamId, startOffset }, sender) => {
        this.#checkOwner([streamId], sender);
        return silent(manifest.trimStream(streamId, startOffset));
      },
      'objects.expire': ({ nowWallMs }) => silent(manifest.expirePrepared(nowWallMs)),
      'objects.remove': ({ objectIds }) => silent(manifest.removeObjects(objectIds)),
      'node.register': (registration, _sender, sequence) => nodes.register(registration, sequence),
      'node.serve': (endpoint, sender) => silent(nodes.serve(sender, endpoint)),
      'node.leave': (_args, sender) => silent(nodes.leave(sender)),
      'recovery.finish': ({ node, attempt }, sender) => silent(nodes.finishRecovery(node, sender, attempt)),
      'partitions.move': ({ moves }) =>
        partitions.move(moves.map((move) => ({ ...move, toNodeId: move.toNodeId ?? undefined }))),
      'node.drain': (_args, sender) => silent(partitions.drain(sender)),
      'partition.release': ({ topicId, index, leaderEpoch }, sender) =>
        silent(partitions.release(topicId, index, leaderEpoch, sender)),
    };
  }

  /**
   * Run inside a decision of the journal.
   * @throws {NodeFencedError} the sender is not an active node
   * @throws {NotLeaderError} a stream is not the sender's
   */
  decide<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    sender: NodeRef,
    sequence: number,
  ): Decision<CommandResult<N>> {
    // Registering is what makes a sender; leaving may be repeated by one that left.
    if (name !== 'node.register' && name !== 'node.leave') this.nodes.checkSender(sender);
    return this.#deciders[name](args, sender, sequence);
  }

  isCommand(name: string): name is CommandName {
    return Object.hasOwn(this.#deciders, name);
  }

  #checkOwner(streamIds: Iterable<number>, sender: NodeRef, recovery?: RecoveryRef): void {
    if (recovery !== undefined) this.nodes.checkRecovery(recovery.node, sender, recovery.attempt);
    const ownerId = recovery?.node.nodeId ?? sender.nodeId;
    for (const streamId of streamIds) {
      const partition = this.#metadata.partitionOfStream(streamId);
      // Streams of deleted topics have no partition: what is brought for them is left out.
      if (partition === undefined || partition.leaderId === ownerId) continue;
      throw new NotLeaderError(
        `stream ${streamId} belongs to node ${partition.leaderId} since leader epoch ${partition.leaderEpoch}, and node ` +
          `${sender.nodeId} wants to change it for node ${ownerId}`,
      );
    }
  }
}

/** A change of a stream that the sender does not lead; nothing was changed. */
export class NotLeaderError extends MillraceError {
  readonly code = 'NOT_LEADER';
}

function streamsOf(objects: readonly CommittedObject[]): readonly number[] {
  return objects.flatMap(({ ranges }) => ranges.map(({ streamId }) => streamId));
}

/** JSON has no undefined. */
function silent({ records }: Decision<void>): Decision<null> {
  return { records, result: null };
}
