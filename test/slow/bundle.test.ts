import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { runOk } from '../harness/command.ts';
import { TempDir } from '../harness/temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const MIB = 1024 ** 2;

const dir = new TempDir();
let broker: ChildProcess | undefined;

beforeAll(async () => {
  await runOk(process.execPath, [path.join(ROOT, 'broker-runtime', 'build.mjs')]);
});
afterEach(() => {
  broker?.kill('SIGKILL');
  dir.remove();
});

test('the bundle is one file that serves alone, without any installed package', async () => {
  const bundle = dir.join('millrace-broker.mjs');
  copyFileSync(path.join(ROOT, 'broker-runtime', 'dist', 'millrace-broker.mjs'), bundle);
  const config = dir.join('config.json');
  writeFileSync(
    config,
    JSON.stringify({
      nodeId: 1,
      host: '127.0.0.1',
      port: 0,
      dataDir: dir.join('data'),
      store: { kind: 'files', directory: dir.join('objects') },
      walPaths: [dir.join('wal')],
      walFileBytes: 64 * MIB,
      memoryBytes: 128 * MIB,
      settings: {},
    }),
  );
  broker = spawn(process.execPath, [bundle, config], { cwd: dir.path, stdio: ['ignore', 'pipe', 'ignore'] });
  if (broker.stdout === null) throw new Error('no output');
  const [line] = (await once(broker.stdout, 'data')) as [Buffer];
  const { port } = JSON.parse(line.toString()) as { port: number };
  const lines = Array.from({ length: 1_000 }, (_, n) => `line ${n}\n`).join('');
  await runOk('kcat', ['-P', '-b', `127.0.0.1:${port}`, '-t', 'bundled', '-z', 'zstd'], { input: lines });
  expect(await runOk('kcat', ['-C', '-q', '-e', '-b', `127.0.0.1:${port}`, '-t', 'bundled'])).toBe(lines);
  const exited = once(broker, 'exit');
  broker.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
}, 60_000);
