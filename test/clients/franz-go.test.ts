import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { run } from '../harness/command.ts';
import { runWithGo } from '../harness/go.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const CACHE = path.join(ROOT, '.cache', 'franz-go');
const VERSION = 'v1.21.6';
const TEST_DEADLINE_MS = 300_000;

/**
 * The tests of package kgo that must pass, with the parts that must: a test passes also when it skips parts for want
 * of a feature. The list only grows; docs/compatibility-findings.md tells about the others.
 */
const ALLOWED = Object.entries(
  JSON.parse(readFileSync(path.join(import.meta.dirname, 'franz-go-allowed.json'), 'utf8')) as Record<
    string,
    readonly string[]
  >,
).filter(([name]) => name.startsWith(process.env['ONLY'] ?? ''));

/** The module's zip on the Go proxy carries its tests; they are compiled once. */
async function build(): Promise<string> {
  const binary = path.join(CACHE, 'kgo.test');
  if (existsSync(binary)) return binary;
  mkdirSync(CACHE, { recursive: true });
  await runWithGo(
    CACHE,
    `
    rm -rf src
    dir=$(go mod download -json github.com/twmb/franz-go@${VERSION} | sed -n 's/.*"Dir": "\\(.*\\)".*/\\1/p')
    cp -r "$dir" src && chmod -R u+w src && cd src && go test -c -o ../kgo.test ./pkg/kgo`,
  );
  return binary;
}

describe("franz-go's own kgo tests against Millrace", () => {
  let broker: ClientBroker;
  let binary: string;

  beforeAll(async () => {
    binary = await build();
    broker = await ClientBroker.start('franz-go');
  }, 1_000_000);
  afterAll(async () => broker.stop());

  test.each(ALLOWED)(
    '%s',
    async (name, parts) => {
      const { status, stdout, stderr } = await run(
        binary,
        ['-test.run', `^${name}$`, '-test.v', '-test.timeout', '280s'],
        {
          cwd: path.join(CACHE, 'src', 'pkg', 'kgo'),
          env: {
            ...process.env,
            KGO_SEEDS: broker.bootstrapServers,
            KGO_TEST_RF: '1',
            KGO_TEST_RECORDS: '20000',
          },
          deadlineMs: TEST_DEADLINE_MS,
        },
      );
      const output = `${stdout}\n${stderr}`;
      expect({ status, tail: status === 0 ? '' : output.slice(-4_000) }).toEqual({ status: 0, tail: '' });
      // A test that skipped itself, or does not exist any more, has proven nothing.
      for (const passed of [name, ...parts.map((part) => `${name}/${part}`)]) {
        expect(output).toContain(`--- PASS: ${passed} (`);
      }
    },
    TEST_DEADLINE_MS + 10_000,
  );
});
