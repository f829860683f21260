import { Kafka, logLevel } from 'kafkajs';
import { run } from '../test/harness/command.ts';
import { type MeasuredBroker, startKafka, startMillrace } from './brokers.ts';

const PARTITIONS = 1_000;
const TOPIC = 'wide';
const DEADLINE_MS = 60_000;

/** From process start until every one of 1,000 partitions has a leader in the metadata a client gets, milliseconds. */
export interface StartFigures {
  readonly millraceMs: number;
  readonly kafkaMs: number;
}

/** Makes 1,000 partitions, stops cleanly, and starts again on the same data. */
export async function startWithManyPartitions(kafkaPort: number): Promise<StartFigures> {
  return {
    millraceMs: await restart(await startMillrace()),
    kafkaMs: await restart(await startKafka(kafkaPort)),
  };
}

async function restart(broker: MeasuredBroker): Promise<number> {
  try {
    const kafka = new Kafka({ brokers: [broker.bootstrapServers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: 1 }] });
    await admin.disconnect();
    await broker.stop();
    const startedMs = performance.now();
    await broker.startAgain();
    while ((await leaders(broker)) < PARTITIONS) {
      if (performance.now() - startedMs > DEADLINE_MS)
        throw new Error(`${broker.name} leads too few partitions`);
    }
    return performance.now() - startedMs;
  } finally {
    await broker.discard();
  }
}

async function leaders(broker: MeasuredBroker): Promise<number> {
  const { stdout } = await run('kcat', ['-L', '-J', '-b', broker.bootstrapServers, '-t', TOPIC, '-m', '2']);
  if (stdout.trim() === '') return 0;
  const listed = JSON.parse(stdout) as { topics: { partitions: { leader: number }[] }[] };
  return (listed.topics[0]?.partitions ?? []).filter(({ leader }) => leader >= 0).length;
}
