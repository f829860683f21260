import {
  GroupCoordinator,
  type JoinAnswer,
  type JoinRequest,
  type SyncAnswer,
} from '../../broker-runtime/src/coordinator/group-coordinator.ts';
import { DEFAULT_GROUP_CONFIG, type GroupConfig } from '../../broker-runtime/src/coordinator/group-config.ts';
import { PartitionOffsetsLog } from '../../broker-runtime/src/coordinator/partition-offsets-log.ts';
import { GROUP_METADATA_TOPIC } from '../../broker-runtime/src/coordinator/coordinator-partitions.ts';
import { openPartition, type Partition } from '../../broker-runtime/src/log/partition.ts';
import { Errors, type ErrorCode } from '../../broker-runtime/src/wire/errors.ts';
import { COMPACTED } from '../log/kit.ts';
import { MemoryStream } from '../log/memory-stream.ts';
import { simEnv, type SimEnv } from '../simulation/world/sim-env.ts';
import { TopicsDouble } from './topics-double.ts';

export const BROKER_ID = 7;
export const GROUP = 'orders';
export const SESSION_MS = 10_000;
export const REBALANCE_MS = 60_000;

export interface WorldOptions {
  readonly seed?: number;
  readonly config?: Partial<GroupConfig>;
  /** The world before this one: its clock, topics and what its logs left. */
  readonly after?: { readonly world: CoordinatorWorld; readonly keepGroups?: number };
}

/**
 * A group coordinator over real partition logs, in simulated time. Streams stand in for the WAL: `settle` decides when
 * what was appended is durable, `crash` keeps no more than that, `hold` makes writers wait for admission.
 */
export class CoordinatorWorld {
  readonly env: SimEnv;
  readonly config: GroupConfig;
  readonly topics: TopicsDouble;
  readonly coordinator: GroupCoordinator;
  readonly streams = new Map<number, MemoryStream>();
  readonly logs = new Map<number, Partition>();
  /** Appends become durable at once. */
  autoSettle = true;
  /** False: the lease ran out, and another node may coordinate the groups already. */
  mayAnswerReaders = true;
  /** Thrown by the next opening of a log. */
  openError: Error | undefined;
  #waiting: (() => void)[] | undefined;

  private constructor(options: WorldOptions) {
    const before = options.after?.world;
    this.env = before?.env ?? simEnv(options.seed ?? 1);
    this.topics = before?.topics ?? new TopicsDouble(BROKER_ID);
    this.config = before?.config ?? {
      ...DEFAULT_GROUP_CONFIG,
      offsetsTopicPartitions: 1,
      initialRebalanceDelayMs: 0,
      ...options.config,
    };
    for (const [index, stream] of before?.streams ?? []) {
      this.streams.set(index, stream.crash(options.after?.keepGroups));
    }
    this.coordinator = new GroupCoordinator({
      env: this.env,
      config: { ...this.config, ...options.config },
      brokerId: BROKER_ID,
      metadata: this.topics,
      openLog: (topicId, index) => this.#openLog(topicId, index),
      mayAnswerReaders: () => this.mayAnswerReaders,
    });
  }

  /** A broker that has created `__consumer_offsets` and loaded it. */
  static async start(options: WorldOptions = {}): Promise<CoordinatorWorld> {
    const world = new CoordinatorWorld(options);
    world.coordinator.start();
    await world.coordinator.coordinatorOf(GROUP);
    await world.env.clock.settle();
    return world;
  }

  /** A broker that was just started: nothing was asked of it, nothing is loaded. */
  static cold(options: WorldOptions = {}): CoordinatorWorld {
    const world = new CoordinatorWorld(options);
    world.coordinator.start();
    return world;
  }

  /** Kill -9 and start again: what was durable, and of the rest the first `keepGroups` writes, is all there is. */
  crash(keepGroups = 0, config: Partial<GroupConfig> = {}): Promise<CoordinatorWorld> {
    this.coordinator.close();
    return CoordinatorWorld.start({ after: { world: this, keepGroups }, config });
  }

  advance(ms: number): Promise<void> {
    return this.env.clock.advance(ms);
  }

  settle(): Promise<void> {
    return this.env.clock.settle();
  }

  /** Makes everything appended durable, and lets everyone who waited for that go on. */
  async makeDurable(): Promise<void> {
    for (const stream of this.streams.values()) stream.settle();
    await this.settle();
  }

  /** From now on every writer waits for admission, until `admit`. */
  hold(): void {
    this.#waiting ??= [];
  }

  async admit(): Promise<void> {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const grant of waiting) grant();
    await this.settle();
  }

  /** What `__consumer_offsets` holds, key by key, in Kafka's bytes. */
  async records(index = 0): Promise<{ key: Uint8Array; value: Uint8Array | null }[]> {
    const log = this.logs.get(index);
    const records: { key: Uint8Array; value: Uint8Array | null }[] = [];
    if (log === undefined) return records;
    const reader = new PartitionOffsetsLog(log, this.env.clock, () => undefined);
    const reading = reader.replay(({ key, value }) => {
      records.push({ key: key.slice(), value: value?.slice() ?? null });
    });
    await this.env.clock.run(reading);
    return records;
  }

  async #openLog(topicId: string, index: number): Promise<PartitionOffsetsLog | undefined> {
    if (this.openError !== undefined) {
      const error = this.openError;
      this.openError = undefined;
      throw error;
    }
    this.logs.get(index)?.abandon();
    const data = this.streams.get(index) ?? new MemoryStream(index);
    data.autoSettle = this.autoSettle;
    this.streams.set(index, data);
    const states = new MemoryStream(1000 + index);
    states.autoSettle = true;
    const admit = (): undefined => undefined;
    const log = await openPartition({
      topicId,
      topic: GROUP_METADATA_TOPIC,
      partition: index,
      leaderEpoch: this.topics.topicByName(GROUP_METADATA_TOPIC)?.partitions[index]?.leaderEpoch ?? 0,
      data,
      states,
      config: COMPACTED,
      env: this.env,
      admit,
    });
    this.logs.set(index, log);
    return new PartitionOffsetsLog(log, this.env.clock, () => this.#admission());
  }

  #admission(): Promise<void> | undefined {
    const waiting = this.#waiting;
    if (waiting === undefined) return undefined;
    return new Promise((grant) => waiting.push(grant));
  }
}

