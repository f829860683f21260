#!/usr/bin/env node
/**
 * An S3-compatible server for tests: VersityGW with its POSIX backend, installed into .cache when missing.
 *
 *   node scripts/s3-server.mjs [--data FOLDER] [--port PORT]
 *       starts it on a free loopback port over a fresh folder, creates the bucket "millrace", prints one line of
 *       JSON {endpoint, bucket, region, accessKeyId, secretAccessKey, pid}, and stops when its standard input
 *       ends or it is told to: with its parent, however that one dies.
 *
 * Needs Go 1.23 or newer for the first installation. Why this server: test/conformance/README.md.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const VERSION = 'v1.8.0';
const ACCESS_KEY_ID = 'millrace-test';
const SECRET_ACCESS_KEY = 'millrace-test-secret';
const REGION = 'us-east-1';
const BUCKET = 'millrace';
const START_TIMEOUT_MS = 15_000;

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, '.cache', 's3-server', VERSION);
const binary = path.join(folder, 'versitygw');

function install() {
  if (existsSync(binary)) return;
  mkdirSync(folder, { recursive: true });
  process.stderr.write(`Installing the S3 test server (versitygw ${VERSION}; once, about a minute) ...\n`);
  const go = spawnSync('go', ['install', `github.com/versity/versitygw/cmd/versitygw@${VERSION}`], {
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
    stdio: ['ignore', 2, 2],
  });
  if (go.error !== undefined) throw new Error(`go is needed to install versitygw: ${go.error.message}`);
  if (go.status !== 0) throw new Error('go install failed; see its messages above');
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function waitUntilItAnswers(endpoint, child) {
  const until = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`versitygw ended with status ${child.exitCode}`);
    try {
      await fetch(endpoint);
      return;
    } catch (error) {
      if (Date.now() > until) throw new Error(`versitygw does not answer at ${endpoint}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function main() {
  const { values } = parseArgs({ options: { data: { type: 'string' }, port: { type: 'string' } } });

  install();
  const scratch = values.data ?? mkdtempSync(path.join(tmpdir(), 'millrace-s3-'));
  // In the POSIX backend a folder is a bucket.
  mkdirSync(path.join(scratch, BUCKET), { recursive: true });
  const port = values.port ?? (await freePort());
  const endpoint = `http://127.0.0.1:${port}`;
  const server = spawn(
    binary,
    ['--port', `127.0.0.1:${port}`, '--region', REGION, '--quiet', 'posix', scratch],
    {
      env: { ...process.env, ROOT_ACCESS_KEY: ACCESS_KEY_ID, ROOT_SECRET_KEY: SECRET_ACCESS_KEY },
      stdio: ['ignore', 'ignore', 2],
    },
  );
  const stop = (status) => {
    server.kill('SIGKILL');
    if (values.data === undefined) rmSync(scratch, { recursive: true, force: true });
    process.exit(status);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(1));
  try {
    await waitUntilItAnswers(endpoint, server);
  } catch (error) {
    console.error(error.message);
    stop(1);
  }
  server.on('exit', (status) => {
    console.error(`versitygw ended with status ${status}`);
    stop(1);
  });

  const facts = {
    endpoint,
    bucket: BUCKET,
    region: REGION,
    accessKeyId: ACCESS_KEY_ID,
    secretAccessKey: SECRET_ACCESS_KEY,
    pid: server.pid,
  };
  process.stdout.write(`${JSON.stringify(facts)}\n`);
  // The end of a pipe also comes when the parent is killed.
  process.stdin
    .resume()
    .on('end', () => stop(0))
    .on('error', () => stop(0));
}

await main();
