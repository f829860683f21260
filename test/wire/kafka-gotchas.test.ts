import { describe, expect, test } from '@jest/globals';
import { ApiKey } from '../../broker-runtime/src/wire/api-keys.ts';
import {
  DecodeError,
  EncodeError,
  MessageReader,
  MessageWriter,
  decodeMessage,
  decodeVersioned,
  encodeMessage,
  encodeVersioned,
  joinPieces,
  versionOf,
} from '../../broker-runtime/src/wire/codec.ts';
import { Errors, errorName, isRetriable } from '../../broker-runtime/src/wire/errors.ts';
import {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  readRequestHeader,
} from '../../broker-runtime/src/wire/headers.ts';
import {
  ApiVersionsRequest,
  ApiVersionsResponse,
} from '../../broker-runtime/src/wire/messages/api-versions.ts';
import { ConsumerProtocolSubscription } from '../../broker-runtime/src/wire/messages/consumer-protocol.ts';
import { CreateTopicsRequest } from '../../broker-runtime/src/wire/messages/create-topics.ts';
import { DescribeTopicPartitionsRequest } from '../../broker-runtime/src/wire/messages/describe-topic-partitions.ts';
import { FetchRequest, FetchResponse } from '../../broker-runtime/src/wire/messages/fetch.ts';
import { GroupMetadataKey, OffsetCommitKey } from '../../broker-runtime/src/wire/messages/group-records.ts';
import { HeartbeatRequest } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { JoinGroupRequest } from '../../broker-runtime/src/wire/messages/join-group.ts';
import { ListOffsetsResponse } from '../../broker-runtime/src/wire/messages/list-offsets.ts';
import { MetadataRequest, MetadataResponse } from '../../broker-runtime/src/wire/messages/metadata.ts';
import { OffsetFetchRequest } from '../../broker-runtime/src/wire/messages/offset-fetch.ts';
import { ProduceRequest, ProduceResponse } from '../../broker-runtime/src/wire/messages/produce.ts';
import type { EncodableFields, Fields, Message } from '../../broker-runtime/src/wire/schema.ts';

function body<F extends Fields>(table: Message<F>, version: number, value: EncodableFields<F>): string {
  const writer = new MessageWriter();
  encodeMessage(table, version, writer, value);
  const { pieces, sizeBytes } = writer.finish();
  return Buffer.from(joinPieces(pieces, sizeBytes)).toString('hex');
}

function decode<F extends Fields>(table: Message<F>, version: number, hex: string) {
  return decodeMessage(table, version, new MessageReader(Buffer.from(hex.replaceAll(' ', ''), 'hex')));
}

function frameHex(frame: { readonly pieces: readonly Uint8Array[] }): string {
  return frame.pieces.map((piece) => Buffer.from(piece).toString('hex')).join('');
}

describe('headers', () => {
  const member = { groupId: 'g', generationId: 1, memberId: 'm' };

  test('the client id of header version 2 has an int16 length, followed by tags', () => {
    const frame = encodeRequest(HeartbeatRequest, 4, { correlationId: 5, clientId: 'ab' }, member);
    // size, key 12, version 4, correlation 5, length 2 'ab', no tags; compact 'g', 1, compact 'm', null, no tags
    expect(frameHex(frame)).toBe(
      '00000017' + '000c000400000005' + '00026162' + '00' + '0267000000010' + '26d0000',
    );
  });

  test('header version 1 has no tags, and a client id may be null', () => {
    const frame = encodeRequest(HeartbeatRequest, 3, { correlationId: 5, clientId: null }, member);
    expect(frameHex(frame).slice(8, 28)).toBe('000c000300000005ffff');
    const decoded = decodeRequest(HeartbeatRequest, Buffer.from(frameHex(frame).slice(8), 'hex'));
    expect(decoded.header).toEqual({ apiKey: 12, apiVersion: 3, correlationId: 5, clientId: null });
    expect(decoded.body).toEqual({ ...member, groupInstanceId: null });
  });

  test('tags of a newer client in the header are skipped', () => {
    const reader = new MessageReader(Buffer.from('000c0004000000050001610105' + '03aabbcc', 'hex'));
    expect(readRequestHeader(reader)).toMatchObject({ clientId: 'a' });
    expect(reader.remaining).toBe(0);
  });

  test('an unknown api key has no header that could be read', () => {
    expect(readRequestHeader(new MessageReader(Buffer.from('03e7000000000001ffff', 'hex')))).toBeUndefined();
  });

  test('an ApiVersions request of an unknown version still has a readable header', () => {
    const reader = new MessageReader(Buffer.from('0012006300000007000161' + '00' + 'ffff', 'hex'));
    expect(readRequestHeader(reader)).toEqual({
      apiKey: ApiKey.ApiVersions,
      apiVersion: 99,
      correlationId: 7,
      clientId: 'a',
    });
  });

  test('flexible responses have a tag section in the header, ApiVersions never has', () => {
    expect(frameHex(encodeResponse(ListOffsetsResponse, 6, 7, { topics: [] }))).toBe(
      '0000000b' + '00000007' + '00' + '00000000' + '01' + '00',
    );
    expect(frameHex(encodeResponse(ApiVersionsResponse, 3, 7, { errorCode: 0, apiKeys: [] }))).toBe(
      '0000000c' + '00000007' + '0000' + '01' + '00000000' + '00',
    );
  });

  test('the size in front counts spliced records too', () => {
    const records = [new Uint8Array(600).fill(1), new Uint8Array(700).fill(2), new Uint8Array(3).fill(3)];
    const frame = encodeResponse(FetchResponse, 12, 1, {
      responses: [
        { topic: 't', partitions: [{ partitionIndex: 0, errorCode: 0, highWatermark: 0, records }] },
      ],
    });
    const all = joinPieces(frame.pieces, frame.sizeBytes);
    expect(Buffer.from(all).readInt32BE(0)).toBe(all.length - 4);
    const decoded = decodeResponse(FetchResponse, 12, all.subarray(4));
    expect(decoded.body.responses[0]?.partitions[0]?.records).toHaveLength(1303);
  });

  test('records of some size are spliced in, not copied; small ones are copied', () => {
    const large = new Uint8Array(4096);
    const frame = encodeResponse(FetchResponse, 4, 1, {
      responses: [
        {
          topic: 't',
          partitions: [
            { partitionIndex: 0, errorCode: 0, highWatermark: 0, records: [large, new Uint8Array(9)] },
          ],
        },
      ],
    });
    expect(frame.pieces).toHaveLength(3);
    expect(frame.pieces[1]).toBe(large);
  });
});

