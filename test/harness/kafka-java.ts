import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { runOk } from './command.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const LIBS = path.join(ROOT, '.cache', 'kafka-java', 'libs');
const POM = path.join(ROOT, 'test', 'clients', 'java', 'pom.xml');

/** Kafka's Java clients, tools and broker, fetched once from Maven Central. Needs Java 17 and Maven. */
export async function kafkaClasspath(): Promise<string> {
  if (!existsSync(LIBS)) {
    // Two suites may need it at the same moment: each fetches for itself, the first one's stays.
    const mine = `${LIBS}.${process.pid}`;
    await runOk(
      'mvn',
      [
        '-q',
        '-B',
        '-f',
        POM,
        'dependency:copy-dependencies',
        `-DoutputDirectory=${mine}`,
        '-DincludeScope=runtime',
      ],
      { deadlineMs: 600_000 },
    );
    if (existsSync(LIBS)) rmSync(mine, { recursive: true });
    else renameSync(mine, LIBS);
  }
  return path.join(LIBS, '*');
}

/** Main classes behind the `kafka-*.sh` scripts. */
export const KAFKA_TOOLS = {
  topics: 'org.apache.kafka.tools.TopicCommand',
  consumerGroups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  configs: 'kafka.admin.ConfigCommand',
  consoleProducer: 'org.apache.kafka.tools.ConsoleProducer',
  consoleConsumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  verifiableProducer: 'org.apache.kafka.tools.VerifiableProducer',
  verifiableConsumer: 'org.apache.kafka.tools.VerifiableConsumer',
  getOffsets: 'org.apache.kafka.tools.GetOffsetShell',
  deleteRecords: 'org.apache.kafka.tools.DeleteRecordsCommand',
  logDirs: 'org.apache.kafka.tools.LogDirsCommand',
  apiVersions: 'org.apache.kafka.tools.BrokerApiVersionsCommand',
  producerPerformance: 'org.apache.kafka.tools.ProducerPerformance',
  consumerPerformance: 'org.apache.kafka.tools.ConsumerPerformance',
} as const;

export async function javaArgs(tool: keyof typeof KAFKA_TOOLS, args: readonly string[]): Promise<string[]> {
  return [
    '-Xmx256m',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
    '-cp',
    await kafkaClasspath(),
    KAFKA_TOOLS[tool],
    ...args,
  ];
}
