import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  InitProducerIdRequest,
  InitProducerIdResponse,
} from '../../broker-runtime/src/wire/messages/init-producer-id.ts';
import { STUCK_THROTTLE_MS, StuckBatches } from '../../broker-runtime/src/server/handlers/stuck-batches.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { ProduceRequest } from '../../broker-runtime/src/wire/messages/produce.ts';
import { CompressionType } from '../../broker-runtime/src/wire/records/batch-header.ts';
import { ZERO_UUID } from '../../broker-runtime/src/wire/schema.ts';
import {
  Fetch,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  produceTo,
  producedRow,
  recordsIn,
  startBroker,
  type BrokerRig,
  type ProduceBody,
} from './broker-rig.ts';

const InitProducerId = [InitProducerIdRequest, InitProducerIdResponse] as const;

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBroker();
});
afterAll(() => rig.close());

function produce(version: number, body: ProduceBody) {
  return rig.run(rig.client.call(Produce, version, body));
}

async function stored(topic: string): Promise<string[]> {
  return recordsIn(fetchedRow(await rig.run(rig.client.call(Fetch, 12, fetchFrom(topic, 0)))).records);
}

describe('Produce', () => {
  test.each([3, 5, 7, 8, 9, 10, 11, 12])(
    'version %i, acks 1 and all, answers offset and log start',
    async (version) => {
      const topic = `p-v${version}`;
      await rig.topic(topic);
      const first = producedRow(await produce(version, produceTo(topic, batchOf(['a', 'b', 'c']), 0, 1)));
      const second = producedRow(await produce(version, produceTo(topic, batchOf(['d']), 0, -1)));
      expect(first).toMatchObject({ index: 0, errorCode: 0, baseOffset: 0, logAppendTimeMs: -1 });
      expect(second.baseOffset).toBe(3);
      expect(second.logStartOffset).toBe(version >= 5 ? 0 : -1);
    },
  );

  test('version 13 goes by topic id; the zero id and unknown ids are UNKNOWN_TOPIC_ID', async () => {
    const topicId = await rig.topic('p-by-id');
    const to = (id: string): ProduceBody => ({
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ topicId: id, partitionData: [{ index: 0, records: batchOf(['a']) }] }],
    });
    const response = await produce(13, to(topicId));
    expect(response.responses[0]?.topicId).toBe(topicId);
    expect(producedRow(response)).toMatchObject({ errorCode: 0, baseOffset: 0 });
    for (const id of [ZERO_UUID, 'BBBBBBBBBBBBBBBBBBBBBA']) {
      expect(producedRow(await produce(13, to(id)))).toMatchObject({
        errorCode: Errors.UNKNOWN_TOPIC_ID,
        baseOffset: -1,
      });
    }
  });

  test('several partitions share one request; one bad partition does not hold up the others', async () => {
    await rig.topic('p-many', { partitions: 2 });
    const writesBefore = rig.disk.writes;
    const response = await produce(9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        {
          name: 'p-many',
          partitionData: [
            { index: 1, records: batchOf(['one']) },
            { index: 7, records: batchOf(['nowhere']) },
            { index: 0, records: batchOf(['zero']) },
          ],
        },
        { name: 'p-none', partitionData: [{ index: 0, records: batchOf(['x']) }] },
      ],
    });
    expect(response.responses.map(({ name }) => name)).toEqual(['p-many', 'p-none']);
    expect(
      response.responses[0]?.partitionResponses.map(({ index, errorCode }) => [index, errorCode]),
    ).toEqual([
      [1, 0],
      [7, Errors.UNKNOWN_TOPIC_OR_PARTITION],
      [0, 0],
    ]);
    expect(response.responses[1]?.partitionResponses[0]?.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION);
    // Both batches became durable by one write of the WAL.
    expect(rig.disk.writes - writesBefore).toBe(1);
  });

  test('failure class: refused-without-pause: the third time the same batch is too large, its producer is asked to wait', async () => {
    await rig.topic('p-stuck', { configs: { 'max.message.bytes': '500' } });
    const sent = async (...batches: Uint8Array[]) => {
      const partitionData = batches.map((records) => ({ index: 0, records }));
      const topicData = [{ name: 'p-stuck', partitionData }];
      return (await produce(9, { acks: -1, timeoutMs: 1000, topicData })).throttleTimeMs;
    };
    const whole = batchOf(['x'.repeat(1000), 'y']);
    const half = batchOf(['x'.repeat(1000)]);
    const small = batchOf(['y']);
    // Who splits sends the whole once more, and smaller parts after it.
    for (const batch of [whole, whole, half, half, small]) expect(await sent(batch)).toBe(0);
    expect(await sent(small, whole)).toBe(STUCK_THROTTLE_MS);
    expect(await sent(whole)).toBe(STUCK_THROTTLE_MS);
    expect(await sent(small)).toBe(0);
  });

  test('of batches that are too large a thousand are remembered, no more', () => {
    const stuck = new StuckBatches();
    const batches = Array.from({ length: 1_001 }, (_, n) => batchOf([`batch ${n}`]));
    for (let time = 0; time < 3; time += 1)
      for (const batch of batches) expect(stuck.throttleMs(batch)).toBe(0);
    expect(stuck.throttleMs(new Uint8Array(10))).toBe(0);
  });

  test.each(Object.entries(CompressionType))(
    'a batch of %s stays as it was compressed',
    async (codec, type) => {
      await rig.topic(`p-as-${codec}`);
      const sent = batchOf(['x'.repeat(1000), 'y'.repeat(1000)], { compression: type });
      const copy = Buffer.from(sent);
      expect(producedRow(await produce(9, produceTo(`p-as-${codec}`, sent))).errorCode).toBe(0);
      const row = fetchedRow(await rig.run(rig.client.call(Fetch, 12, fetchFrom(`p-as-${codec}`, 0))));
      // All from the magic byte on, checksum included: before it stand base offset, length and leader epoch.
      expect(Buffer.from(row.records ?? []).subarray(16)).toEqual(copy.subarray(16));
    },
  );

  test.each([1, -1])('acks=%i: min.insync.replicas is satisfied by the storage', async (acks) => {
    await rig.topic(`p-isr${acks}`, { configs: { 'min.insync.replicas': '3' } });
    expect(producedRow(await produce(9, produceTo(`p-isr${acks}`, batchOf(['a']), 0, acks)))).toMatchObject({
      errorCode: 0,
      baseOffset: 0,
    });
  });

  test.each([2, -2, 100])('acks=%i is INVALID_REQUIRED_ACKS, and nothing is stored', async (acks) => {
    const topic = `p-acks${acks}`;
    await rig.topic(topic);
    const row = producedRow(await produce(9, produceTo(topic, batchOf(['a']), 0, acks)));
    expect(row).toMatchObject({ errorCode: Errors.INVALID_REQUIRED_ACKS, baseOffset: -1 });
    expect(await stored(topic)).toEqual([]);
  });

  test('pipelined requests of one connection are appended in the order they came', async () => {
    await rig.topic('p-order');
    const values = Array.from({ length: 50 }, (_, n) => `v${n}`);
    const replies = values.map((value) =>
      rig.client.call(Produce, 9, produceTo('p-order', batchOf([value]))),
    );
    const offsets = (await rig.run(Promise.all(replies))).map((reply) => producedRow(reply).baseOffset);
    expect(offsets).toEqual(values.map((_, n) => n));
    expect(await stored('p-order')).toEqual(values.map((value, n) => `${n}:${value}`));
  });

  test('an answer comes only after the write: while the disk hangs there is none', async () => {
    await rig.topic('p-durable');
    await produce(9, produceTo('p-durable', batchOf(['before'])));
    rig.disk.isHeld = true;
    let answered = false;
    const reply = rig.client
      .call(Produce, 9, produceTo('p-durable', batchOf(['held']), 0, 1))
      .then((body) => {
        answered = true;
        return body;
      });
    await rig.env.clock.advance(5000);
    expect(answered).toBe(false);
    expect(await rig.connect().then((other) => other.isClosed)).toBe(false);
    rig.disk.isHeld = false;
    for (const write of [...rig.disk.pending]) write.finish('stored');
    expect(producedRow(await rig.run(reply))).toMatchObject({ errorCode: 0, baseOffset: 1 });
  });
});

