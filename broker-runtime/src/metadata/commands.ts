import type { CommittedObject, StreamRangeRef } from '../store/manifest.ts';
import type {
  BrokerRegistration,
  ConfigChange,
  CreateTopic,
  Endpoint,
  MovePartition,
  NodeRef,
  TopicResult,
} from './cluster-metadata.ts';
import type { Registered } from './nodes/node-decisions.ts';

export { NodeFencedError, NodeRecoveringError, StaleRecoveryError } from './nodes/node-decisions.ts';
export type { Registered } from './nodes/node-decisions.ts';

/** One attempt to recover the log of a fenced node. */
export interface RecoveryRef {
  readonly node: NodeRef;
  readonly attempt: number;
}

/**
 * What can be asked of the controller: names, arguments and results, all of them plain JSON. Names and fields travel
 * between releases during a rolling upgrade: fields may be added, none may change its meaning.
 */
export interface CommandTypes {
  'topics.create': {
    args: { readonly requests: readonly CreateTopic[]; readonly validateOnly: boolean };
    result: readonly TopicResult[];
  };
  'topics.delete': { args: { readonly topicIds: readonly string[] }; result: readonly TopicResult[] };
  'partitions.create': {
    args: {
      readonly topicName: string;
      readonly partitionCount: number;
      readonly validateOnly: boolean;
      readonly assignments?: readonly (readonly number[])[];
    };
    result: readonly TopicResult[];
  };
  'configs.alter': {
    args: { readonly changes: readonly ConfigChange[]; readonly validateOnly: boolean };
    result: readonly TopicResult[];
  };
  /** The first of `count` producer ids that were never used. */
  'producer-ids.allocate': { args: { readonly count: number }; result: number };

  'objects.prepare': {
    args: { readonly count: number; readonly deadlineWallMs: number };
    result: readonly number[];
  };
  /** `recovery`: streams of the fenced node, by whom its recovery was given to; without: streams the sender leads. */
  'objects.commit': {
    args: { readonly objects: readonly CommittedObject[]; readonly recovery?: RecoveryRef };
    result: null;
  };
  'ranges.replace': {
    args: { readonly objects: readonly CommittedObject[]; readonly replaced: readonly StreamRangeRef[] };
    result: null;
  };
  'stream.trim': { args: { readonly streamId: number; readonly startOffset: number }; result: null };
  'objects.expire': { args: { readonly nowWallMs: number }; result: null };
  'objects.remove': { args: { readonly objectIds: readonly number[] }; result: null };

  'node.register': { args: BrokerRegistration; result: Registered };
  /** The sender serves clients at this address. */
  'node.serve': { args: Endpoint; result: null };
  /** Everything of the sender is uploaded; its slot is free and its partitions go to others. */
  'node.leave': { args: Record<string, never>; result: null };
  'recovery.finish': { args: RecoveryRef; result: null };

  /** Where partitions shall go, or no longer go: one answer each. */
  'partitions.move': { args: { readonly moves: readonly MovePartition[] }; result: readonly TopicResult[] };
  /** The sender wants to leave: its partitions begin to move to others. */
  'node.drain': { args: Record<string, never>; result: null };
  /** The sender closed a partition that is to move and uploaded the rest of it. */
  'partition.release': {
    args: { readonly topicId: string; readonly index: number; readonly leaderEpoch: number };
    result: null;
  };
}

export type CommandName = keyof CommandTypes;
export type CommandArgs<N extends CommandName> = CommandTypes[N]['args'];
export type CommandResult<N extends CommandName> = CommandTypes[N]['result'];

/** Who asks for changes. They are true, and show in the asker's own images, when the promise resolves. */
export interface Commands {
  /** @throws what the decision threw, with its code; {@link NodeFencedError} when the sender's life is over */
  send<N extends CommandName>(name: N, args: CommandArgs<N>): Promise<CommandResult<N>>;
}