describe('ApiVersions', () => {
  test('an unsupported version is answered in the layout of version 0, with error 35', () => {
    const answer = encodeResponse(ApiVersionsResponse, 0, 9, {
      errorCode: Errors.UNSUPPORTED_VERSION,
      apiKeys: [{ apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: 4 }],
    });
    expect(frameHex(answer)).toBe('00000010' + '00000009' + '0023' + '00000001' + '001200000004');
  });

  test('the software of a client is read from version 3 on', () => {
    const frame = encodeRequest(
      ApiVersionsRequest,
      3,
      { correlationId: 1, clientId: 'c' },
      { clientSoftwareName: 'lib', clientSoftwareVersion: '1.0' },
    );
    expect(
      decodeRequest(ApiVersionsRequest, joinPieces(frame.pieces, frame.sizeBytes).subarray(4)).body,
    ).toEqual({
      clientSoftwareName: 'lib',
      clientSoftwareVersion: '1.0',
    });
  });

  test('tagged features are written in ascending order and only when set', () => {
    const features = { finalizedFeaturesEpoch: 3, zkMigrationReady: true };
    const hex = body(ApiVersionsResponse, 3, { errorCode: 0, apiKeys: [], ...features });
    // error, no keys, throttle, 2 tags: tag 1 epoch (8 bytes), tag 3 migration (1 byte)
    expect(hex).toBe('0000' + '01' + '00000000' + '02' + '0108' + '0000000000000003' + '0301' + '01');
  });
});

describe('null is not empty', () => {
  test('Metadata topics: null is all topics, an empty list is none', () => {
    expect(body(MetadataRequest, 1, { topics: null })).toBe('ffffffff');
    expect(body(MetadataRequest, 1, { topics: [] })).toBe('00000000');
    expect(decode(MetadataRequest, 9, '00 01 00 00 00').topics).toBeNull();
    expect(decode(MetadataRequest, 9, '01 01 00 00 00').topics).toEqual([]);
  });

  test('Metadata version 0 has no null: an empty list stands for all topics there', () => {
    expect(() => body(MetadataRequest, 0, { topics: null })).toThrow(EncodeError);
    expect(() => decode(MetadataRequest, 0, 'ffffffff')).toThrow(DecodeError);
  });

  test('Fetch aborted transactions and records keep null and empty apart', () => {
    const partition = { partitionIndex: 0, errorCode: 0, highWatermark: 0 };
    for (const version of [4, 12]) {
      for (const empty of [null, []]) {
        const records = empty === null ? null : new Uint8Array(0);
        const frame = encodeResponse(FetchResponse, version, 0, {
          responses: [{ topic: 't', partitions: [{ ...partition, abortedTransactions: empty, records }] }],
        });
        const decoded = decodeResponse(
          FetchResponse,
          version,
          joinPieces(frame.pieces, frame.sizeBytes).subarray(4),
        );
        const answer = decoded.body.responses[0]?.partitions[0];
        expect([answer?.abortedTransactions, answer?.records]).toEqual([empty, records]);
      }
    }
  });

  test('OffsetFetch topics: null is all, from version 2 on', () => {
    expect(decode(OffsetFetchRequest, 2, '000167 ffffffff').topics).toBeNull();
    expect(() => decode(OffsetFetchRequest, 1, '000167 ffffffff')).toThrow(DecodeError);
  });

  test('a nullable struct is a byte, -1 or 1, before its fields', () => {
    const none = { topics: [], cursor: null };
    expect(body(DescribeTopicPartitionsRequest, 0, none)).toBe('01' + '000007d0' + 'ff' + '00');
    const some = { topics: [], cursor: { topicName: 'a', partitionIndex: 2 } };
    expect(body(DescribeTopicPartitionsRequest, 0, some)).toBe(
      '01' + '000007d0' + '01' + '0261' + '00000002' + '00' + '00',
    );
  });
});