describe('acks=0', () => {
  test('gets no answer, and the next answer is that of the next request', async () => {
    await rig.topic('p-zero');
    rig.client.send(ProduceRequest, 9, produceTo('p-zero', batchOf(['silent']), 0, 0));
    const row = producedRow(await produce(9, produceTo('p-zero', batchOf(['loud']))));
    expect(row.baseOffset).toBe(1);
    expect(await stored('p-zero')).toEqual(['0:silent', '1:loud']);
  });

  test('closes the connection when it fails', async () => {
    const client = await rig.connect();
    client.send(ProduceRequest, 9, produceTo('p-zero-nowhere', batchOf(['x']), 0, 0));
    await rig.run(client.gone);
    expect(rig.broker.status().server.closes.get('unanswerable-error')).toBe(1);
  });
});

describe('what is refused stores nothing and leaves the connection open', () => {
  beforeAll(async () => {
    await rig.topic('p-strict', { configs: { 'max.message.bytes': '1000' } });
    await rig.topic('p-compacted', { configs: { 'cleanup.policy': 'compact' } });
  });
  const damaged = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = batchOf(['a', 'b']);
    change(bytes);
    return bytes;
  };
  const HOUR_MS = 3_600_000;
  const farFuture = 1_767_225_600_000 + 48 * HOUR_MS;

  test.each<[string, string, Uint8Array | null, number]>([
    ['no records', 'p-strict', null, Errors.INVALID_RECORD],
    ['empty records', 'p-strict', new Uint8Array(0), Errors.INVALID_RECORD],
    [
      'a wrong CRC',
      'p-strict',
      damaged((bytes) => (bytes[20] = (bytes[20] ?? 0) ^ 1)),
      Errors.CORRUPT_MESSAGE,
    ],
    ['magic 1', 'p-strict', damaged((bytes) => (bytes[16] = 1)), Errors.INVALID_RECORD],
    ['a batch cut short', 'p-strict', batchOf(['a']).subarray(0, 65), Errors.INVALID_RECORD],
    ['two batches', 'p-strict', Buffer.concat([batchOf(['a']), batchOf(['b'])]), Errors.INVALID_RECORD],
    ['a batch over max.message.bytes', 'p-strict', batchOf(['x'.repeat(1000)]), Errors.MESSAGE_TOO_LARGE],
    ['a control batch', 'p-strict', batchOf(['a'], { isControl: true }), Errors.INVALID_RECORD],
    [
      'a transactional batch without a transaction',
      'p-strict',
      batchOf(['a'], { isTransactional: true, producerId: 1, producerEpoch: 0, baseSequence: 0 }),
      Errors.INVALID_TXN_STATE,
    ],
    [
      'a keyless record to a compacted topic',
      'p-compacted',
      batchOf(['a'], { key: null }),
      Errors.INVALID_RECORD,
    ],
    [
      'a timestamp far in the future',
      'p-strict',
      batchOf(['a'], { timestampMs: farFuture }),
      Errors.INVALID_TIMESTAMP,
    ],
  ])('%s', async (_name, topic, bytes, error) => {
    const row = producedRow(await produce(9, produceTo(topic, bytes)));
    expect(row).toMatchObject({ errorCode: error, baseOffset: -1, logAppendTimeMs: -1 });
    expect(row.errorMessage).not.toBe('');
    expect(await stored(topic)).toEqual([]);
  });

  test('names the records at fault (KIP-467)', async () => {
    const row = producedRow(await produce(8, produceTo('p-compacted', batchOf(['a', 'b'], { key: null }))));
    expect(row.recordErrors.map(({ batchIndex }) => batchIndex)).toEqual([0, 1]);
    expect(row.errorMessage).toContain('key');
  });

  test('zstd below version 7 is UNSUPPORTED_COMPRESSION_TYPE', async () => {
    await rig.topic('p-zstd');
    const bytes = batchOf(['a'], { compression: CompressionType.zstd });
    expect(producedRow(await produce(6, produceTo('p-zstd', bytes))).errorCode).toBe(
      Errors.UNSUPPORTED_COMPRESSION_TYPE,
    );
    expect(producedRow(await produce(7, produceTo('p-zstd', bytes))).errorCode).toBe(0);
  });

  test('clients do not write to internal topics', async () => {
    await rig.topic('__consumer_offsets').catch(() => undefined);
    const row = producedRow(await produce(9, produceTo('__consumer_offsets', batchOf(['a']))));
    expect(row.errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION);
  });
});

