import { createRequire } from 'node:module';
import { describe, expect, test } from '@jest/globals';
import {
  Reader,
  type Writer,
  createTopicsV7,
  fetchV17,
  joinGroupV9,
  metadataV12,
  offsetCommitV9,
  produceV11,
} from '@platformatic/kafka';
import { MessageReader, decodeMessage, joinPieces } from '../../broker-runtime/src/wire/codec.ts';
import { decodeRequest, encodeResponse } from '../../broker-runtime/src/wire/headers.ts';
import { CreateTopicsRequest } from '../../broker-runtime/src/wire/messages/create-topics.ts';
import { FetchResponse } from '../../broker-runtime/src/wire/messages/fetch.ts';
import { JoinGroupRequest } from '../../broker-runtime/src/wire/messages/join-group.ts';
import { MetadataRequest, MetadataResponse } from '../../broker-runtime/src/wire/messages/metadata.ts';
import { OffsetCommitRequest } from '../../broker-runtime/src/wire/messages/offset-commit.ts';
import { ProduceRequest } from '../../broker-runtime/src/wire/messages/produce.ts';
import type {
  DecodedFields,
  EncodableFields,
  Fields,
  Message,
} from '../../broker-runtime/src/wire/schema.ts';
import { BatchHeader, CompressionType } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { buildBatch } from '../../broker-runtime/src/wire/records/build-batch.ts';
import { recordsOf } from '../../broker-runtime/src/wire/records/read-records.ts';
import { checkBatch } from '../../broker-runtime/src/wire/records/validate-batch.ts';

/**
 * The encoders and decoders of two JavaScript clients, written by others from Kafka's documentation, judge ours:
 * kafkajs the versions without tagged fields, @platformatic/kafka those with them.
 */
const NOW_MS = 1_700_000_000_000;

const kafkajs = createRequire(import.meta.url);
interface KafkaJsRequest {
  readonly apiKey: number;
}
type KafkaJsFrame = (call: { correlationId: number; clientId: string; request: KafkaJsRequest }) => Promise<{
  readonly buffer: Buffer;
}>;

async function fromKafkaJs<F extends Fields>(
  table: Message<F>,
  requestPath: string,
  args: unknown,
): Promise<DecodedFields<F>> {
  const frame = kafkajs('kafkajs/src/protocol/request') as KafkaJsFrame;
  const build = kafkajs(`kafkajs/src/protocol/requests/${requestPath}/request`) as (
    args: unknown,
  ) => KafkaJsRequest;
  const { buffer } = await frame({ correlationId: 3, clientId: 'js', request: build(args) });
  expect(buffer.readInt32BE(0)).toBe(buffer.length - 4);
  const decoded = decodeRequest(table, buffer.subarray(4));
  expect(decoded.header).toMatchObject({ correlationId: 3, clientId: 'js' });
  return decoded.body;
}

function toKafkaJs(responsePath: string, frame: Buffer): Promise<unknown> {
  const { decode } = kafkajs(`kafkajs/src/protocol/requests/${responsePath}/response`) as {
    decode: (body: Buffer) => Promise<unknown>;
  };
  return decode(frame.subarray(8));
}

function fromPlatformatic<F extends Fields>(
  table: Message<F>,
  version: number,
  sent: Writer,
): DecodedFields<F> {
  const reader = new MessageReader(sent.buffer);
  const decoded = decodeMessage(table, version, reader);
  expect(reader.remaining).toBe(0);
  return decoded;
}

function frameOf<F extends Fields>(table: Message<F>, version: number, answer: EncodableFields<F>): Buffer {
  const { pieces, sizeBytes } = encodeResponse(table, version, 1, answer);
  return Buffer.from(joinPieces(pieces, sizeBytes));
}

const batch = buildBatch({
  records: [10, 11, 12].map((offset) => ({
    offset,
    timestampMs: NOW_MS + offset,
    key: Buffer.from(`k${offset}`),
    value: Buffer.from('v'.repeat(300)),
    headers: [{ key: 'h', value: Buffer.from('x') }],
  })),
  compression: CompressionType.gzip,
});

