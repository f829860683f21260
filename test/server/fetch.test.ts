import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../broker-runtime/src/wire/messages/delete-records.ts';
import {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from '../../broker-runtime/src/wire/messages/delete-topics.ts';
import { FetchRequest } from '../../broker-runtime/src/wire/messages/fetch.ts';
import { ZERO_UUID } from '../../broker-runtime/src/wire/schema.ts';
import {
  Fetch,
  MIB,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  produceTo,
  producedRow,
  recordsIn,
  startBroker,
  type BrokerRig,
  type FetchBody,
} from './broker-rig.ts';

const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
});
afterAll(() => rig.close());

function fetch(version: number, body: FetchBody) {
  return rig.run(rig.client.call(Fetch, version, body));
}

async function put(topic: string, values: readonly string[], index = 0): Promise<number> {
  const produced = await rig.run(rig.client.call(Produce, 9, produceTo(topic, batchOf(values), index)));
  expect(producedRow(produced).errorCode).toBe(0);
  return producedRow(produced).baseOffset;
}

describe('what comes back', () => {
  test.each([4, 5, 7, 9, 10, 11, 12])('version %i, by name', async (version) => {
    const topic = `f-v${version}`;
    await rig.topic(topic);
    await put(topic, ['a', 'b']);
    const answer = await fetch(version, fetchFrom(topic, 0));
    expect(answer).toMatchObject({ throttleTimeMs: 0, errorCode: 0, sessionId: 0 });
    const row = fetchedRow(answer);
    expect(row).toMatchObject({
      errorCode: 0,
      highWatermark: 2,
      lastStableOffset: 2,
      logStartOffset: version >= 5 ? 0 : -1,
      preferredReadReplica: -1,
      abortedTransactions: null,
    });
    expect(recordsIn(row.records)).toEqual(['0:a', '1:b']);
  });

  test.each([13, 14, 15, 16, 17])('version %i, by id; unknown ids say so in their row', async (version) => {
    const topicId = await rig.topic(`f-id${version}`);
    await put(`f-id${version}`, ['a']);
    const asked = (id: string) => ({
      topicId: id,
      partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: MIB }],
    });
    const body = fetchFrom('', 0, {
      topics: [asked(topicId), asked(ZERO_UUID), asked('BBBBBBBBBBBBBBBBBBBBBA')],
    });
    const response = await fetch(version, body);
    expect(response.responses.map((topic) => topic.topicId)).toEqual([
      topicId,
      ZERO_UUID,
      'BBBBBBBBBBBBBBBBBBBBBA',
    ]);
    expect([0, 1, 2].map((at) => fetchedRow(response, at).errorCode)).toEqual([
      0,
      Errors.UNKNOWN_TOPIC_ID,
      Errors.UNKNOWN_TOPIC_ID,
    ]);
  });

  test('the batch that contains the offset comes whole, even when it begins earlier', async () => {
    await rig.topic('f-mid');
    await put('f-mid', ['a', 'b', 'c']);
    expect(recordsIn(fetchedRow(await fetch(12, fetchFrom('f-mid', 2))).records)).toEqual([
      '0:a',
      '1:b',
      '2:c',
    ]);
  });

  test('at the end: empty bytes, not null, with offsets filled', async () => {
    await rig.topic('f-end');
    await put('f-end', ['a']);
    const row = fetchedRow(await fetch(12, fetchFrom('f-end', 1)));
    expect(row).toMatchObject({ errorCode: 0, highWatermark: 1, lastStableOffset: 1, logStartOffset: 0 });
    expect(row.records).toHaveLength(0);
  });

  test('read_committed answers an empty list of aborted transactions, read_uncommitted null', async () => {
    await rig.topic('f-iso');
    await put('f-iso', ['a']);
    expect(
      fetchedRow(await fetch(11, fetchFrom('f-iso', 0, { isolationLevel: 1 }))).abortedTransactions,
    ).toEqual([]);
    expect(fetchedRow(await fetch(11, fetchFrom('f-iso', 0))).abortedTransactions).toBeNull();
  });

  test('nothing at or above the high watermark is served (I9)', async () => {
    await rig.topic('f-hw');
    await put('f-hw', ['durable']);
    rig.disk.isHeld = true;
    const pending = rig.client.call(Produce, 9, produceTo('f-hw', batchOf(['not yet'])));
    await rig.env.clock.advance(100);
    const reader = await rig.connect();
    const between = await rig.run(reader.call(Fetch, 12, fetchFrom('f-hw', 1)));
    const whole = await rig.run(reader.call(Fetch, 12, fetchFrom('f-hw', 0)));
    rig.disk.isHeld = false;
    for (const write of [...rig.disk.pending]) write.finish('stored');
    await rig.run(pending);
    expect(fetchedRow(between)).toMatchObject({ errorCode: 0, highWatermark: 1 });
    expect(recordsIn(fetchedRow(between).records)).toEqual([]);
    expect(recordsIn(fetchedRow(whole).records)).toEqual(['0:durable']);
  });
});