describe('fields and versions', () => {
  test('a field the version lacks is an error when set, unless it may be ignored', () => {
    const group = { groupId: 'g', generationId: 1, memberId: 'm' };
    expect(() => body(HeartbeatRequest, 2, { ...group, groupInstanceId: 'i' })).toThrow(EncodeError);
    expect(body(HeartbeatRequest, 2, { ...group, groupInstanceId: null })).toBe(
      body(HeartbeatRequest, 2, group),
    );
    const join = { groupId: 'g', sessionTimeoutMs: 1, memberId: '', protocolType: 'c', protocols: [] };
    // reason (version 8 and up) is ignorable: an older broker is simply not told
    expect(body(JoinGroupRequest, 5, { ...join, reason: 'restart' })).toBe(body(JoinGroupRequest, 5, join));
  });

  test('the default differs from zero: Fetch MaxBytes and CreateTopics numPartitions', () => {
    const fetch = { maxWaitMs: 0, minBytes: 0, topics: [] };
    expect(decode(FetchRequest, 4, body(FetchRequest, 4, fetch)).maxBytes).toBe(0x7fff_ffff);
    const topic = { name: 't', numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] };
    const decoded = decode(CreateTopicsRequest, 5, body(CreateTopicsRequest, 5, { topics: [topic] }));
    expect(decoded).toEqual({ topics: [topic], timeoutMs: 60_000, validateOnly: false });
  });

  test('the largest int64 of Kafka survives as 2^63', () => {
    const partition = { partition: 0, fetchOffset: 0, partitionMaxBytes: 0, highWatermark: 1 };
    const request = { maxWaitMs: 0, minBytes: 0, topics: [{ partitions: [partition] }] };
    const decoded = decode(FetchRequest, 17, body(FetchRequest, 17, { ...request, topics: [] }));
    expect(decoded.topics).toEqual([]);
    const back = decode(FetchRequest, 18, body(FetchRequest, 18, request));
    expect(back.topics[0]?.partitions[0]?.highWatermark).toBe(1);
    const unset = { ...request, topics: [{ partitions: [{ ...partition, highWatermark: 2 ** 63 }] }] };
    expect(
      decode(FetchRequest, 18, body(FetchRequest, 18, unset)).topics[0]?.partitions[0]?.highWatermark,
    ).toBe(2 ** 63);
  });

  test('structs of one name in two messages are two structs', () => {
    // NodeEndpoint and LeaderIdAndEpoch stand in Produce and Fetch alike, each in its own versions.
    const leader = { leaderId: 4, leaderEpoch: 5 };
    const produced = decode(
      ProduceResponse,
      10,
      body(ProduceResponse, 10, {
        responses: [
          {
            name: 't',
            partitionResponses: [{ index: 0, errorCode: 6, baseOffset: -1, currentLeader: leader }],
          },
        ],
        nodeEndpoints: [{ nodeId: 4, host: 'h', port: 1, rack: null }],
      }),
    );
    expect(produced.responses[0]?.partitionResponses[0]?.currentLeader).toEqual(leader);
    expect(produced.nodeEndpoints).toEqual([{ nodeId: 4, host: 'h', port: 1, rack: null }]);
    const partition = {
      partitionIndex: 0,
      errorCode: 6,
      highWatermark: -1,
      records: null,
      currentLeader: leader,
    };
    const fetched = { responses: [{ topic: 't', partitions: [partition] }] };
    expect(() => body(FetchResponse, 11, fetched)).toThrow(EncodeError);
    expect(
      decode(FetchResponse, 12, body(FetchResponse, 12, fetched)).responses[0]?.partitions[0],
    ).toMatchObject(partition);
  });

  test('a tagged value of more than 127 bytes has a size of two', () => {
    const endpoints = Array.from({ length: 30 }, (_, index) => ({
      nodeId: index,
      host: 'broker.example',
      port: 9092,
      rack: null,
    }));
    const answer = { responses: [], nodeEndpoints: endpoints };
    expect(decode(ProduceResponse, 10, body(ProduceResponse, 10, answer)).nodeEndpoints).toEqual(endpoints);
  });

  test('numbers that do not fit are refused, never wrapped', () => {
    const group = { groupId: 'g', memberId: 'm' };
    for (const generationId of [2 ** 31, -(2 ** 31) - 1, 0.5, NaN]) {
      expect(() => body(HeartbeatRequest, 0, { ...group, generationId })).toThrow(EncodeError);
    }
    expect(() =>
      body(HeartbeatRequest, 0, { groupId: 'x'.repeat(0x8000), generationId: 0, memberId: '' }),
    ).toThrow(EncodeError);
  });

  test('a topic id that is not one is refused', () => {
    const topics = [{ topicId: 'too-short', name: null }];
    expect(() => body(MetadataRequest, 12, { topics })).toThrow(EncodeError);
    const rightLengthWrongAlphabet = [{ topicId: '*'.repeat(22), name: null }];
    expect(() => body(MetadataRequest, 12, { topics: rightLengthWrongAlphabet })).toThrow(EncodeError);
  });

  test('Metadata response: cluster operations exist only in versions 8 to 10', () => {
    const answer = { brokers: [], topics: [] };
    expect(decode(MetadataResponse, 8, body(MetadataResponse, 8, answer)).clusterAuthorizedOperations).toBe(
      -0x8000_0000,
    );
    const set = { ...answer, clusterAuthorizedOperations: 1 };
    expect(() => body(MetadataResponse, 11, set)).toThrow(EncodeError);
  });
});