describe('kafkajs', () => {
  test('Produce 7 with a gzip batch', async () => {
    const messages = [
      { key: 'a', value: 'one', timestamp: NOW_MS, headers: { h: 'x' } },
      { key: null, value: null, timestamp: NOW_MS + 5 },
    ];
    const { Types } = kafkajs('kafkajs/src/protocol/message/compression') as { Types: { GZIP: number } };
    const request = await fromKafkaJs(ProduceRequest, 'produce/v7', {
      acks: -1,
      timeout: 30_000,
      compression: Types.GZIP,
      topicData: [{ topic: 'tö', partitions: [{ partition: 2, firstSequence: 0, messages }] }],
    });
    expect(request).toMatchObject({ acks: -1, timeoutMs: 30_000, transactionalId: null });
    expect(request.topicData[0]).toMatchObject({ name: 'tö', partitionData: [{ index: 2 }] });
    const sent = request.topicData[0]?.partitionData[0]?.records ?? new Uint8Array(0);
    expect(checkBatch(sent)).toBeUndefined();
    const cursor = recordsOf(new BatchHeader(sent));
    expect(cursor.next()).toBe(true);
    expect([cursor.offset, cursor.timestampMs, Buffer.from(cursor.value ?? []).toString()]).toEqual([
      0,
      NOW_MS,
      'one',
    ]);
    expect(cursor.headers()).toEqual([{ key: 'h', value: Buffer.from('x') }]);
    expect(cursor.next()).toBe(true);
    expect([cursor.timestampMs, cursor.hasKey, cursor.hasValue]).toEqual([NOW_MS + 5, false, false]);
    expect(cursor.next()).toBe(false);
  });

  test('Metadata 6, JoinGroup 5, OffsetCommit 5 and CreateTopics 3 requests', async () => {
    expect(
      await fromKafkaJs(MetadataRequest, 'metadata/v6', { topics: ['a'], allowAutoTopicCreation: false }),
    ).toMatchObject({ topics: [{ name: 'a' }], allowAutoTopicCreation: false });
    const join = {
      groupId: 'g',
      sessionTimeout: 1,
      rebalanceTimeout: 2,
      memberId: 'm',
      protocolType: 'consumer',
      groupProtocols: [{ name: 'p', metadata: Buffer.from('meta') }],
    };
    expect(await fromKafkaJs(JoinGroupRequest, 'joinGroup/v5', join)).toMatchObject({
      sessionTimeoutMs: 1,
      rebalanceTimeoutMs: 2,
      groupInstanceId: null,
      protocols: [{ name: 'p', metadata: Buffer.from('meta') }],
    });
    const commit = {
      groupId: 'g',
      groupGenerationId: 4,
      memberId: 'm',
      topics: [{ topic: 't', partitions: [{ partition: 1, offset: '5000000000', metadata: 'x' }] }],
    };
    expect(await fromKafkaJs(OffsetCommitRequest, 'offsetCommit/v5', commit)).toMatchObject({
      generationIdOrMemberEpoch: 4,
      topics: [
        {
          name: 't',
          partitions: [{ partitionIndex: 1, committedOffset: 5_000_000_000, committedMetadata: 'x' }],
        },
      ],
    });
    const topic = {
      topic: 't',
      numPartitions: 3,
      replicationFactor: 1,
      configEntries: [{ name: 'a', value: 'b' }],
    };
    expect(
      await fromKafkaJs(CreateTopicsRequest, 'createTopics/v3', {
        topics: [topic],
        timeout: 9,
        validateOnly: true,
      }),
    ).toMatchObject({
      topics: [{ name: 't', numPartitions: 3, configs: [{ name: 'a', value: 'b' }] }],
      timeoutMs: 9,
      validateOnly: true,
    });
  });

  test('reads a Fetch 11 response with a compressed batch', async () => {
    const partition = {
      partitionIndex: 2,
      errorCode: 0,
      highWatermark: 13,
      abortedTransactions: [],
      records: [batch],
    };
    const frame = frameOf(FetchResponse, 11, { responses: [{ topic: 't', partitions: [partition] }] });
    expect(await toKafkaJs('fetch/v11', frame)).toMatchObject({
      errorCode: 0,
      responses: [
        {
          topicName: 't',
          partitions: [
            {
              partition: 2,
              highWatermark: '13',
              messages: [10, 11, 12].map((offset) => ({
                offset: String(offset),
                timestamp: String(NOW_MS + offset),
                key: Buffer.from(`k${offset}`),
              })),
            },
          ],
        },
      ],
    });
  });

  test('reads a Metadata 6 response', async () => {
    const frame = frameOf(MetadataResponse, 6, {
      brokers: [{ nodeId: 1, host: 'h', port: 9092, rack: 'r' }],
      clusterId: 'c',
      controllerId: 1,
      topics: [
        {
          errorCode: 0,
          name: 't',
          partitions: [{ errorCode: 0, partitionIndex: 0, leaderId: 1, replicaNodes: [1], isrNodes: [1] }],
        },
      ].map((topic) => ({
        ...topic,
        partitions: topic.partitions.map((partition) => ({ ...partition, offlineReplicas: [] })),
      })),
    });
    expect(await toKafkaJs('metadata/v6', frame)).toMatchObject({
      brokers: [{ nodeId: 1, host: 'h', port: 9092, rack: 'r' }],
      clusterId: 'c',
      controllerId: 1,
      topicMetadata: [
        { topic: 't', partitionMetadata: [{ partitionId: 0, leader: 1, replicas: [1], isr: [1] }] },
      ],
    });
  });
});

