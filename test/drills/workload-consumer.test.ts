import { expect, test } from '@jest/globals';
import type { Consumer, ConsumerRunConfig, EachBatchPayload } from 'kafkajs';
import type { Operation } from '../../drills/history/operation.ts';
import { encodeValue } from '../../drills/history/value.ts';
import { WorkloadConsumer } from '../../drills/workload/consumer.ts';
import { Recorder } from '../../drills/workload/recorder.ts';

const SETTINGS = { name: 'member-0', group: 'g', topic: 't', mode: 'subscribe' } as const;

/** Plays kafkajs: joins with what the test says, and hands out what the test says. */
class FakeKafkajs {
  readonly committed: number[] = [];
  #join: ((event: unknown) => void) | undefined;
  #run: ConsumerRunConfig | undefined;

  readonly consumer = (): Consumer =>
    ({
      events: { GROUP_JOIN: 'join', CRASH: 'crash' },
      on: (event: string, listener: (event: unknown) => void) => {
        if (event === 'join') this.#join = listener;
      },
      connect: () => Promise.resolve(),
      subscribe: () => Promise.resolve(),
      run: async (config: ConsumerRunConfig) => void (this.#run = config),
    }) as unknown as Consumer;

  join(partitions: readonly number[]): void {
    this.#join?.({ payload: { memberAssignment: { t: partitions } } });
  }

  async handOut(partition: number, offset: number): Promise<void> {
    const value = encodeValue({ topic: 't', partition, producer: 'p', counter: offset }, 64);
    const batch = {
      topic: 't',
      partition,
      highWatermark: '9',
      messages: [{ offset: String(offset), value }],
    };
    await this.#run?.eachBatch?.({
      batch,
      isStale: () => false,
      resolveOffset: () => undefined,
      commitOffsetsIfNecessary: async () => void this.committed.push(partition),
    } as unknown as EachBatchPayload);
  }
}

test('failure class: records fetched before a rebalance are taken for the new assignment, and their partition waited for', async () => {
  const operations: Operation[] = [];
  const kafkajs = new FakeKafkajs();
  const recorder = new Recorder({ record: async (operation) => void operations.push(operation) }, () => 0);
  const consumer = new WorkloadConsumer(kafkajs, SETTINGS, recorder);
  await consumer.start();
  kafkajs.join([5, 6]);
  await kafkajs.handOut(6, 0);
  kafkajs.join([5]);
  await kafkajs.handOut(6, 1);
  await kafkajs.handOut(5, 0);
  const polled = operations.filter(({ f }) => f === 'poll').map(({ ops }) => ops[0]?.partition);
  expect(polled).toEqual([6, 5]);
  expect(kafkajs.committed).toEqual([6, 5]);
  expect([...consumer.committed.keys()]).toEqual([6, 5]);
});
