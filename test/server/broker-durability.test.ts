import { afterEach, describe, expect, test } from '@jest/globals';
import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../broker-runtime/src/wire/messages/create-topics.ts';
import {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
} from '../../broker-runtime/src/wire/messages/delete-records.ts';
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
const DeleteRecords = [DeleteRecordsRequest, DeleteRecordsResponse] as const;
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

  test('bug: a second deletion of the same records was answered before the first was committed', async () => {
    lives = new BrokerLives(3);
    await lives.run(lives.start());
    const client = await lives.run(lives.connect());
    await lives.run(client.call(CreateTopics, 7, newTopic('log')));
    expect(await lives.run(produce(client, 'log', 'one'))).toBe(0);
    expect(await lives.run(produce(client, 'log', 'two'))).toBe(0);
    await lives.clock.advance(60_000);
    holdJournal(lives);
    const answers: number[] = [];
    const deletion = {
      topics: [{ name: 'log', partitions: [{ partitionIndex: 0, offset: 1 }] }],
      timeoutMs: 1,
    };
    for (let n = 0; n < 2; n++) {
      const deleter = await lives.run(lives.connect());
      deleter.call(DeleteRecords, 2, deletion).then(
        ({ topics }) => answers.push(topics[0]?.partitions[0]?.errorCode ?? -1),
        () => undefined,
      );
      await lives.clock.advance(100);
    }
    lives.crash();
    lives.faults = undefined;
    await lives.run(lives.start());
    const again = await lives.run(lives.connect());
    const { logStartOffset } = fetchedRow(await lives.run(again.call(Fetch, 11, fetchFrom('log', 1))));
    expect({ answers, logStartOffset }).toEqual({ answers: [], logStartOffset: 0 });
  });
});