describe('@platformatic/kafka', () => {
  test.each(['none', 'snappy', 'lz4', 'zstd'] as const)('Produce 11 with a batch of %s', (compression) => {
    const message = { topic: 't', partition: 1, key: Buffer.from('k'), value: Buffer.from('v'.repeat(999)) };
    const request = fromPlatformatic(
      ProduceRequest,
      11,
      produceV11.createRequest(-1, 5, [message], { compression }),
    );
    expect(request).toMatchObject({
      acks: -1,
      timeoutMs: 5,
      topicData: [{ name: 't', partitionData: [{ index: 1 }] }],
    });
    const sent = request.topicData[0]?.partitionData[0]?.records ?? new Uint8Array(0);
    expect(checkBatch(sent)).toBeUndefined();
    expect(new BatchHeader(sent).compression).toBe(CompressionType[compression]);
    const cursor = recordsOf(new BatchHeader(sent));
    expect(cursor.next()).toBe(true);
    expect(Buffer.from(cursor.value ?? [])).toEqual(message.value);
    expect(cursor.next()).toBe(false);
  });

  test('Metadata 12, JoinGroup 9, OffsetCommit 9 and CreateTopics 7 requests', () => {
    expect(
      fromPlatformatic(MetadataRequest, 12, metadataV12.createRequest(['a'], false, true)),
    ).toMatchObject({
      topics: [{ name: 'a', topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }],
      allowAutoTopicCreation: false,
      includeTopicAuthorizedOperations: true,
    });
    expect(fromPlatformatic(MetadataRequest, 12, metadataV12.createRequest(null)).topics).toBeNull();
    const protocols = [{ name: 'p', metadata: Buffer.from('meta') }];
    expect(
      fromPlatformatic(
        JoinGroupRequest,
        9,
        joinGroupV9.createRequest('g', 1, 2, 'm', null, 'consumer', protocols, 'why'),
      ),
    ).toMatchObject({ sessionTimeoutMs: 1, groupInstanceId: null, protocols, reason: 'why' });
    const partition = {
      partitionIndex: 1,
      committedOffset: 5n,
      committedLeaderEpoch: 3,
      committedMetadata: 'x',
    };
    const commits = [{ name: 't', partitions: [partition] }];
    expect(
      fromPlatformatic(OffsetCommitRequest, 9, offsetCommitV9.createRequest('g', 4, 'm', null, commits)),
    ).toMatchObject({
      topics: [{ name: 't', partitions: [{ ...partition, committedOffset: 5 }] }],
    });
    const topic = { name: 't', numPartitions: 3, replicationFactor: 1, assignments: [], configs: [] };
    expect(fromPlatformatic(CreateTopicsRequest, 7, createTopicsV7.createRequest([topic], 9, true))).toEqual({
      topics: [topic],
      timeoutMs: 9,
      validateOnly: true,
    });
  });

  test('reads a Fetch 17 response with a compressed batch and tagged fields', () => {
    const frame = frameOf(FetchResponse, 17, {
      responses: [
        {
          topicId: 'BBBBBBBBBBBBBBBBBBBBBA',
          partitions: [
            {
              partitionIndex: 2,
              errorCode: 0,
              highWatermark: 13,
              currentLeader: { leaderId: 4, leaderEpoch: 5 },
              abortedTransactions: [{ producerId: 6, firstOffset: 7 }],
              records: [batch],
            },
          ],
        },
      ],
      nodeEndpoints: [{ nodeId: 4, host: 'h', port: 1, rack: null }],
    });
    const bodyAt = 4 + 4 + 1;
    expect(fetchV17.parseResponse(1, 1, 17, Reader.from(frame.subarray(bodyAt)))).toMatchObject({
      responses: [
        {
          partitions: [
            {
              partitionIndex: 2,
              highWatermark: 13n,
              currentLeader: { leaderId: 4, leaderEpoch: 5 },
              abortedTransactions: [{ producerId: 6n, firstOffset: 7n }],
              records: [
                { firstOffset: 10n, records: [{ offsetDelta: 0 }, { offsetDelta: 1 }, { offsetDelta: 2 }] },
              ],
            },
          ],
        },
      ],
    });
  });
});
