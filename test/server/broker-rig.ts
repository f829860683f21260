import { exclusiveVolumes } from '../../broker-runtime/src/broker/exclusive-volume.ts';
import { Broker } from '../../broker-runtime/src/broker.ts';
import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../broker-runtime/src/wire/messages/create-topics.ts';
import { FetchRequest, FetchResponse } from '../../broker-runtime/src/wire/messages/fetch.ts';
import { MetadataRequest, MetadataResponse } from '../../broker-runtime/src/wire/messages/metadata.ts';
import { ProduceRequest, ProduceResponse } from '../../broker-runtime/src/wire/messages/produce.ts';
import { type NewBatch, buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { wholeBatches } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { recordsOf } from '../../broker-runtime/src/wire/records/read-records.ts';
import type { Decoded, Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { KafkaClient } from '../simulation/world/kafka-client.ts';
import { MemoryObjectStore, SimBucket } from '../simulation/world/memory-object-store.ts';
import { SimDisk } from '../simulation/world/sim-block-device.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { SimNetwork } from '../simulation/world/sim-network.ts';

export const MIB = 1024 * 1024;

export const Produce = [ProduceRequest, ProduceResponse] as const;
export const Fetch = [FetchRequest, FetchResponse] as const;
export const Metadata = [MetadataRequest, MetadataResponse] as const;
export const CreateTopics = [CreateTopicsRequest, CreateTopicsResponse] as const;

/** A whole broker in a simulated world, with a client connected to it. */
export interface BrokerRig {
  readonly env: SimEnv;
  readonly network: SimNetwork;
  readonly disk: SimDisk;
  readonly objects: MemoryObjectStore;
  readonly broker: Broker;
  readonly client: KafkaClient;
  connect(clientId?: string | null): Promise<KafkaClient>;
  /** Lets simulated time pass until the work is done. */
  run<T>(work: Promise<T>): Promise<T>;
  /** Creates a topic. @returns its id */
  topic(name: string, options?: { partitions?: number; configs?: Record<string, string> }): Promise<string>;
  close(): Promise<void>;
}

/** A broker that joined the one of a rig. */
export interface JoinedBroker {
  readonly broker: Broker;
  readonly client: KafkaClient;
  close(): Promise<void>;
}

/** One more broker in the same cluster and simulation. */
export async function joinBroker(
  rig: BrokerRig,
  nodeId: number,
  options: { readonly advertisedHost?: string } = {},
): Promise<JoinedBroker> {
  const { env, network, objects } = rig;
  const run = <T>(work: Promise<T>): Promise<T> => rig.run(work);
  const disk = new SimDisk({ capacityBytes: 64 * MIB, clock: env.clock, random: env.random.fork() });
  const firstPort = 9092 + 2 * nodeId;
  const broker = await run(
    Broker.start(
      { env, network, objects, volumes: exclusiveVolumes([disk.open()]) },
      {
        nodeId,
        listen: { host: '127.0.0.1', port: firstPort },
        internalListen: { host: '127.0.0.1', port: firstPort + 1 },
        zone: `zone-${nodeId}`,
        memoryBytes: 128 * MIB,
        settings: {},
        ...options,
      },
    ),
  );
  const client = await run(KafkaClient.connect(network, broker.address));
  return {
    broker,
    client,
    close: async () => {
      client.destroy();
      await run(broker.close());
    },
  };
}

export async function startBroker(
  settings: Record<string, string> = {},
  seed = 1,
  walBytes = 64 * MIB,
): Promise<BrokerRig> {
  const env = simEnv(seed);
  const network = new SimNetwork(env.clock, env.random.fork());
  const objects = new MemoryObjectStore(env.clock, new SimBucket());
  const disk = new SimDisk({ capacityBytes: walBytes, clock: env.clock, random: env.random.fork() });
  const run = <T>(work: Promise<T>): Promise<T> => env.clock.run(work);
  const broker = await run(
    Broker.start(
      { env, network, objects, volumes: exclusiveVolumes([disk.open()]) },
      {
        nodeId: 1,
        listen: { host: '127.0.0.1', port: 9092 },
        internalListen: { host: '127.0.0.1', port: 9093 },
        zone: 'zone-a',
        memoryBytes: 128 * MIB,
        settings,
      },
    ),
  );
  const connect = (clientId: string | null = 'test'): Promise<KafkaClient> =>
    run(KafkaClient.connect(network, broker.address, clientId));
  const client = await connect();
  return {
    env,
    network,
    disk,
    objects,
    broker,
    client,
    connect,
    run,
    topic: async (name, { partitions = 1, configs = {} } = {}) => {
      const { topics } = await run(
        client.call(CreateTopics, 7, {
          topics: [
            {
              name,
              numPartitions: partitions,
              replicationFactor: 1,
              assignments: [],
              configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
            },
          ],
        }),
      );
      const created = topics[0];
      if (created?.errorCode !== 0) throw new Error(`${name} was not created: ${created?.errorMessage}`);
      return created.topicId;
    },
    close: async () => {
      client.destroy();
      await run(broker.close());
    },
  };
}

/** A batch as a producer sends it. */
export function batchOf(
  values: readonly string[],
  options: Partial<Omit<NewBatch, 'records' | 'baseOffset'>> & {
    timestampMs?: number;
    key?: string | null;
  } = {},
): Uint8Array {
  const { timestampMs = 1_767_225_600_000, key = 'key', ...rest } = options;
  return buildBatch({
    ...rest,
    baseOffset: 0,
    records: values.map((value, offset) => ({
      offset,
      timestampMs,
      key: key === null ? null : Buffer.from(key),
      value: Buffer.from(value),
    })),
  });
}

export type ProduceBody = Encodable<typeof ProduceRequest>;

/** A produce request with one batch for one partition. */
export function produceTo(name: string, bytes: Uint8Array | null, index = 0, acks = -1): ProduceBody {
  return { acks, timeoutMs: 30_000, topicData: [{ name, partitionData: [{ index, records: bytes }] }] };
}

/** Its first partition's answer. */
export function producedRow(
  response: Decoded<typeof ProduceResponse>,
): Decoded<typeof ProduceResponse>['responses'][number]['partitionResponses'][number] {
  const row = response.responses[0]?.partitionResponses[0];
  if (row === undefined) throw new Error('the produce response is empty');
  return row;
}

export type FetchBody = Encodable<typeof FetchRequest>;

/** A fetch of one partition; overrides change the request, or the partition. */
export function fetchFrom(
  topic: string,
  fetchOffset: number,
  request: Partial<FetchBody> = {},
  partition: Partial<FetchBody['topics'][number]['partitions'][number]> = {},
): FetchBody {
  return {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 50 * MIB,
    topics: [{ topic, partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: MIB, ...partition }] }],
    ...request,
  };
}

export type FetchedRow = Decoded<typeof FetchResponse>['responses'][number]['partitions'][number];

export function fetchedRow(
  response: Decoded<typeof FetchResponse>,
  topicAt = 0,
  partitionAt = 0,
): FetchedRow {
  const row = response.responses[topicAt]?.partitions[partitionAt];
  if (row === undefined) throw new Error('the fetch response is empty');
  return row;
}

/** "offset:value" of every record. */
export function recordsIn(records: Uint8Array | null): string[] {
  const seen: string[] = [];
  for (const batch of wholeBatches(records ?? new Uint8Array(0))) {
    const reader = recordsOf(batch);
    while (reader.next()) {
      seen.push(`${reader.offset}:${reader.value === null ? 'null' : Buffer.from(reader.value).toString()}`);
    }
  }
  return seen;
}
