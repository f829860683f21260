import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type CertificateAndKey, TestAuthority } from '../harness/certificates.ts';
import { ClientBroker } from '../harness/client-broker.ts';
import { type Finished, run } from '../harness/command.ts';
import { javaArgs, type KAFKA_TOOLS } from '../harness/kafka-java.ts';
import { TempDir } from '../harness/temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const KIT = readFileSync(path.join(ROOT, 'docs', 'kit.md'), 'utf8');
const LINES = Array.from({ length: 200 }, (_, n) => `line ${n}`);
const DEADLINE_MS = 40_000;
const SETTLE_TRIES = 100;
const SETTLE_MS = 100;

/** The first snippet behind the name in bold. */
function documented(name: string): string {
  const snippet = new RegExp(
    `\\*\\*${name}\\*\\*[^\`]*(?:\`[^\`\n]+\`[^\`]*)*\`\`\`\\w+\n([^]+?)\`\`\``,
  ).exec(KIT)?.[1];
  if (snippet === undefined) throw new Error(`docs/kit.md has no settings for ${name}`);
  return snippet;
}

type Stranger = 'none' | 'foreign' | 'distrusts';

/** A client whose settings are those of docs/kit.md, as a program in a folder that has what they name. */
interface Client {
  readonly name: string;
  readonly settingsFile: string;
  /** Those lines of the settings that make it show a certificate. */
  readonly shows: RegExp;
  /** Idempotent, acks=all. */
  produce(folder: string, topic: string, lines: readonly string[]): Promise<Finished>;
  /** All of {@link LINES}, from the beginning, as the only member of a group. */
  read(folder: string, topic: string): Promise<Finished>;
  /** What it says as the stranger of that name. */
  readonly refusals: Readonly<Record<Stranger, RegExp>>;
}

const inputOf = (lines: readonly string[]) => `${lines.join('\n')}\n`;
const settled = { acks: 'all', 'enable.idempotence': 'true' };
let bootstrap = '';

async function java(folder: string, tool: keyof typeof KAFKA_TOOLS, args: readonly string[], input = '') {
  const common = ['--bootstrap-server', bootstrap, '--command-config', 'client.properties'];
  const options = { cwd: folder, input, deadlineMs: DEADLINE_MS };
  return run('java', await javaArgs(tool, [...common, ...args]), options);
}

const javaClient: Client = {
  name: 'Java',
  settingsFile: 'client.properties',
  shows: /^ssl\.keystore/,
  produce: (folder, topic, lines) => {
    const properties = Object.entries(settled).flatMap(([name, value]) => [
      '--command-property',
      `${name}=${value}`,
    ]);
    return java(folder, 'consoleProducer', ['--topic', topic, ...properties], inputOf(lines));
  },
  read: (folder, topic) => {
    const count = ['--max-messages', String(LINES.length)];
    return java(folder, 'consoleConsumer', [
      '--topic',
      topic,
      '--group',
      topic,
      '--from-beginning',
      ...count,
    ]);
  },
  refusals: {
    none: /SslAuthenticationException[^]*certificate_required/,
    // It shows none where it has none of the authorities that the broker names.
    foreign: /SslAuthenticationException[^]*certificate_required/,
    distrusts: /SslAuthenticationException[^]*unable to find valid certification path/,
  },
};

function kcat(folder: string, args: readonly string[], input = ''): Promise<Finished> {
  return run('kcat', ['-F', 'kcat.conf', ...args], { cwd: folder, input, deadlineMs: DEADLINE_MS });
}

const librdkafka: Client = {
  name: 'librdkafka',
  settingsFile: 'kcat.conf',
  shows: /^ssl\.(certificate|key)\./,
  produce: (folder, topic, lines) => {
    const properties = Object.entries({ ...settled, 'message.timeout.ms': '5000' });
    const settings = properties.flatMap(([name, value]) => ['-X', `${name}=${value}`]);
    return kcat(folder, ['-P', '-t', topic, ...settings], inputOf(lines));
  },
  read: (folder, topic) => {
    const count = ['-c', String(LINES.length)];
    return kcat(folder, ['-q', ...count, '-X', 'auto.offset.reset=earliest', '-G', topic, topic]);
  },
  refusals: {
    none: /alert certificate required/,
    // Node ends the connection without an alert (docs/kit.md tells).
    foreign: /unexpected eof while reading/,
    distrusts: /broker certificate could not be verified/,
  },
};

/** Behind the documented settings, which make `kafka`. */
const KAFKAJS_LIFE = {
  produce: `
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } });
    await producer.connect();
    const messages = process.argv.slice(3).map((value) => ({ value }));
    await producer.send({ topic: process.argv[2], acks: -1, messages });
    await producer.disconnect();`,
  read: `
    const consumer = kafka.consumer({ groupId: process.argv[2] });
    await consumer.connect();
    await consumer.subscribe({ topic: process.argv[2], fromBeginning: true });
    let left = ${LINES.length};
    await new Promise((done) =>
      consumer.run({
        eachMessage: async ({ message }) => {
          console.log(message.value.toString());
          if ((left -= 1) === 0) done();
        },
      }));
    await consumer.disconnect();`,
};

