import { FetchRequest, FetchResponse } from '../../../broker-runtime/src/wire/messages/fetch.ts';
import {
  InitProducerIdRequest,
  InitProducerIdResponse,
} from '../../../broker-runtime/src/wire/messages/init-producer-id.ts';
import { MetadataRequest, MetadataResponse } from '../../../broker-runtime/src/wire/messages/metadata.ts';
import { ProduceRequest, ProduceResponse } from '../../../broker-runtime/src/wire/messages/produce.ts';
import { wholeBatches } from '../../../broker-runtime/src/wire/records/batch-header.ts';
import { recordsOf } from '../../../broker-runtime/src/wire/records/read-records.ts';
import type {
  DecodedFields,
  EncodableFields,
  Fields,
  Message,
} from '../../../broker-runtime/src/wire/schema.ts';
import type { Address } from '../../../broker-runtime/src/ports/network.ts';
import { KafkaClient } from '../world/kafka-client.ts';
import type { SimRandom } from '../world/sim-random.ts';
import { type ClusterWorld, KAFKA_PORT } from './cluster-world.ts';

const Metadata = [MetadataRequest, MetadataResponse] as const;
const Produce = [ProduceRequest, ProduceResponse] as const;
const Fetch = [FetchRequest, FetchResponse] as const;
const InitProducerId = [InitProducerIdRequest, InitProducerIdResponse] as const;

export const NONE = 0;
export const OFFSET_OUT_OF_RANGE = 1;
/** As librdkafka and Java count: connecting, and a request. */
const CONNECT_TIMEOUT_MS = 3_000;
const CALL_TIMEOUT_MS = 15_000;
const FETCH_WAIT_MS = 200;

export interface SeenRecord {
  readonly offset: number;
  readonly key: string;
  readonly value: string;
}

export interface FetchAnswer {
  readonly errorCode: number;
  readonly highWatermark: number;
  /** -1: not told. */
  readonly logStartOffset: number;
  readonly records: readonly SeenRecord[];
  /** Behind the last batch, which may be empty where records were superseded. */
  readonly nextOffset: number;
  /** Of all whole batches. */
  readonly bytes: number;
}

/** A client on a host of its own: finds leaders by metadata, and looks anew whenever something went wrong. */
export class ClusterClient {
  readonly name: string;
  readonly random: SimRandom;
  readonly #world: ClusterWorld;
  readonly #connections = new Map<string, Promise<KafkaClient>>();
  /** For whom a run did not end: the last call and what came of it. */
  last = '';
  doing = '';
  #brokers = new Map<number, Address>();
  #leaders = new Map<string, number>();

  constructor(world: ClusterWorld, name: string) {
    this.#world = world;
    this.name = name;
    this.random = world.random.fork();
  }

  pause(longestMs: number): Promise<void> {
    return this.#world.clock.sleep(this.random.between(1, longestMs));
  }

  /** Undefined: no answer; it may have happened. */
  async produce(
    topic: string,
    index: number,
    records: Uint8Array,
  ): Promise<{ readonly errorCode: number; readonly baseOffset: number } | undefined> {
    const address = await this.leaderOf(topic, index);
    if (address === undefined) return undefined;
    const topicData = [{ name: topic, partitionData: [{ index, records }] }];
    const answer = await this.call(address, Produce, 9, { acks: -1, timeoutMs: 10_000, topicData });
    const row = answer?.responses[0]?.partitionResponses[0];
    if (row?.errorCode !== NONE) this.forget(topic, index);
    if (row !== undefined) this.last = `produce ${topic}-${index} to ${address.host}: ${row.errorCode}`;
    return row;
  }

