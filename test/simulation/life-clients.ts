import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../broker-runtime/src/wire/messages/create-topics.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../broker-runtime/src/wire/messages/delete-records.ts';
import {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from '../../broker-runtime/src/wire/messages/delete-topics.ts';
import { FetchRequest, FetchResponse } from '../../broker-runtime/src/wire/messages/fetch.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import {
  InitProducerIdRequest,
  InitProducerIdResponse,
} from '../../broker-runtime/src/wire/messages/init-producer-id.ts';
import {
  OffsetCommitRequest,
  OffsetCommitResponse,
} from '../../broker-runtime/src/wire/messages/offset-commit.ts';
import {
  OffsetFetchRequest,
  OffsetFetchResponse,
} from '../../broker-runtime/src/wire/messages/offset-fetch.ts';
import { ProduceRequest, ProduceResponse } from '../../broker-runtime/src/wire/messages/produce.ts';
import { wholeBatches } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { recordsOf } from '../../broker-runtime/src/wire/records/read-records.ts';
import type {
  DecodedFields,
  EncodableFields,
  Fields,
  Message,
} from '../../broker-runtime/src/wire/schema.ts';
import type { Observation } from '../harness/history.ts';
import { batchOf } from '../server/broker-rig.ts';
import type { BrokerLives } from './broker-lives.ts';
import type { KafkaClient } from './world/kafka-client.ts';
import type { SimRandom } from './world/sim-random.ts';

const Produce = [ProduceRequest, ProduceResponse] as const;
const Fetch = [FetchRequest, FetchResponse] as const;
const InitProducerId = [InitProducerIdRequest, InitProducerIdResponse] as const;
const OffsetCommit = [OffsetCommitRequest, OffsetCommitResponse] as const;
const OffsetFetch = [OffsetFetchRequest, OffsetFetchResponse] as const;
const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;
const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;
const CreateTopics = [CreateTopicsRequest, CreateTopicsResponse] as const;
const DeleteTopics = [DeleteTopicsRequest, DeleteTopicsResponse] as const;

export const GROUP = 'group';
export const NONE = 0;
const OFFSET_OUT_OF_RANGE = 1;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const TOPIC_ALREADY_EXISTS = 36;
const CALL_TIMEOUT_MS = 40_000;

/** A client that finds the broker again after each of its deaths. Every failure means: nobody knows what happened. */
export class LifeClient {
  readonly random: SimRandom;
  readonly lives: BrokerLives;
  #client: KafkaClient | undefined;

  constructor(lives: BrokerLives) {
    this.lives = lives;
    this.random = lives.random.fork();
  }

  pause(longestMs: number): Promise<void> {
    return this.lives.clock.sleep(this.random.below(longestMs));
  }

  /** The answer, or undefined when there was none. */
  async call<Req extends Fields, Res extends Fields>(
    api: readonly [Message<Req>, Message<Res>],
    version: number,
    body: EncodableFields<Req>,
  ): Promise<DecodedFields<Res> | undefined> {
    const late = Promise.withResolvers<undefined>();
    const timer = this.lives.clock.timer(CALL_TIMEOUT_MS, () => late.resolve(undefined));
    try {
      const client = await this.#connected();
      const answer = await Promise.race([client?.call(api, version, body), late.promise]);
      if (answer !== undefined) return answer;
      client?.destroy();
    } catch {
      // The connection broke.
    } finally {
      timer.cancel();
    }
    this.#client = undefined;
    return undefined;
  }

  async #connected(): Promise<KafkaClient | undefined> {
    if (this.#client?.isClosed === true) this.#client = undefined;
    if (this.#client === undefined && this.lives.isUp) this.#client = await this.lives.connect();
    return this.#client;
  }

  /** The error code, or undefined without an answer. */
  async createTopic(name: string, numPartitions: number): Promise<number | undefined> {
    const topics = [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: [] }];
    const answer = await this.call(CreateTopics, 7, { topics, timeoutMs: 30_000 });
    const errorCode = answer?.topics[0]?.errorCode;
    return errorCode === TOPIC_ALREADY_EXISTS ? NONE : errorCode;
  }

  async deleteTopic(name: string): Promise<number | undefined> {
    const answer = await this.call(DeleteTopics, 5, { topicNames: [name], timeoutMs: 30_000 });
    const errorCode = answer?.responses[0]?.errorCode;
    return errorCode === UNKNOWN_TOPIC_OR_PARTITION ? NONE : errorCode;
  }

