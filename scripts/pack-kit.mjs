#!/usr/bin/env node
/**
 * Packs the kit for other people's CDK apps: compiled constructs with their typings, and the broker bundle they deploy.
 * Prints the name of the package file.
 *
 *   npm run -s pack:kit          millrace-VERSION.tgz in .cache/
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const out = path.join(root, 'dist', 'kit');
const run = (command, ...args) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });

rmSync(out, { recursive: true, force: true });
run(process.execPath, path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.kit.json');
run(process.execPath, path.join(root, 'broker-runtime', 'build.mjs'));
mkdirSync(path.join(out, 'broker-runtime', 'dist'), { recursive: true });
for (const file of ['LICENSE', 'README.md', 'broker-runtime/dist/millrace-broker.mjs']) {
  cpSync(path.join(root, file), path.join(out, file));
}

const { name, version, description, license, type, devDependencies } = JSON.parse(
  readFileSync(path.join(root, 'package.json'), 'utf8'),
);
const manifest = {
  name,
  version,
  description,
  license,
  type,
  engines: { node: '>=20.19' },
  exports: { '.': { types: './lib/index.d.ts', default: './lib/index.js' } },
  peerDependencies: {
    'aws-cdk-lib': `^${devDependencies['aws-cdk-lib']}`,
    constructs: `^${devDependencies['constructs']}`,
  },
};
writeFileSync(path.join(out, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);

const cache = path.join(root, '.cache');
mkdirSync(cache, { recursive: true });
const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', cache, out], {
  encoding: 'utf8',
});
console.log(path.join(cache, JSON.parse(packed)[0].filename));