describe('requests with bytes left over', () => {
  test('librdkafka leaves 3 bytes behind a Metadata request for all topics', () => {
    const reader = new MessageReader(Buffer.from('00' + '01' + '00' + '00' + '00' + '808000', 'hex'));
    expect(decodeMessage(MetadataRequest, 9, reader).topics).toBeNull();
    expect(reader.remaining).toBe(3);
  });

  test('produced records are a view of the frame, not a copy', () => {
    const records = new Uint8Array(100).fill(7);
    const request = {
      acks: -1,
      timeoutMs: 1,
      topicData: [{ name: 't', partitionData: [{ index: 0, records: [records] }] }],
    };
    const frame = Buffer.from(body(ProduceRequest, 9, request), 'hex');
    const view = decodeMessage(ProduceRequest, 9, new MessageReader(frame)).topicData[0]?.partitionData[0]
      ?.records;
    expect(view).toEqual(records);
    expect(view?.buffer).toBe(frame.buffer);
  });
});

describe('messages behind their version', () => {
  test('keys of the offsets topic tell by their version what they are about', () => {
    const offset = encodeVersioned(OffsetCommitKey, 1, { group: 'g', topic: 't', partition: 3 });
    expect(Buffer.from(offset).toString('hex')).toBe('0001' + '000167' + '000174' + '00000003');
    expect(versionOf(encodeVersioned(GroupMetadataKey, 2, { group: 'g' }))).toBe(2);
    expect(() => decodeVersioned(OffsetCommitKey, Buffer.from('0003000167', 'hex'))).toThrow(DecodeError);
  });

  test('a consumer of a newer protocol version is read as far as it is known', () => {
    const known = encodeVersioned(ConsumerProtocolSubscription, 3, { topics: ['a', 'b'], userData: null });
    const newer = Buffer.concat([Buffer.from('0009', 'hex'), known.subarray(2), Buffer.from('abcd', 'hex')]);
    expect(decodeVersioned(ConsumerProtocolSubscription, newer, { newestAtMost: true }).topics).toEqual([
      'a',
      'b',
    ]);
    expect(() => decodeVersioned(ConsumerProtocolSubscription, newer)).toThrow(DecodeError);
  });
});

describe('error codes', () => {
  test('have the numbers, names and retriability of Kafka', () => {
    expect(Errors).toMatchObject({
      UNKNOWN_SERVER_ERROR: -1,
      NONE: 0,
      NOT_LEADER_OR_FOLLOWER: 6,
      UNSUPPORTED_VERSION: 35,
      INVALID_RECORD: 87,
      UNKNOWN_TOPIC_ID: 100,
      REBOOTSTRAP_REQUIRED: 129,
    });
    expect(errorName(74)).toBe('FENCED_LEADER_EPOCH');
    expect(errorName(999)).toBe('ERROR_999');
    expect([6, 14, 51, 1, 87, 0].map(isRetriable)).toEqual([true, true, true, false, false, false]);
  });
});