  /** @returns error and base offset, or undefined without an answer */
  async produce(
    name: string,
    index: number,
    records: Uint8Array,
  ): Promise<{ readonly errorCode: number; readonly baseOffset: number } | undefined> {
    const topicData = [{ name, partitionData: [{ index, records }] }];
    const answer = await this.call(Produce, 9, { acks: -1, timeoutMs: 30_000, topicData });
    return answer?.responses[0]?.partitionResponses[0];
  }

  async initProducerId(): Promise<number | undefined> {
    const answer = await this.call(InitProducerId, 4, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
    });
    return answer?.errorCode === NONE ? answer.producerId : undefined;
  }

  async deleteRecords(name: string, partitionIndex: number, offset: number): Promise<number | undefined> {
    const topics = [{ name, partitions: [{ partitionIndex, offset }] }];
    const answer = await this.call(DeleteRecords, 2, { topics, timeoutMs: 30_000 });
    return answer?.topics[0]?.partitions[0]?.errorCode;
  }

  async commitOffset(
    name: string,
    partitionIndex: number,
    committedOffset: number,
  ): Promise<number | undefined> {
    const answer = await this.call(OffsetCommit, 8, {
      groupId: GROUP,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [{ name, partitions: [{ partitionIndex, committedOffset, committedMetadata: null }] }],
    });
    return answer?.topics[0]?.partitions[0]?.errorCode;
  }

  async findCoordinator(): Promise<number | undefined> {
    const answer = await this.call(FindCoordinator, 4, { key: '', keyType: 0, coordinatorKeys: [GROUP] });
    return answer?.coordinators[0]?.errorCode;
  }

  /** -1: none. Undefined: not answered. */
  async committedOffset(name: string, partitionIndex: number): Promise<number | undefined> {
    const answer = await this.call(OffsetFetch, 7, {
      groupId: GROUP,
      topics: [{ name, partitionIndexes: [partitionIndex] }],
    });
    const row = answer?.topics[0]?.partitions[0];
    return answer?.errorCode === NONE && row?.errorCode === NONE ? row.committedOffset : undefined;
  }

  /** Undefined when not answered, or answered by an error that passes. */
  async fetch(name: string, partition: number, fetchOffset: number): Promise<Fetched | undefined> {
    const answer = await this.call(Fetch, 11, {
      maxWaitMs: 100,
      minBytes: 1,
      maxBytes: 1024 * 1024,
      topics: [{ topic: name, partitions: [{ partition, fetchOffset, partitionMaxBytes: 64 * 1024 }] }],
    });
    const row = answer?.responses[0]?.partitions[0];
    if (row === undefined || (row.errorCode !== NONE && row.errorCode !== OFFSET_OUT_OF_RANGE))
      return undefined;
    const records: Observation[] = [];
    for (const batch of wholeBatches(row.records ?? new Uint8Array(0))) {
      const reader = recordsOf(batch);
      while (reader.next()) {
        if (reader.offset < fetchOffset) continue;
        records.push({ value: Buffer.from(reader.value ?? []).toString(), partition, offset: reader.offset });
      }
    }
    const { highWatermark, logStartOffset } = row;
    return { records, highWatermark, logStartOffset, isOutOfRange: row.errorCode !== NONE };
  }

  /** Everything of one partition, however long it takes. */
  async drain(name: string, partition: number): Promise<{ logStartOffset: number; records: Observation[] }> {
    const records: Observation[] = [];
    let nextOffset = 0;
    for (;;) {
      const fetched = await this.fetch(name, partition, nextOffset);
      if (fetched === undefined) {
        await this.pause(1_000);
        continue;
      }
      if (fetched.isOutOfRange) {
        nextOffset = (await this.#logStart(name, partition)) ?? nextOffset;
        continue;
      }
      records.push(...fetched.records);
      const last = fetched.records.at(-1);
      if (last !== undefined) nextOffset = last.offset + 1;
      if (nextOffset >= fetched.highWatermark) return { logStartOffset: fetched.logStartOffset, records };
    }
  }

  /** Deleting nothing tells where the log begins. */
  async #logStart(name: string, partitionIndex: number): Promise<number | undefined> {
    const topics = [{ name, partitions: [{ partitionIndex, offset: 0 }] }];
    const answer = await this.call(DeleteRecords, 2, { topics, timeoutMs: 30_000 });
    const row = answer?.topics[0]?.partitions[0];
    return row?.errorCode === NONE ? row.lowWatermark : undefined;
  }
}

export interface Fetched {
  readonly records: readonly Observation[];
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly isOutOfRange: boolean;
}

/** Values `<producer>.<counter>` from `counter` on. */
export function values(producer: string, counter: number, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${producer}.${counter + n}`);
}

export { batchOf };
