import { afterEach, describe, expect, test } from '@jest/globals';
import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../broker-runtime/src/wire/messages/create-topics.ts';
import {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from '../../broker-runtime/src/wire/messages/delete-topics.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
import { BrokerLives } from '../simulation/broker-lives.ts';
import {
  Fetch,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  produceTo,
  producedRow,
  recordsIn,
} from './broker-rig.ts';

const CreateTopics = [CreateTopicsRequest, CreateTopicsResponse] as const;
const DeleteTopics = [DeleteTopicsRequest, DeleteTopicsResponse] as const;

function newTopic(name: string) {
  return {
    topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 30_000,
  };
}

async function produce(client: KafkaClient, topic: string, value: string): Promise<number> {
  return producedRow(await client.call(Produce, 9, produceTo(topic, batchOf([value])))).errorCode;
}

async function readAll(client: KafkaClient, topic: string): Promise<readonly string[]> {
  return recordsIn(fetchedRow(await client.call(Fetch, 11, fetchFrom(topic, 0))).records);
}

/** Lets the journal's puts go nowhere and everything else through. */
function holdJournal(lives: BrokerLives): void {
  lives.faults = (operation, key) =>
    operation === 'put' && key.startsWith('meta/log/') ? { kind: 'fail' } : undefined;
}

describe('what the broker acknowledges while the metadata log cannot be written', () => {
  let lives: BrokerLives;
  afterEach(() => {
    if (lives.isUp) lives.crash();
  });

  test('bug: records acknowledged in a topic whose creation never reached the log were lost', async () => {
    lives = new BrokerLives(1);
    await lives.run(lives.start());
    const client = await lives.run(lives.connect());
    holdJournal(lives);
    const creator = await lives.run(lives.connect());
    creator.call(CreateTopics, 7, newTopic('early')).catch(() => undefined);
    await lives.clock.advance(100);
    const errorCode = await lives.run(produce(client, 'early', 'one'));
    const isAcked = errorCode === 0;

    lives.crash();
    lives.faults = undefined;
    await lives.run(lives.start());
    const again = await lives.run(lives.connect());
    const found = await lives.run(readAll(again, 'early'));
    expect(found).toEqual(isAcked ? ['0:one'] : []);
  });

  test('bug: records of a topic whose deletion never reached the log left the WAL', async () => {
    lives = new BrokerLives(2);
    await lives.run(lives.start());
    const client = await lives.run(lives.connect());
    await lives.run(client.call(CreateTopics, 7, newTopic('kept')));
    expect(await lives.run(produce(client, 'kept', 'one'))).toBe(0);
    holdJournal(lives);
    const deleter = await lives.run(lives.connect());
    deleter.call(DeleteTopics, 5, { topicNames: ['kept'], timeoutMs: 30_000 }).catch(() => undefined);
    // Long enough for the upload by age, and for the superblocks.
    await lives.clock.advance(60_000);

    lives.crash();
    lives.faults = undefined;
    await lives.run(lives.start());
    const again = await lives.run(lives.connect());
    expect(await lives.run(readAll(again, 'kept'))).toEqual(['0:one']);
  });
});