  async fetch(topic: string, partition: number, fetchOffset: number): Promise<FetchAnswer | undefined> {
    const address = await this.leaderOf(topic, partition);
    if (address === undefined) return undefined;
    const answer = await this.call(address, Fetch, 11, {
      maxWaitMs: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: 1024 * 1024,
      topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: 64 * 1024 }] }],
    });
    const row = answer?.responses[0]?.partitions[0];
    if (row?.errorCode !== NONE) this.forget(topic, partition);
    if (row === undefined) return undefined;
    this.last = `fetch ${topic}-${partition} from ${address.host}: ${row.errorCode}`;
    const records: SeenRecord[] = [];
    let nextOffset = fetchOffset;
    let bytes = 0;
    for (const batch of wholeBatches(row.records ?? new Uint8Array(0))) {
      nextOffset = batch.lastOffset + 1;
      bytes += batch.sizeBytes;
      const reader = recordsOf(batch);
      while (reader.next()) {
        if (reader.offset < fetchOffset) continue;
        const [key, value] = [textOf(reader.key), textOf(reader.value)];
        records.push({ offset: reader.offset, key, value });
      }
    }
    const { errorCode, highWatermark, logStartOffset } = row;
    return { errorCode, highWatermark, logStartOffset, records, nextOffset, bytes };
  }

  async initProducerId(): Promise<number | undefined> {
    const body = { transactionalId: null, transactionTimeoutMs: 60_000 };
    const answer = await this.call(this.anyBroker(), InitProducerId, 4, body);
    return answer?.errorCode === NONE ? answer.producerId : undefined;
  }

  close(): void {
    for (const pending of this.#connections.values()) {
      pending.then(
        (client) => client.destroy(),
        () => undefined,
      );
    }
    this.#connections.clear();
  }

  async leaderOf(topic: string, partition: number): Promise<Address | undefined> {
    const key = `${topic}/${partition}`;
    if (!this.#leaders.has(key)) await this.#refresh(topic);
    const address = this.#brokers.get(this.#leaders.get(key) ?? -1);
    // It leads and does not serve: perhaps it is another one the next time.
    if (address === undefined) this.forget(topic, partition);
    return address;
  }

  async #refresh(topic: string): Promise<void> {
    const answer = await this.call(this.anyBroker(), Metadata, 9, {
      topics: [{ name: topic }],
      allowAutoTopicCreation: false,
    });
    if (answer === undefined) return;
    this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex, leaderId, errorCode } of partitions) {
        if (errorCode === NONE && leaderId >= 0)
          this.#leaders.set(`${name ?? ''}/${partitionIndex}`, leaderId);
      }
    }
  }

  forget(topic: string, partition: number): void {
    this.#leaders.delete(`${topic}/${partition}`);
  }

  anyBroker(): Address {
    const { machines } = this.#world;
    const host = machines[this.random.below(machines.length)]?.host ?? 'node-1';
    return { host, port: KAFKA_PORT };
  }

  async call<Req extends Fields, Res extends Fields>(
    address: Address,
    api: readonly [Message<Req>, Message<Res>],
    version: number,
    body: EncodableFields<Req>,
  ): Promise<DecodedFields<Res> | undefined> {
    const late = Promise.withResolvers<undefined>();
    const timer = this.#world.clock.timer(CALL_TIMEOUT_MS, () => late.resolve(undefined));
    const connection = this.#connection(address);
    try {
      this.doing = `connecting to ${address.host} for ${api[0].name} since ${this.#world.clock.monotonicMs()}`;
      const client = await connection;
      this.doing = `calling ${address.host} for ${api[0].name} since ${this.#world.clock.monotonicMs()}`;
      const answer = await Promise.race([client.call(api, version, body), late.promise]);
      if (answer !== undefined) return answer;
      client.destroy();
    } catch {
      // The connection could not be made, or broke.
    } finally {
      this.doing = 'idle';
      timer.cancel();
    }
    this.last = `${api[0].name} to ${address.host}: no answer`;
    const key = `${address.host}:${address.port}`;
    if (this.#connections.get(key) === connection) this.#connections.delete(key);
    return undefined;
  }

  #connection(address: Address): Promise<KafkaClient> {
    const key = `${address.host}:${address.port}`;
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    const { network } = this.#world;
    const node = network.node(`client-${this.name}`);
    const limited = {
      listen: node.listen.bind(node),
      connect: (...[to, accept]: Parameters<typeof node.connect>) =>
        node.connect(to, accept, { timeoutMs: CONNECT_TIMEOUT_MS }),
    };
    const opened = KafkaClient.connect(limited, address, this.name);
    this.#connections.set(key, opened);
    opened.then(
      (client) =>
        void client.gone.then(() => this.#connections.get(key) === opened && this.#connections.delete(key)),
      () => undefined,
    );
    return opened;
  }
}

function textOf(bytes: Uint8Array | null): string {
  return Buffer.from(bytes ?? []).toString('latin1');
}
