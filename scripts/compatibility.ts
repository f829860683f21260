/**
 * Writes docs/compatibility.md: which versions of which API each client was seen to use, and which tests it passed.
 * Reads what the client suites left in .cache/compatibility; run them first: npm run test:slow -- test/clients
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { API_VERSIONS, type ApiVersionRange } from '../broker-runtime/src/wire/api-keys.ts';

const ROOT = path.dirname(import.meta.dirname);
const FOLDER = path.join(ROOT, '.cache', 'compatibility');
const PAGE = path.join(ROOT, 'docs', 'compatibility.md');

/** What each suite in test/clients runs. */
const CLIENTS: Readonly<Record<string, string>> = {
  kafkajs: 'kafkajs 2.2.4',
  platformatic: '@platformatic/kafka 2.12.1',
  kcat: "kcat on Debian's librdkafka 2.0.2",
  'kafka-python': "kafka-python 2.0.2, Debian's",
  java: 'Java clients and tools of Apache Kafka 4.3.1',
  librdkafka: 'librdkafka 2.15.1, its own C test suite',
  'franz-go': 'franz-go 1.21.6, its own kgo tests',
};

interface Suite {
  readonly name: string;
  /** API key → requests by version. */
  readonly served: Readonly<Record<string, readonly number[]>>;
  readonly tests: readonly { readonly title: string; readonly status: string }[];
}

function readSuite(name: string): Suite | undefined {
  const [apis, tests] = [path.join(FOLDER, `${name}.json`), path.join(FOLDER, `${name}.tests.json`)];
  if (!existsSync(apis) || !existsSync(tests)) return undefined;
  return {
    name,
    ...(JSON.parse(readFileSync(apis, 'utf8')) as Pick<Suite, 'served'>),
    tests: JSON.parse(readFileSync(tests, 'utf8')) as Suite['tests'],
  };
}

/** `0-4, 9`: runs of versions that were used. */
function usedVersions(counts: readonly number[] | undefined): string {
  const used = (counts ?? []).flatMap((count, version) => (count > 0 ? [version] : []));
  const runs: [number, number][] = [];
  for (const version of used) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === version - 1) last[1] = version;
    else runs.push([version, version]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

function served(api: ApiVersionRange): string {
  return api.min === api.max ? `${api.min}` : `${api.min}-${api.max}`;
}

function main(): void {
  const suites = Object.keys(CLIENTS)
    .map(readSuite)
    .filter((suite) => suite !== undefined);
  if (suites.length === 0) throw new Error('no client suite has run yet: npm run test:slow -- test/clients');

  const header = ['key', 'API', 'served', ...suites.map(({ name }) => name)];
  const rows = [...API_VERSIONS]
    .sort(([a], [b]) => a - b)
    .map(([key, api]) => [
      String(key),
      api.name,
      served(api),
      ...suites.map((suite) => usedVersions(suite.served[String(key)])),
    ]);
  const table = [header, header.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
  const ran = suites.map(({ name, tests }) => {
    const passed = tests.filter(({ status }) => status === 'passed').length;
    const list = tests.map(({ title, status }) => `- ${status === 'passed' ? '' : `${status}: `}${title}`);
    return `### ${CLIENTS[name] ?? name}: ${passed} of ${tests.length} passed\n\n${list.join('\n')}`;
  });
  writeFileSync(
    PAGE,
    `# Compatibility

Made by \`npm run compatibility\` from a run of the client suites (\`npm run test:slow -- test/clients\`). A cell lists the
versions a client was seen to use against a broker of its own; an empty cell means that its suite never asked. What does
not work yet, and why, is in \`compatibility-findings.md\`.

## APIs and versions

${table}

## What was run

${ran.join('\n\n')}
`,
  );
  console.log(`${path.relative(process.cwd(), PAGE)}: ${rows.length} APIs, ${suites.length} clients`);
}

main();
