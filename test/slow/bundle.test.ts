import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { BrokerConfig } from '../../broker-runtime/src/main/broker-config.ts';
import { TestAuthority, validity } from '../harness/certificates.ts';
import { runOk } from '../harness/command.ts';
import { TempDir } from '../harness/temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const BUNDLE = path.join(ROOT, 'broker-runtime', 'dist', 'millrace-broker.mjs');
const MIB = 1024 ** 2;

let dir: TempDir;
let broker: ChildProcess | undefined;
let producer: ChildProcess | undefined;

beforeAll(async () => {
  await runOk(process.execPath, [path.join(ROOT, 'broker-runtime', 'build.mjs')]);
});
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => {
  producer?.kill('SIGKILL');
  broker?.kill('SIGKILL');
  dir.remove();
});

function config(tls: object = {}): BrokerConfig {
  return {
    nodeId: 1,
    host: '127.0.0.1',
    port: 0,
    dataDir: dir.join('data'),
    store: { kind: 'files', directory: dir.join('objects') },
    walPaths: [dir.join('wal')],
    walFileBytes: 64 * MIB,
    memoryBytes: 128 * MIB,
    settings: {},
    ...tls,
  };
}

/** @returns the port that it told when it served */
async function start(bundle: string, file: string): Promise<number> {
  broker = spawn(process.execPath, [bundle, file], { cwd: dir.path, stdio: ['ignore', 'pipe', 'pipe'] });
  if (broker.stdout === null) throw new Error('no output');
  const [line] = (await once(broker.stdout, 'data')) as [Buffer];
  return (JSON.parse(line.toString()) as { port: number }).port;
}

async function stop(): Promise<void> {
  if (broker === undefined) throw new Error('none was started');
  const exited = once(broker, 'exit');
  broker.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
}

test('the bundle is one file that serves alone, without any installed package', async () => {
  const bundle = dir.join('millrace-broker.mjs');
  copyFileSync(BUNDLE, bundle);
  const file = dir.join('config.json');
  writeFileSync(file, JSON.stringify(config()));
  const port = await start(bundle, file);
  const lines = Array.from({ length: 1_000 }, (_, n) => `line ${n}\n`).join('');
  await runOk('kcat', ['-P', '-b', `127.0.0.1:${port}`, '-t', 'bundled', '-z', 'zstd'], { input: lines });
  expect(await runOk('kcat', ['-C', '-q', '-e', '-b', `127.0.0.1:${port}`, '-t', 'bundled'])).toBe(lines);
  await stop();
}, 60_000);

test('SIGHUP: its certificates are read again, and only what is good is taken; clients go on', async () => {
  const authority = await TestAuthority.create();
  writeFileSync(dir.join('ca.pem'), authority.certificate);
  const file = dir.join('config.json');
  const give = (tls: object) => writeFileSync(file, JSON.stringify(config({ tls })));
  const old = await authority.sign('the old one');
  give(old);
  const port = await start(BUNDLE, file);
  const told: string[] = [];
  broker?.stderr?.on('data', (text: Buffer) => told.push(String(text)));
  const seen = async (): Promise<string | string[] | undefined> => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: authority.certificate });
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN;
  };
  const renewed = async (credentials: object, event: string) => {
    give(credentials);
    broker?.kill('SIGHUP');
    while (!told.join('').includes(event)) await once(broker?.stderr ?? process, 'data');
    told.length = 0;
    return seen();
  };
  const secure = ['-b', `127.0.0.1:${port}`, '-t', 'renewed', '-X', 'security.protocol=SSL'];
  const kcat = [...secure, '-X', `ssl.ca.location=${dir.join('ca.pem')}`];
  const writing = spawn('kcat', ['-P', ...kcat], { stdio: ['pipe', 'ignore', 'ignore'] });
  producer = writing;
  writing.stdin.write('before\n');
  expect(await seen()).toBe('the old one');
  const next = await authority.sign('the new one', [], validity(90));
  expect(await renewed({ ...next, privateKey: old.privateKey }, 'certificate.refused')).toBe('the old one');
  expect(await renewed(next, 'certificate.in-use')).toBe('the new one');
  writing.stdin.end('after\n');
  expect(await once(writing, 'exit')).toEqual([0, null]);
  expect(await runOk('kcat', ['-C', '-q', '-e', ...kcat])).toBe('before\nafter\n');
  await stop();
}, 60_000);