function kafkajs(folder: string, life: string, args: readonly string[]): Promise<Finished> {
  const program = path.join(folder, 'program.mjs');
  writeFileSync(program, readFileSync(path.join(folder, 'kafka.mjs'), 'utf8') + life);
  return run(process.execPath, ['--no-warnings', program, ...args], { cwd: folder, deadlineMs: DEADLINE_MS });
}

const kafkajsClient: Client = {
  name: 'kafkajs',
  settingsFile: 'kafka.mjs',
  shows: /^ +(cert|key):/,
  produce: (folder, topic, lines) => kafkajs(folder, KAFKAJS_LIFE.produce, [topic, ...lines]),
  read: (folder, topic) => kafkajs(folder, KAFKAJS_LIFE.read, [topic]),
  refusals: {
    none: /alert certificate required/,
    foreign: /Closed connection/,
    distrusts: /self-signed certificate in certificate chain/,
  },
};

const dir = new TempDir();
let broker: ClientBroker;
let authority: TestAuthority;
let foreign: TestAuthority;
let known: CertificateAndKey;
let unknown: CertificateAndKey;

beforeAll(async () => {
  authority = await TestAuthority.create('Clients and brokers');
  foreign = await TestAuthority.create('Somebody else');
  known = await authority.sign('client');
  unknown = await foreign.sign('client');
  const tls = { ...(await authority.sign('broker')), clientAuthorities: authority.certificate };
  broker = await ClientBroker.start('tls', { 'offsets.topic.num.partitions': '4' }, { tls });
  bootstrap = broker.bootstrapServers;
  symlinkSync(path.join(ROOT, 'node_modules'), dir.join('node_modules'));
});
afterAll(async () => {
  await broker.stop();
  dir.remove();
});

/** Whose certificates a client trusts, and what it shows itself. */
interface Identity {
  readonly trusted: string;
  readonly shown?: CertificateAndKey;
}

/** @returns a folder of its own with the documented settings and the files that they name */
function folderOf(name: string, client: Client, { trusted, shown }: Identity): string {
  const folder = dir.join(`${client.name} ${name}`);
  mkdirSync(folder);
  const settings = documented(client.name).replace('prod.millrace.internal:9092', bootstrap).split('\n');
  const kept = settings.filter((line) => shown !== undefined || !client.shows.test(line));
  writeFileSync(path.join(folder, client.settingsFile), kept.join('\n'));
  writeFileSync(path.join(folder, 'ca.pem'), trusted);
  if (shown !== undefined)
    writeFileSync(path.join(folder, 'client.pem'), `${shown.privateKey}\n${shown.certificate}\n`);
  return folder;
}

/** Sockets that the broker holds, its own listeners among them. */
function sockets(): number {
  const fds = `/proc/${broker.process.pid}/fd`;
  return readdirSync(fds).filter((fd) => {
    try {
      return readlinkSync(path.join(fds, fd)).startsWith('socket:');
    } catch {
      return false; // It was closed since it was listed.
    }
  }).length;
}

async function socketsAre(count: number): Promise<void> {
  for (let tries = 0; tries < SETTLE_TRIES && sockets() > count; tries += 1)
    await new Promise((next) => setTimeout(next, SETTLE_MS));
  expect(sockets()).toBe(count);
}

/** Reasons that the broker told for handshakes that came to nothing. */
const told = (): Set<string> =>
  new Set(
    broker.process.stderr
      .filter((line) => line.includes('server.handshake-failed'))
      .map((line) => (JSON.parse(line) as { reason: string }).reason),
  );

/** Clients that must not get in, or do not want to. */
const strangers = (): Record<Stranger, Identity> => ({
  none: { trusted: authority.certificate },
  foreign: { trusted: authority.certificate, shown: unknown },
  distrusts: { trusted: foreign.certificate, shown: known },
});

describe.each([javaClient, librdkafka, kafkajsClient])(
  '$name, with the settings of docs/kit.md',
  (client) => {
    const topic = `of-${client.name}`;

    test('no certificate, a foreign one, a foreign authority: refused, with nothing left behind', async () => {
      const before = sockets();
      const cases = Object.entries(strangers()) as [Stranger, Identity][];
      await Promise.all(
        cases.map(async ([name, identity]) => {
          const { stdout, stderr } = await client.produce(folderOf(name, client, identity), topic, ['x']);
          expect(stdout + stderr).toMatch(client.refusals[name]);
        }),
      );
      await socketsAre(before);
    });

    test('writes, idempotent and with acks=all, and reads back in a group: nothing else got in', async () => {
      const before = sockets();
      const folder = folderOf('known', client, { trusted: authority.certificate, shown: known });
      expect(await client.produce(folder, topic, LINES)).toMatchObject({ status: 0 });
      const { stdout } = await client.read(folder, topic);
      expect(stdout.split('\n').filter((line) => line.startsWith('line'))).toEqual(LINES);
      await socketsAre(before);
    });
  },
);

test('the broker tells why it refused', () => {
  expect(told()).toContain('peer did not return a certificate');
  expect(told()).toContain('it left, or its certificate is of nobody known here');
});
