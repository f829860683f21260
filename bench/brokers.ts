import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { runOk } from '../test/harness/command.ts';
import { kafkaClasspath } from '../test/harness/kafka-java.ts';
import { MillraceProcess } from '../test/harness/millrace-process.ts';
import { TempDir } from '../test/harness/temp-dir.ts';

const START_DEADLINE_MS = 60_000;

/** A broker to be measured: ours or the peer, as one process. */
export interface MeasuredBroker {
  readonly name: string;
  readonly bootstrapServers: string;
  readonly pid: number;
  /** From process start until a connection is accepted. */
  readonly startMs: number;
  stop(): Promise<void>;
}

export async function startMillrace(): Promise<MeasuredBroker> {
  const dir = new TempDir();
  const startedMs = performance.now();
  const millrace = await MillraceProcess.start({ dataDir: dir.join('data'), args: ['--wal-size', '1GiB'] });
  return {
    name: 'Millrace',
    bootstrapServers: millrace.bootstrapServers,
    pid: millrace.pid,
    startMs: performance.now() - startedMs,
    stop: async () => {
      await millrace.stop();
      dir.remove();
    },
  };
}

/** Apache Kafka as it comes: KRaft, broker and controller in one process, its own default settings and heap. */
export async function startKafka(port: number): Promise<MeasuredBroker> {
  const dir = new TempDir();
  const properties = dir.join('server.properties');
  mkdirSync(dir.join('logs'));
  writeFileSync(
    properties,
    [
      'process.roles=broker,controller',
      'node.id=1',
      `controller.quorum.voters=1@127.0.0.1:${port + 1}`,
      'controller.listener.names=CONTROLLER',
      `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${port + 1}`,
      `log.dirs=${dir.join('logs')}`,
      'offsets.topic.replication.factor=1',
      'transaction.state.log.replication.factor=1',
      'transaction.state.log.min.isr=1',
    ].join('\n'),
  );
  const java = [
    '-Xmx1G',
    '-Xms1G',
    '-XX:+UseG1GC',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
    '-cp',
    await kafkaClasspath(),
  ];
  await runOk('java', [
    ...java,
    'kafka.tools.StorageTool',
    'format',
    '-t',
    'bWlsbHJhY2UtYmVuY2gtMQ',
    '-c',
    properties,
  ]);
  const startedMs = performance.now();
  const child = spawn('java', [...java, 'kafka.Kafka', properties], { stdio: 'ignore' });
  await untilAccepting(child, port);
  const { pid } = child;
  if (pid === undefined) throw new Error('Kafka did not start');
  return {
    name: 'Apache Kafka',
    bootstrapServers: `127.0.0.1:${port}`,
    pid,
    startMs: performance.now() - startedMs,
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      dir.remove();
    },
  };
}

async function untilAccepting(child: ChildProcess, port: number): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS;
  while (performance.now() < deadlineMs) {
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}`);
    const accepted = await new Promise<boolean>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (accepted) return;
    await new Promise((next) => setTimeout(next, 20));
  }
  throw new Error(`no broker on port ${port} within ${START_DEADLINE_MS} ms`);
}
