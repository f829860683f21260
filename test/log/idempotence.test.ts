import { describe, expect, test } from '@jest/globals';
import { ByteReader, ByteWriter } from '../../broker-runtime/src/base/bytes.ts';
import { ProducerState, REMEMBERED_BATCHES } from '../../broker-runtime/src/log/producer-state.ts';
import type { AppendResult } from '../../broker-runtime/src/log/partition-log.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { clientBatch, HOUR_MS, openRig, type Rig } from './kit.ts';

const MAX_SEQUENCE = 2 ** 31 - 1;

function send(rig: Rig, baseSequence: number, records = 1, producerEpoch = 0, producerId = 9): AppendResult {
  const batch = clientBatch({ producerId, producerEpoch, baseSequence, records });
  return rig.partition.append(batch, { origin: 'client' });
}

async function sendAll(rig: Rig, ...sequences: number[]): Promise<void> {
  for (const sequence of sequences) expect(send(rig, sequence).error).toBe(Errors.NONE);
  rig.data.settle();
  await rig.env.clock.settle();
}

describe('a batch sent again', () => {
  test('each of the last five is answered with its first offset and stored once', async () => {
    const rig = await openRig();
    await sendAll(rig, 0, 1, 2, 3, 4, 5, 6);
    for (const sequence of [2, 3, 4, 5, 6]) {
      expect(send(rig, sequence)).toMatchObject({ error: Errors.NONE, baseOffset: sequence });
    }
    expect(rig.partition.logEndOffset).toBe(7);
  });

  test('one older than the last five is out of order, not stored twice', async () => {
    const rig = await openRig();
    await sendAll(rig, 0, 1, 2, 3, 4, 5);
    expect(send(rig, 0)).toMatchObject({ error: Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, baseOffset: -1 });
  });

  test('one with the same first sequence and another length is no duplicate', async () => {
    const rig = await openRig();
    await sendAll(rig, 0, 1);
    expect(send(rig, 1, 2).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
  });

  test('duplicate-before-durable: it is answered only when the original is durable', async () => {
    const rig = await openRig();
    send(rig, 0);
    let answered = false;
    void send(rig, 0).durable?.then(() => (answered = true));
    await rig.env.clock.settle();
    expect(answered).toBe(false);
    rig.data.settle();
    await rig.env.clock.settle();
    expect(answered).toBe(true);
  });

  test('duplicate-before-durable: it waits for the group of the original, not for later ones', async () => {
    const rig = await openRig();
    send(rig, 0);
    rig.data.sealGroup();
    send(rig, 1);
    const duplicate = send(rig, 0);
    rig.data.settleOneGroup();
    await duplicate.durable;
    expect(rig.partition.highWatermark).toBe(1);
  });

  test('when the WAL failed before the original was durable, the duplicate fails too', async () => {
    const rig = await openRig();
    send(rig, 0);
    const duplicate = send(rig, 0);
    rig.data.fail(new Error('EIO'));
    await expect(duplicate.durable).rejects.toThrow('EIO');
  });

  test('LogAppendTime: the answer carries the first time', async () => {
    const rig = await openRig({ config: { messageTimestampType: 'LogAppendTime' } });
    const { logAppendTimeMs } = send(rig, 0);
    await rig.env.clock.advance(5000);
    expect(send(rig, 0).logAppendTimeMs).toBe(logAppendTimeMs);
  });
});

describe('sequences and epochs', () => {
  test('a gap is out of order and changes nothing', async () => {
    const rig = await openRig();
    await sendAll(rig, 0);
    expect(send(rig, 2).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(send(rig, 1)).toMatchObject({ error: Errors.NONE, baseOffset: 1 });
  });

  test('a batch counts for as many sequences as it has records', async () => {
    const rig = await openRig();
    expect(send(rig, 0, 10).error).toBe(Errors.NONE);
    expect(send(rig, 9).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(send(rig, 10).baseOffset).toBe(10);
  });

  test('sequences wrap from 2^31-1 to 0, between batches and inside one', async () => {
    const between = await openRig();
    await sendAll(between, MAX_SEQUENCE, 0, 1);
    const inside = await openRig();
    expect(send(inside, MAX_SEQUENCE - 1, 4).error).toBe(Errors.NONE);
    expect(send(inside, 1).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(send(inside, 2).error).toBe(Errors.NONE);
    expect(send(inside, MAX_SEQUENCE - 1, 4).baseOffset).toBe(0);
  });

  test('a new epoch begins at sequence 0, the old one is fenced', async () => {
    const rig = await openRig();
    await sendAll(rig, 0, 1, 2);
    expect(send(rig, 3, 1, 1).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(send(rig, 0, 1, 1)).toMatchObject({ error: Errors.NONE, baseOffset: 3 });
    expect(send(rig, 3, 1, 0).error).toBe(Errors.INVALID_PRODUCER_EPOCH);
    expect(send(rig, 2, 1, 0).error).toBe(Errors.INVALID_PRODUCER_EPOCH);
    expect(send(rig, 1, 1, 1).baseOffset).toBe(4);
  });

  test('producers do not disturb one another', async () => {
    const rig = await openRig();
    await sendAll(rig, 0);
    expect(send(rig, 0, 1, 0, 10).baseOffset).toBe(1);
    expect(send(rig, 1).baseOffset).toBe(2);
  });

  test('a producer nobody remembers may begin anywhere: it expired, or its records are gone', async () => {
    const rig = await openRig();
    expect(send(rig, 41).error).toBe(Errors.NONE);
    expect(send(rig, 42).error).toBe(Errors.NONE);
  });

  test('a producer silent for producer.id.expiration.ms is forgotten, one that loads old data is not', async () => {
    const rig = await openRig({ config: { producerIdExpirationMs: HOUR_MS } });
    await sendAll(rig, 0);
    await rig.env.clock.advance(HOUR_MS - 1);
    send(rig, 1);
    rig.data.settle();
    await rig.env.clock.advance(2);
    await rig.run(rig.partition.maintain());
    expect(send(rig, 7).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    await rig.env.clock.advance(HOUR_MS);
    await rig.run(rig.partition.maintain());
    expect(send(rig, 7).error).toBe(Errors.NONE);
  });
});

describe('the state itself', () => {
  test('beyond its bound the producer silent for longest is forgotten', () => {
    const state = new ProducerState(3);
    for (const id of [1, 2, 3]) state.record(id, 0, 0, id, 0, -1, id);
    state.record(1, 0, 1, 4, 0, -1, 4);
    state.record(4, 0, 0, 5, 0, -1, 5);
    expect(state.size).toBe(3);
    expect(state.check(2, 0, 77, 0)).toBe(Errors.NONE);
    expect(state.check(1, 0, 77, 0)).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
  });

  test('a full state of 5,000 producers is read back as it was, in less than a mebibyte', () => {
    const state = new ProducerState();
    for (let id = 0; id < 6000; id++) {
      for (let batch = 0; batch < REMEMBERED_BATCHES + 1; batch++) {
        state.record(id, id % 100, batch * 3, id * 1000 + batch * 3, 2, 1_767_225_600_000 + batch, 50 + id);
      }
    }
    const writer = new ByteWriter();
    state.write(writer);
    expect(writer.length).toBeLessThan(1024 * 1024);
    const copy = new ProducerState();
    copy.read(new ByteReader(writer.finish()));
    const again = new ByteWriter();
    copy.write(again);
    expect(Buffer.compare(again.finish(), writer.finish())).toBe(0);
    expect(copy.check(5999, 99, 3, 2)).toEqual({
      firstOffset: 5_999_003,
      lastOffset: 5_999_005,
      logAppendTimeMs: 1_767_225_600_001,
    });
  });
});

describe('out-of-order-for-ever: the first batch of a new producer is refused, and what comes behind it', () => {
  const sendLarge = (rig: Rig, baseSequence: number) => {
    const batch = clientBatch({
      producerId: 9,
      producerEpoch: 0,
      baseSequence,
      records: 2,
      value: 'x'.repeat(500),
    });
    return rig.partition.append(batch, { origin: 'client' }).error;
  };
  const openSmall = () => openRig({ config: { maxMessageBytes: 200 } });

  test('waits until it came again in parts', async () => {
    const rig = await openSmall();
    expect(sendLarge(rig, 0)).toBe(Errors.MESSAGE_TOO_LARGE);
    expect(send(rig, 2).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    await sendAll(rig, 0, 1, 2, 3);
    expect(rig.partition.logEndOffset).toBe(4);
  });

  test('the same when it came damaged and is sent again as it was', async () => {
    const rig = await openSmall();
    const damaged = clientBatch({ producerId: 9, producerEpoch: 0, baseSequence: 0 });
    damaged[65] = (damaged[65] ?? 0) ^ 1;
    expect(rig.partition.append(damaged, { origin: 'client' }).error).toBe(Errors.CORRUPT_MESSAGE);
    expect(send(rig, 1).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    await sendAll(rig, 0, 1);
  });

  test('a producer that gives it up goes on in its next epoch', async () => {
    const rig = await openSmall();
    expect(sendLarge(rig, 0)).toBe(Errors.MESSAGE_TOO_LARGE);
    expect(send(rig, 0, 1, 1).error).toBe(Errors.NONE);
  });

  test('another producer, and one refused in the middle of its life, are judged as ever', async () => {
    const rig = await openSmall();
    expect(sendLarge(rig, 0)).toBe(Errors.MESSAGE_TOO_LARGE);
    expect(send(rig, 7, 1, 0, 8).error).toBe(Errors.NONE);
    await sendAll(rig, 0);
    expect(sendLarge(rig, 1)).toBe(Errors.MESSAGE_TOO_LARGE);
    await sendAll(rig, 1, 2);
  });

  test('a thousand of them are remembered, no more', () => {
    const producers = new ProducerState();
    for (let producerId = 0; producerId <= 1_000; producerId += 1) producers.refusedFirst(producerId, 0);
    expect(producers.check(0, 0, 5, 0)).toBe(Errors.NONE);
    expect(producers.check(1, 0, 5, 0)).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
  });
});