export type JoinOptions = Partial<JoinRequest> & { readonly groupId?: string };

/** JoinGroup as a consumer of the Java client sends it, but for what the test says. */
export function joinRequest(options: JoinOptions = {}): JoinRequest {
  return {
    memberId: '',
    instanceId: null,
    clientId: 'client',
    clientHost: '/127.0.0.1',
    rebalanceTimeoutMs: REBALANCE_MS,
    sessionTimeoutMs: SESSION_MS,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: text('subscription') }],
    requiresMemberId: false,
    understandsSkipAssignment: true,
    ...options,
  };
}

export function join(world: CoordinatorWorld, options: JoinOptions = {}): Promise<JoinAnswer> {
  return world.coordinator.join(options.groupId ?? GROUP, joinRequest(options));
}

export interface SyncOptions {
  readonly groupId?: string;
  readonly memberId: string;
  readonly instanceId?: string | null;
  readonly generationId: number;
  readonly protocolType?: string | null;
  readonly protocolName?: string | null;
  readonly assignments?: Readonly<Record<string, string>>;
}

export function sync(world: CoordinatorWorld, options: SyncOptions): Promise<SyncAnswer> {
  const assignments = Object.entries(options.assignments ?? {}).map(
    ([memberId, share]) => [memberId, text(share)] as const,
  );
  return world.coordinator.sync(options.groupId ?? GROUP, {
    memberId: options.memberId,
    instanceId: options.instanceId ?? null,
    generationId: options.generationId,
    protocolType: options.protocolType ?? null,
    protocolName: options.protocolName ?? null,
    assignments: new Map(assignments),
  });
}

/** Members that joined and hold an assignment of the current generation; the first one leads. */
export async function stableGroup(
  world: CoordinatorWorld,
  members: readonly JoinOptions[] = [{}],
  groupId = GROUP,
): Promise<readonly JoinAnswer[]> {
  const joining = members.map((member) => join(world, { ...member, groupId }));
  await world.advance(world.config.initialRebalanceDelayMs + 1);
  const joined = await Promise.all(joining);
  const assignments = Object.fromEntries(joined.map(({ memberId }, at) => [memberId, `share ${at}`]));
  const syncing = joined.map(({ memberId, generationId, leaderId }, at) =>
    sync(world, {
      groupId,
      memberId,
      instanceId: members[at]?.instanceId ?? null,
      generationId,
      ...(memberId === leaderId ? { assignments } : {}),
    }),
  );
  await world.settle();
  await Promise.all(syncing);
  return joined;
}

export function heartbeat(
  world: CoordinatorWorld,
  member: { readonly memberId: string; readonly generationId: number; readonly instanceId?: string | null },
  groupId = GROUP,
): ErrorCode {
  const identity = { memberId: member.memberId, instanceId: member.instanceId ?? null };
  return world.coordinator.heartbeat(groupId, identity, member.generationId);
}

export interface CommitOptions {
  readonly groupId?: string;
  readonly memberId?: string;
  readonly instanceId?: string | null;
  readonly generationId?: number;
  readonly topic?: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly metadata?: string;
  readonly leaderEpoch?: number;
}

/** Commits one offset; as an administrator would, unless the test names a member. */
export async function commit(world: CoordinatorWorld, options: CommitOptions = {}): Promise<ErrorCode> {
  const { memberId = '', instanceId = null, generationId = -1 } = options;
  const committed = {
    offset: options.offset ?? 1,
    leaderEpoch: options.leaderEpoch ?? -1,
    metadata: options.metadata ?? '',
    commitWallMs: world.env.clock.wallMs(),
  };
  const [error] = await world.coordinator.commit(
    options.groupId ?? GROUP,
    { memberId, instanceId, generationId },
    [{ topic: options.topic ?? 'events', partition: options.partition ?? 0, committed }],
    Errors.ILLEGAL_GENERATION,
  );
  return error ?? Errors.UNKNOWN_SERVER_ERROR;
}

/** The committed offset, undefined when there is none. */
export function committed(
  world: CoordinatorWorld,
  topic = 'events',
  partition = 0,
  groupId = GROUP,
): number | undefined {
  const offsets = world.coordinator.offsetsOf(groupId);
  if (typeof offsets === 'number')
    throw new Error(`the offsets of ${groupId} cannot be read: error ${offsets}`);
  return offsets?.get(topic, partition)?.offset;
}

/** The state DescribeGroups shows; 'none' for a group that does not exist. */
export function stateOf(world: CoordinatorWorld, groupId = GROUP): string {
  const described = world.coordinator.describe(groupId);
  return typeof described === 'number' ? 'none' : described.state;
}

/** What became of a promise without waiting for it. */
export function watch<T>(promise: Promise<T>): { readonly promise: Promise<T>; value: T | undefined } {
  const watched: { promise: Promise<T>; value: T | undefined } = { promise, value: undefined };
  void promise.then((value) => (watched.value = value));
  return watched;
}

export function text(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value));
}

export function asText(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}
