#!/usr/bin/env node
/**
 * The `millrace` command. Makes sure the dependencies are there, then runs bin/millrace.ts on the Node 24 that is
 * one of them, whatever Node the user has.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);

const setup = spawnSync(process.execPath, [path.join(root, 'scripts', 'setup.mjs')], {
  stdio: ['ignore', 2, 2],
});
if (setup.status !== 0) process.exit(setup.status ?? 1);

const node24 = path.join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
const node = existsSync(node24) ? node24 : process.execPath;
const child = spawn(node, [path.join(here, 'millrace.ts'), ...process.argv.slice(2)], { stdio: 'inherit' });

// A terminal sends its signals to the whole group; others send them to us alone. The child decides how to stop.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => child.kill(signal));
}
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