describe('errors', () => {
  test('offsets outside the log are OFFSET_OUT_OF_RANGE with the bounds', async () => {
    await rig.topic('f-range');
    await put('f-range', ['a']);
    await put('f-range', ['b']);
    await rig.run(
      rig.client.call(DeleteRecords, 2, {
        topics: [{ name: 'f-range', partitions: [{ partitionIndex: 0, offset: 1 }] }],
        timeoutMs: 1000,
      }),
    );
    for (const offset of [0, 3, -1]) {
      const row = fetchedRow(await fetch(12, fetchFrom('f-range', offset, { maxWaitMs: 10_000 })));
      expect(row).toMatchObject({
        errorCode: Errors.OFFSET_OUT_OF_RANGE,
        highWatermark: 2,
        logStartOffset: 1,
      });
      expect(row.records).toHaveLength(0);
    }
  });

  test('leader epochs: newer is UNKNOWN, -1 does not ask; older ones are in moves.test.ts', async () => {
    await rig.topic('f-epoch');
    await put('f-epoch', ['a']);
    const codes: number[] = [];
    for (const currentLeaderEpoch of [-1, 0, 1_000_000]) {
      const body = fetchFrom('f-epoch', 0, {}, { currentLeaderEpoch });
      codes.push(fetchedRow(await fetch(12, body)).errorCode);
    }
    expect(codes).toEqual([0, 0, Errors.UNKNOWN_LEADER_EPOCH]);
  });

  test('unknown topics and partitions are told at once, not after the wait', async () => {
    await rig.topic('f-known');
    const from = rig.env.clock.monotonicMs();
    const unknown = await fetch(12, fetchFrom('f-unknown', 0, { maxWaitMs: 20_000 }));
    const partition = await fetch(12, fetchFrom('f-known', 0, { maxWaitMs: 20_000 }, { partition: 9 }));
    expect(fetchedRow(unknown).errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    expect(fetchedRow(partition).errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    expect(rig.env.clock.monotonicMs() - from).toBeLessThan(1000);
  });
});

describe('sessions are declined', () => {
  test.each([
    ['none (-1)', 0, -1],
    ['a new one (0)', 0, 0],
    ['closing an old one', 77, -1],
  ])('%s: the full answer with session id 0', async (_name, sessionId, sessionEpoch) => {
    await rig.topic(`f-s${sessionId}${sessionEpoch}`);
    const response = await fetch(
      12,
      fetchFrom(`f-s${sessionId}${sessionEpoch}`, 0, { sessionId, sessionEpoch }),
    );
    expect(response).toMatchObject({ errorCode: 0, sessionId: 0 });
    expect(response.responses).toHaveLength(1);
  });

  test.each([1, 5])(
    'an incremental fetch (epoch %i) of a session we never gave is error 70',
    async (sessionEpoch) => {
      const body = fetchFrom('f-any', 0, { sessionId: 77, sessionEpoch, topics: [] });
      expect(await fetch(12, body)).toMatchObject({
        errorCode: Errors.FETCH_SESSION_ID_NOT_FOUND,
        responses: [],
      });
    },
  );
});

describe('size limits (KIP-74)', () => {
  const big = 'x'.repeat(10_000);

  test('the first partition with data gives a whole batch, larger than every limit', async () => {
    await rig.topic('f-first', { partitions: 3 });
    await put('f-first', [big], 1);
    await put('f-first', [big], 2);
    const partition = (index: number) => ({ partition: index, fetchOffset: 0, partitionMaxBytes: 100 });
    const body = fetchFrom('', 0, {
      maxBytes: 50,
      topics: [{ topic: 'f-first', partitions: [partition(0), partition(1), partition(2)] }],
    });
    const response = await fetch(12, body);
    expect([0, 1, 2].map((at) => recordsIn(fetchedRow(response, 0, at).records).length)).toEqual([0, 1, 0]);
  });

  test('maxBytes shrinks over the partitions, in the order of the request', async () => {
    await rig.topic('f-shrink', { partitions: 3 });
    for (const index of [0, 1, 2]) await put('f-shrink', [big], index);
    const partition = (index: number) => ({ partition: index, fetchOffset: 0, partitionMaxBytes: MIB });
    const body = fetchFrom('', 0, {
      maxBytes: 21_000,
      topics: [{ topic: 'f-shrink', partitions: [partition(2), partition(0), partition(1)] }],
    });
    const response = await fetch(12, body);
    const sizes = [0, 1, 2].map((at) => [
      fetchedRow(response, 0, at).partitionIndex,
      recordsIn(fetchedRow(response, 0, at).records).length,
    ]);
    expect(sizes).toEqual([
      [2, 1],
      [0, 1],
      [1, 0],
    ]);
  });

  test('partitionMaxBytes limits one partition', async () => {
    await rig.topic('f-part');
    for (let n = 0; n < 5; n += 1) await put('f-part', [big]);
    const row = fetchedRow(await fetch(12, fetchFrom('f-part', 0, {}, { partitionMaxBytes: 25_000 })));
    expect(recordsIn(row.records)).toHaveLength(2);
  });

  test('fetch.max.bytes limits them all', async () => {
    const small = await startBroker({ 'fetch.max.bytes': '25000' });
    await small.topic('f-cap');
    for (let n = 0; n < 5; n += 1) {
      await small.run(small.client.call(Produce, 9, produceTo('f-cap', batchOf([big]))));
    }
    const body = fetchFrom('f-cap', 0, { maxBytes: 0x7fff_ffff });
    const row = fetchedRow(await small.run(small.client.call(Fetch, 12, body)));
    expect(recordsIn(row.records)).toHaveLength(2);
    await small.close();
  });

  test.each([
    [
      'all limits at the maximum',
      { maxBytes: 0x7fff_ffff, minBytes: 0x7fff_ffff, maxWaitMs: 1000 },
      0x7fff_ffff,
    ],
    ['all limits negative', { maxBytes: -1, minBytes: -5, maxWaitMs: -1 }, -1],
    ['all limits zero', { maxBytes: 0, minBytes: 0, maxWaitMs: 0 }, 0],
  ])('%s are clamped', async (_name, request, partitionMaxBytes) => {
    const topic = `f-clamp${partitionMaxBytes}`;
    await rig.topic(topic);
    await put(topic, ['a']);
    const row = fetchedRow(await fetch(12, fetchFrom(topic, 0, request, { partitionMaxBytes })));
    expect(recordsIn(row.records)).toEqual(['0:a']);
  });
});

describe('long poll', () => {
  /** A fetch under way, and how long it took once it is answered. */
  function poll(client: BrokerRig['client'], body: FetchBody) {
    const fromMs = rig.env.clock.monotonicMs();
    return client.call(Fetch, 12, body).then((response) => ({
      response,
      tookMs: rig.env.clock.monotonicMs() - fromMs,
    }));
  }

  test('parks until the wait is over, and answers empty', async () => {
    await rig.topic('lp-empty');
    const { response, tookMs } = await rig.run(
      poll(rig.client, fetchFrom('lp-empty', 0, { maxWaitMs: 3000 })),
    );
    expect(tookMs).toBeGreaterThanOrEqual(3000);
    expect(tookMs).toBeLessThan(3100);
    expect(fetchedRow(response)).toMatchObject({ errorCode: 0, highWatermark: 0 });
  });

  test('of no partitions there is nothing to wait for', async () => {
    const { response, tookMs } = await rig.run(
      poll(rig.client, fetchFrom('', 0, { maxWaitMs: 20_000, topics: [] })),
    );
    expect(response).toMatchObject({ errorCode: 0, responses: [] });
    expect(tookMs).toBeLessThan(100);
  });

  test('wakes when data becomes durable', async () => {
    await rig.topic('lp-wake');
    const reader = await rig.connect();
    const polled = poll(reader, fetchFrom('lp-wake', 0, { maxWaitMs: 20_000 }));
    await rig.env.clock.advance(1000);
    await put('lp-wake', ['a']);
    const { response, tookMs } = await rig.run(polled);
    expect(recordsIn(fetchedRow(response).records)).toEqual(['0:a']);
    expect(tookMs).toBeLessThan(1500);
  });

  test('waits for minBytes over all partitions together', async () => {
    await rig.topic('lp-min', { partitions: 2 });
    const partition = (index: number) => ({ partition: index, fetchOffset: 0, partitionMaxBytes: MIB });
    const reader = await rig.connect();
    const polled = poll(
      reader,
      fetchFrom('', 0, {
        maxWaitMs: 20_000,
        minBytes: 1500,
        topics: [{ topic: 'lp-min', partitions: [partition(0), partition(1)] }],
      }),
    );
    let answered = false;
    void polled.then(() => (answered = true));
    await put('lp-min', ['x'.repeat(800)], 0);
    await rig.env.clock.advance(2000);
    expect(answered).toBe(false);
    await put('lp-min', ['y'.repeat(800)], 1);
    const { response, tookMs } = await rig.run(polled);
    expect(tookMs).toBeLessThan(3000);
    expect([0, 1].map((at) => recordsIn(fetchedRow(response, 0, at).records).length)).toEqual([1, 1]);
  });

  test('what arrives in one write for several partitions is fetched together', async () => {
    await rig.topic('lp-group', { partitions: 2 });
    const partition = (index: number) => ({ partition: index, fetchOffset: 0, partitionMaxBytes: MIB });
    const reader = await rig.connect();
    const polled = poll(
      reader,
      fetchFrom('', 0, {
        maxWaitMs: 20_000,
        topics: [{ topic: 'lp-group', partitions: [partition(0), partition(1)] }],
      }),
    );
    await rig.env.clock.advance(100);
    await rig.run(
      rig.client.call(Produce, 9, {
        acks: -1,
        timeoutMs: 1000,
        topicData: [
          {
            name: 'lp-group',
            partitionData: [
              { index: 0, records: batchOf(['a']) },
              { index: 1, records: batchOf(['b']) },
            ],
          },
        ],
      }),
    );
    const { response } = await rig.run(polled);
    expect([0, 1].map((at) => recordsIn(fetchedRow(response, 0, at).records))).toEqual([['0:a'], ['0:b']]);
  });

  test('a deleted topic wakes those who wait for it', async () => {
    await rig.topic('lp-gone');
    const reader = await rig.connect();
    await rig.run(reader.call(Fetch, 12, fetchFrom('lp-gone', 0)));
    const polled = poll(reader, fetchFrom('lp-gone', 0, { maxWaitMs: 20_000 }));
    await rig.env.clock.advance(500);
    await rig.run(
      rig.client.call([DeleteTopicsRequest, DeleteTopicsResponse], 5, {
        topicNames: ['lp-gone'],
        timeoutMs: 1000,
      }),
    );
    const { response, tookMs } = await rig.run(polled);
    expect(fetchedRow(response).errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    expect(tookMs).toBeLessThan(2000);
  });

  test('a hundred parked fetches of one connection do not poll, and end with it', async () => {
    await rig.topic('lp-many');
    const reader = await rig.connect();
    const before = rig.env.clock.pendingTimers;
    for (let n = 0; n < 90; n += 1) {
      reader.send(FetchRequest, 12, fetchFrom('lp-many', 0, { maxWaitMs: 25_000 }));
    }
    await rig.env.clock.advance(1000);
    expect(rig.env.clock.pendingTimers - before).toBeGreaterThan(80);
    reader.destroy();
    await rig.env.clock.advance(100);
    expect(rig.env.clock.pendingTimers - before).toBeLessThanOrEqual(2);
  });

  test('a produce behind a parked fetch on the same connection is not held up', async () => {
    await rig.topic('lp-behind');
    const client = await rig.connect();
    const polled = poll(client, fetchFrom('lp-behind', 0, { maxWaitMs: 20_000 }));
    const produced = client.call(Produce, 9, produceTo('lp-behind', batchOf(['a'])));
    const [{ response, tookMs }, answer] = await rig.run(Promise.all([polled, produced]));
    expect(recordsIn(fetchedRow(response).records)).toEqual(['0:a']);
    expect(producedRow(answer).baseOffset).toBe(0);
    expect(tookMs).toBeLessThan(1000);
  });
});
