import { afterEach, describe, expect, test } from '@jest/globals';
import {
  batchOf,
  CreateTopics,
  Fetch,
  fetchedRow,
  fetchFrom,
  Produce,
  producedRow,
  produceTo,
  recordsIn,
} from '../server/broker-rig.ts';
import { BrokerLives } from '../simulation/broker-lives.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';

const topics = [{ name: 'log', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }];

async function produce(client: KafkaClient, value: string): Promise<number> {
  return producedRow(await client.call(Produce, 9, produceTo('log', batchOf([value])))).errorCode;
}

async function readAll(client: KafkaClient): Promise<readonly string[]> {
  return recordsIn(fetchedRow(await client.call(Fetch, 11, fetchFrom('log', 0))).records);
}

describe('a broker whose WAL is in the bucket', () => {
  let lives: BrokerLives;
  afterEach(() => {
    if (lives.isUp) lives.crash();
  });

  async function started(seed: number): Promise<KafkaClient> {
    lives = new BrokerLives(seed);
    lives.wal = 'object';
    await lives.run(lives.start());
    const client = await lives.run(lives.connect());
    await lives.run(client.call(CreateTopics, 7, { topics, timeoutMs: 30_000 }));
    return client;
  }

  test('loses nothing with its machine and its disk: the next start reads the log from the bucket', async () => {
    const client = await started(1);
    for (const value of ['a', 'b', 'c']) expect(await lives.run(produce(client, value))).toBe(0);
    lives.crash();
    lives.disk.bytes.fill(0);
    await lives.run(lives.start());
    const reader = await lives.run(lives.connect());
    expect(await lives.run(readAll(reader))).toEqual(['0:a', '1:b', '2:c']);
    expect(await lives.run(produce(reader, 'd'))).toBe(0);
  });

  test('leaves nothing to replay after a clean stop', async () => {
    const client = await started(2);
    expect(await lives.run(produce(client, 'a'))).toBe(0);
    await lives.run(lives.stop());
    await lives.run(lives.start());
    expect(lives.events.named('store.recovered').at(-1)).toMatchObject({ fields: { recoveredEntries: 0 } });
    expect(await lives.run(readAll(await lives.run(lives.connect())))).toEqual(['0:a']);
  });

  test('acknowledges nothing while the bucket is away, and goes on when it is back', async () => {
    const client = await started(3);
    lives.unavailable = true;
    let answered = false;
    const waiting = produce(client, 'a').finally(() => (answered = true));
    await lives.clock.advance(10_000);
    expect(answered).toBe(false);
    lives.unavailable = false;
    expect(await lives.run(waiting)).toBe(0);
    expect(await lives.run(readAll(client))).toEqual(['0:a']);
  });
});