describe('LogAppendTime', () => {
  test('stamps the batch and answers the time', async () => {
    await rig.topic('p-lat', { configs: { 'message.timestamp.type': 'LogAppendTime' } });
    const row = producedRow(await produce(9, produceTo('p-lat', batchOf(['a'], { timestampMs: 1000 }))));
    expect(row.errorCode).toBe(0);
    expect(Math.abs(row.logAppendTimeMs - rig.env.clock.wallMs())).toBeLessThan(1000);
  });
});

describe('InitProducerId and idempotence', () => {
  const init = (transactionalId: string | null, version = 4) =>
    rig.run(rig.client.call(InitProducerId, version, { transactionalId, transactionTimeoutMs: 60_000 }));

  test('gives every producer a fresh id with epoch 0', async () => {
    const answers = await Promise.all([init(null), init(null, 0), init(null, 5)]);
    expect(new Set(answers.map(({ producerId }) => producerId)).size).toBe(3);
    for (const answer of answers) expect(answer).toMatchObject({ errorCode: 0, producerEpoch: 0 });
  });

  test.each([3, 4, 5])(
    'version %i: the id and epoch a producer had do not bring them back',
    async (version) => {
      const { producerId } = await init(null);
      const again = await rig.run(
        rig.client.call(InitProducerId, version, {
          transactionalId: null,
          transactionTimeoutMs: 60_000,
          producerId,
          producerEpoch: 0,
        }),
      );
      expect(again).toMatchObject({ errorCode: 0, producerEpoch: 0 });
      expect(again.producerId).toBeGreaterThan(producerId);
    },
  );

  test('a transactional id is refused with an error that ends the attempt', async () => {
    expect(await init('tx-1')).toMatchObject({
      errorCode: Errors.UNSUPPORTED_VERSION,
      producerId: -1,
      producerEpoch: -1,
    });
  });

  test('a batch sent again is answered with its first offset, a gap is refused', async () => {
    await rig.topic('p-idem');
    const { producerId } = await init(null);
    const send = (value: string, baseSequence: number) =>
      produce(9, produceTo('p-idem', batchOf([value], { producerId, producerEpoch: 0, baseSequence })));
    expect(producedRow(await send('a', 0))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(producedRow(await send('b', 1))).toMatchObject({ errorCode: 0, baseOffset: 1 });
    expect(producedRow(await send('a', 0))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(producedRow(await send('d', 3)).errorCode).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(await stored('p-idem')).toEqual(['0:a', '1:b']);
  });
});
