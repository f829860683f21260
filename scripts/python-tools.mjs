#!/usr/bin/env node
/**
 * The checkers of the trade that exist for Python only, in .cache/python-tools: cfn-lint and checkov (templates) and moto (an account
 * to deploy them to). Prints the folder of their commands.
 *
 * Needs Python 3.9 or newer with venv for the first installation.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const PACKAGES = ['cfn-lint==1.58.0', 'checkov==3.3.30', 'moto[server,all]==5.2.5'];

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, '.cache', 'python-tools');
const done = path.join(folder, 'installed');

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (error !== undefined) throw new Error(`${command} is needed: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed; see its messages above`);
}

if (!existsSync(done) || readFileSync(done, 'utf8') !== PACKAGES.join('\n')) {
  process.stderr.write(`Installing ${PACKAGES.join(', ')} (once, about a minute) ...\n`);
  rmSync(folder, { recursive: true, force: true });
  run('python3', '-m', 'venv', folder);
  run(path.join(folder, 'bin', 'pip'), 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES);
  writeFileSync(done, PACKAGES.join('\n'));
}
console.log(path.join(folder, 'bin'));
