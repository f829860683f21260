#!/usr/bin/env node
/**
 * Makes a fresh clone ready: installs the locked dependencies when they are missing or others than the lock file's.
 * `npm start` and `npm test` call it first, so a new user needs Node ≥ 20 and npm, and nothing else.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const [major] = process.versions.node.split('.').map(Number);
if (major < 20) {
  console.error(`Millrace needs Node 20 or newer to set itself up; this is ${process.version}.`);
  process.exit(1);
}

/** Packages of a lock file by where they lie, in a folder of installed ones. */
function packagesOf(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

/** npm leaves a lock file of what it installed, whoever called it, at the end of the installation. */
function isInstalled() {
  const installed = packagesOf(path.join(root, 'node_modules', '.package-lock.json'));
  return Object.entries(packagesOf(path.join(root, 'package-lock.json'))).every(
    // What is optional is for other platforms, mostly; what is linked is in this repository.
    ([place, { version, optional = false, link = false }]) =>
      !place.startsWith('node_modules/') || optional || link || installed[place]?.version === version,
  );
}

if (!isInstalled()) {
  process.stderr.write('Installing the locked dependencies (once; Node 24 is among them) ...\n');
  // Not `npm ci`: it refuses a lock file that lacks the optional binaries of some other platform, and a registry
  // mirror may not carry them all. Versions and checksums of what is locked are kept all the same.
  const npm = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (npm.status !== 0) {
    console.error('npm install failed; see its messages above. Is the npm registry reachable?');
    process.exit(npm.status ?? 1);
  }
}
