import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { ProduceRequest } from '../../broker-runtime/src/wire/messages/produce.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
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
  type ProduceBody,
} from './broker-rig.ts';

const TIMEOUT_MS = 5000;
const FILLER = batchOf(['x'.repeat(1_000_000)]);
/** Two of the largest groups are kept free; the rest takes some fillers. */
const WAL_BYTES = 42 * MIB;
const FILLERS_MAX = 32;

let rig: BrokerRig;
beforeEach(async () => {
  rig = await startBroker({}, 1, WAL_BYTES);
  await rig.topic('filler');
  await rig.topic('log');
});
afterEach(() => rig.close());

/** The object store goes away, and a producer sends until the WAL takes no more: its last request waits. */
async function fillWal(): Promise<KafkaClient> {
  rig.objects.unavailable = true;
  const filler = await rig.connect();
  const usedBytes = (): number => rig.broker.status().store.walUsedBytes;
  for (let sent = 0; sent < FILLERS_MAX; sent++) {
    const before = usedBytes();
    const request = { ...produceTo('filler', FILLER.slice()), timeoutMs: 3_600_000 };
    filler.call(Produce, 9, request).catch(() => undefined);
    await rig.env.clock.advance(1000);
    if (usedBytes() === before) return filler;
  }
  throw new Error('the WAL took everything');
}

function heal(): Promise<void> {
  rig.objects.unavailable = false;
  return rig.env.clock.advance(30_000);
}

function toLog(value: string, sequence?: number, acks = -1): ProduceBody {
  const producer = sequence === undefined ? {} : { producerId: 77, producerEpoch: 0, baseSequence: sequence };
  return { ...produceTo('log', batchOf([value], producer), 0, acks), timeoutMs: TIMEOUT_MS };
}

async function stored(): Promise<string[]> {
  const client = await rig.connect();
  return recordsIn(fetchedRow(await rig.run(client.call(Fetch, 12, fetchFrom('log', 0)))).records);
}

function closesByTimeout(): number {
  return rig.broker.status().server.closes.get('produce-timeout') ?? 0;
}

describe('the timeout of a produce request while the WAL is full', () => {
  test('is answered REQUEST_TIMED_OUT, not earlier, and nothing was appended', async () => {
    await fillWal();
    const client = await rig.connect();
    const rows: number[] = [];
    void client.call(Produce, 9, toLog('a')).then((reply) => rows.push(producedRow(reply).errorCode));
    await rig.env.clock.advance(TIMEOUT_MS - 100);
    expect(rows).toEqual([]);
    await rig.env.clock.advance(200);
    expect(rows).toEqual([Errors.REQUEST_TIMED_OUT]);
    await heal();
    expect(await stored()).toEqual([]);
  });

  test('a batch pipelined behind is not appended first, though the partition never saw the producer', async () => {
    await fillWal();
    const client = await rig.connect();
    const first = client.call(Produce, 9, toLog('a', 0));
    const second = client.call(Produce, 9, toLog('b', 1));
    second.catch(() => undefined);
    await rig.env.clock.advance(TIMEOUT_MS);
    expect(producedRow(await rig.run(first)).errorCode).toBe(Errors.REQUEST_TIMED_OUT);
    await rig.run(client.gone);
    await expect(second).rejects.toThrow('closed');
    expect(closesByTimeout()).toBe(1);
    await heal();
    expect(await stored()).toEqual([]);

    // What a producer does then: both again, in order.
    const again = await rig.connect();
    const replies = [again.call(Produce, 9, toLog('a', 0)), again.call(Produce, 9, toLog('b', 1))];
    const rows = (await rig.run(Promise.all(replies))).map(producedRow);
    expect(rows).toMatchObject([
      { errorCode: 0, baseOffset: 0 },
      { errorCode: 0, baseOffset: 1 },
    ]);
    expect(await stored()).toEqual(['0:a', '1:b']);
  });

  test('requests before it on the connection keep their answers', async () => {
    const client = await rig.connect();
    rig.disk.isHeld = true;
    const appended = client.call(Produce, 9, toLog('appended', 0));
    await rig.env.clock.advance(100);
    await fillWal();
    const refused = client.call(Produce, 9, toLog('refused', 1));
    await rig.env.clock.advance(TIMEOUT_MS + 1000);
    rig.disk.isHeld = false;
    for (const write of [...rig.disk.pending]) write.finish('stored');
    expect(producedRow(await rig.run(appended))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(producedRow(await rig.run(refused)).errorCode).toBe(Errors.REQUEST_TIMED_OUT);
    await heal();
    expect(await stored()).toEqual(['0:appended']);
  });

  test('of acks=0 closes the connection, and what is behind it is not appended either', async () => {
    await fillWal();
    const client = await rig.connect();
    client.send(ProduceRequest, 9, toLog('a', undefined, 0));
    client.send(ProduceRequest, 9, toLog('b', undefined, 0));
    await rig.env.clock.advance(TIMEOUT_MS + 100);
    expect(client.isClosed).toBe(true);
    await heal();
    expect(await stored()).toEqual([]);
  });

  test('with acks=0 a client may leave before there is room: its records are kept', async () => {
    await fillWal();
    const client = await rig.connect();
    client.send(ProduceRequest, 9, toLog('a', undefined, 0));
    await rig.env.clock.advance(100);
    client.destroy();
    await rig.env.clock.advance(100);
    await heal();
    expect(await stored()).toEqual(['0:a']);
  });

  test('bug: what waited for a client that had left was appended behind its retry', async () => {
    const filler = await fillWal();
    const client = await rig.connect();
    client.call(Produce, 9, toLog('left', 0)).catch(() => undefined);
    await rig.env.clock.advance(100);
    client.destroy();
    await rig.env.clock.advance(100);
    await heal();
    expect(filler.isClosed).toBe(false);
    expect(await stored()).toEqual([]);
  });

  test('is not asked about records that were appended: they are answered when they are durable', async () => {
    const client = await rig.connect();
    rig.disk.isHeld = true;
    const rows: unknown[] = [];
    const reply = client.call(Produce, 9, toLog('a', 0));
    void reply.then((body) => rows.push(producedRow(body)));
    await rig.env.clock.advance(10 * TIMEOUT_MS);
    expect(rows).toEqual([]);
    expect(client.isClosed).toBe(false);
    rig.disk.isHeld = false;
    for (const write of [...rig.disk.pending]) write.finish('stored');
    expect(producedRow(await rig.run(reply))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(await stored()).toEqual(['0:a']);
  });
});
