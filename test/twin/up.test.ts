import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { TestAuthority } from '../harness/certificates.ts';
import { run } from '../harness/command.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { TempDir } from '../harness/temp-dir.ts';

const COMMAND = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
/** Several repeats of a request to the object store. */
const WAITS_MS = 3_000;
const SMALL = ['--zones', '1', '--wal-size', '64MiB', '--memory', '128MiB'];

const millrace = (...args: string[]) => run(process.execPath, [COMMAND, ...args]);

describe('millrace up with a single broker, as a real process', () => {
  let dir: TempDir;

  beforeEach(() => {
    dir = new TempDir();
  });
  afterEach(() => {
    dir.remove();
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'prints one line when it serves, and stops cleanly on %s with status 0',
    async (signal) => {
      const args = [COMMAND, 'up', '--port', '0', '--data', dir.join('data'), ...SMALL];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      let stdout = '';
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      while (!stdout.includes('\n')) await once(child.stdout, 'data');
      expect(stdout).toMatch(/^bootstrap\.servers=127\.0\.0\.1:\d+\n$/);
      child.kill(signal);
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
  );

  test('process-ends-while-waiting: a start that waits for the object store goes on waiting', async () => {
    const store = [
      '--store',
      's3://bucket/prefix',
      '--store-endpoint',
      'http://127.0.0.1:9',
      '--store-region',
      'r',
    ];
    const args = [COMMAND, 'up', '--json', '--port', '0', '--data', dir.join('data'), ...SMALL, ...store];
    const credentials = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' };
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...credentials },
    });
    const exited = once(child, 'exit');
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const waits = async () => {
      while (!said.includes('waiting-for-store')) await once(child.stderr, 'data');
      await new Promise((resolve) => setTimeout(resolve, WAITS_MS));
      return 'waits';
    };
    expect(await Promise.race([exited, waits()])).toBe('waits');
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  }, 60_000);

  test('keeps what was acknowledged through kill -9, and groups where they were', async () => {
    const args = [...SMALL, '--set', 'group.initial.rebalance.delay.ms=0'];
    const broker = await MillraceProcess.start({ dataDir: dir.join('data'), args });
    const kafka = new Kafka({ brokers: [broker.bootstrapServers], logLevel: logLevel.NOTHING });
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic: 'kept', messages: [{ value: 'a' }, { value: 'b' }] });
    await producer.disconnect();
    const consumer = kafka.consumer({ groupId: 'readers', maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topic: 'kept', fromBeginning: true });
    const read = Promise.withResolvers<undefined>();
    await consumer.run({
      eachMessage: async ({ message }) => {
        if (message.value?.toString() === 'b') read.resolve(undefined);
      },
    });
    await read.promise;
    await consumer.disconnect();

    await broker.kill();
    await broker.restart();

    const admin = kafka.admin();
    await admin.connect();
    expect(await admin.fetchTopicOffsets('kept')).toMatchObject([{ partition: 0, low: '0', high: '2' }]);
    const offsets = await admin.fetchOffsets({ groupId: 'readers', topics: ['kept'] });
    expect(offsets[0]?.partitions).toMatchObject([{ partition: 0, offset: '2' }]);
    await admin.disconnect();
    expect(await broker.stop()).toBe(0);
  });

  test('with TLS it serves clients that trust its authority and show a certificate, and no others', async () => {
    const authority = await TestAuthority.create();
    const [server, client] = await Promise.all([authority.sign('broker'), authority.sign('client')]);
    const file = (name: string, text: string): string => {
      writeFileSync(dir.join(name), text);
      return dir.join(name);
    };
    const tls = ['--tls-cert', file('cert', server.certificate), '--tls-key', file('key', server.privateKey)];
    const broker = await MillraceProcess.start({
      dataDir: dir.join('data'),
      args: ['--zones', '1', ...SMALL, ...tls, '--tls-client-ca', file('ca', authority.certificate)],
    });
    try {
      const connectWith = async (ssl: object | false): Promise<number> => {
        const kafka = new Kafka({
          brokers: [broker.bootstrapServers],
          logLevel: logLevel.NOTHING,
          connectionTimeout: 2_000,
          retry: { retries: 3, initialRetryTime: 50 },
          ssl,
        });
        const producer = kafka.producer();
        await producer.connect();
        const [sent] = await producer.send({ topic: 'secret', messages: [{ value: 'hush' }] });
        await producer.disconnect();
        return Number(sent?.baseOffset);
      };
      const ours = { ca: authority.certificate, cert: client.certificate, key: client.privateKey };
      expect(await connectWith(ours)).toBe(0);
      await expect(connectWith({ ca: authority.certificate })).rejects.toThrow();
      await expect(connectWith({ ...ours, ca: undefined })).rejects.toThrow();
      await expect(connectWith(false)).rejects.toThrow();
      expect(await connectWith(ours)).toBe(1);
    } finally {
      await broker.stop();
    }
  });

  test.each<[string[], RegExp]>([
    [['--tls-cert', 'x'], /TLS needs --tls-cert FILE and --tls-key FILE/],
    [['--tls-cert', 'nowhere', '--tls-key', 'nowhere'], /--tls-cert nowhere cannot be read: ENOENT/],
    [['--tls-cert', COMMAND, '--tls-key', COMMAND], /TLS: the certificate is not PEM/],
  ])('%j is refused in a line', async (options, message) => {
    const { status, stderr } = await millrace(
      'up',
      '--data',
      dir.join('data'),
      '--port',
      '0',
      ...SMALL,
      ...options,
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test('refuses a data folder that another process holds, and a port in use', async () => {
    const broker = await MillraceProcess.start({ dataDir: dir.join('data'), args: SMALL });
    const port = broker.bootstrapServers.split(':')[1] ?? '';
    const sameFolder = await millrace('up', '--port', '0', '--data', dir.join('data'), ...SMALL);
    expect(sameFolder.status).toBe(1);
    expect(sameFolder.stderr).toMatch(/^millrace: the folder .* is held by another process: .*\n$/);
    const samePort = await millrace('up', '--port', port, '--data', dir.join('other'), ...SMALL);
    expect(samePort.status).toBe(1);
    expect(samePort.stderr).toContain(port);
    expect(samePort.stderr).not.toContain('    at ');
    expect(await broker.stop()).toBe(0);
  });
});

describe('a mistake on the command line is one clear line, without a stack trace', () => {
  test.each([
    [['up', '--port', '99999'], 'got "99999", allowed: 0 to 65535'],
    [['up', '--memory', 'lots'], 'got "lots", allowed: a whole number of bytes'],
    [['up', '--store', 's3://X'], 'allowed: a folder, or s3://BUCKET/PREFIX'],
    [['up', '--set', 'nonsense'], 'got "nonsense", allowed: NAME=VALUE'],
    [['up', '--nonsense'], "unknown option '--nonsense'"],
    [['nonsense'], "unknown command 'nonsense'"],
  ])('%p', async (args, message) => {
    const { status, stderr } = await millrace(...args);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
  });

  test('a setting Kafka does not have is refused before anything is made', async () => {
    const dir = new TempDir();
    const { status, stderr } = await millrace(
      'up',
      '--data',
      dir.join('data'),
      ...SMALL,
      '--set',
      'num.partitons=4',
    );
    expect(status).toBe(1);
    expect(stderr).toContain('num.partitons');
    expect(stderr).not.toContain('    at ');
    dir.remove();
  });

  test('--help teaches', async () => {
    const { status, stdout } = await millrace('up', '--help');
    expect(status).toBe(0);
    for (const option of ['--port', '--data', '--store', '--wal', '--json', 's3://', 'Examples'])
      expect(stdout).toContain(option);
  });
});
