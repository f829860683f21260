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
  /** Cleanly; what it stored stays. */
  stop(): Promise<void>;
  /** After {@link stop}, on the same data. Resolves when connections are accepted. */
  startAgain(): Promise<void>;
  /** Stops it when it runs, and removes what it stored. */
  discard(): Promise<void>;
}

/** With its own defaults, but a WAL that holds the write load of a run. */
export async function startMillrace(): Promise<MeasuredBroker> {
  const dir = new TempDir();
  const millrace = await MillraceProcess.start({ dataDir: dir.join('data'), args: ['--wal-size', '1GiB'] });
  return {
    name: 'Millrace',
    bootstrapServers: millrace.bootstrapServers,
    get pid() {
      return millrace.pid;
    },
    stop: async () => {
      await millrace.stop();
    },
    startAgain: async () => {
      await millrace.restart();
    },
    discard: async () => {
      await millrace.stop();
      dir.remove();
    },
  };
}

/** Apache Kafka as it comes: KRaft, broker and controller in one process, its own default settings and heap. */
export async function startKafka(port: number): Promise<MeasuredBroker> {
  const dir = new TempDir();
  const properties = writeProperties(dir, port);
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
    ...['kafka.tools.StorageTool', 'format', '-t', 'bWlsbHJhY2UtYmVuY2gtMQ', '-c', properties],
  ]);
  const start = async (): Promise<ChildProcess> => {
    const started = spawn('java', [...java, 'kafka.Kafka', properties], { stdio: 'ignore' });
    await untilAccepting(started, port);
    return started;
  };
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  };
  let child = await start();
  return {
    name: 'Apache Kafka',
    bootstrapServers: `127.0.0.1:${port}`,
    get pid() {
      if (child.pid === undefined) throw new Error('Kafka did not start');
      return child.pid;
    },
    stop,
    startAgain: async () => {
      child = await start();
    },
    discard: async () => {
      await stop();
      dir.remove();
    },
  };
}

function writeProperties(dir: TempDir, port: number): string {
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
  return properties;
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
