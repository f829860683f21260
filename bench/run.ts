import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { besideKafka, type BrokerFigures } from './beside-kafka.ts';
import { walBesideFio, type WalFigures } from './wal.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const PAGE = path.join(ROOT, 'docs', 'performance.md');
/** Written by hand below this line of the page, and kept: the profile and what to do next. */
const BY_HAND = '<!-- below: written by hand -->';

const progress = (what: string) => process.stderr.write(`bench: ${what}\n`);
const ratio = (ours: number, theirs: number) => (ours / theirs).toFixed(2);
const mib = (bytes: number) => (bytes / 1024 ** 2).toFixed(0);

function comparison(millrace: BrokerFigures, kafka: BrokerFigures): string[] {
  const row = (what: string, ours: number, theirs: number, better: 'lower' | 'higher', digits = 2) =>
    `| ${what} | ${ours.toFixed(digits)} | ${theirs.toFixed(digits)} | ${ratio(ours, theirs)} | ${better} |`;
  const rows = [
    row(
      'produce, 1 KiB, acks=all: CPU s/GiB',
      millrace.produce.cpuSecondsPerGib,
      kafka.produce.cpuSecondsPerGib,
      'lower',
    ),
    row(
      'produce: MiB/s (client on the same cores)',
      millrace.produce.mibPerSecond,
      kafka.produce.mibPerSecond,
      'higher',
      0,
    ),
    row(
      'fetch of what was just written: CPU s/GiB',
      millrace.fetch.cpuSecondsPerGib,
      kafka.fetch.cpuSecondsPerGib,
      'lower',
    ),
    row('fetch: MiB/s', millrace.fetch.mibPerSecond, kafka.fetch.mibPerSecond, 'higher', 0),
  ];
  millrace.latency.forEach((ours, n) => {
    const theirs = kafka.latency[n];
    if (theirs === undefined) return;
    const load = `${Math.round(ours.recordsPerSecond)} records/s`;
    rows.push(row(`produce p50 at ${load}, ms`, ours.p50Ms, theirs.p50Ms, 'lower', 0));
    rows.push(row(`produce p99 at ${load}, ms`, ours.p99Ms, theirs.p99Ms, 'lower', 0));
    rows.push(row(`produce p99.9 at ${load}, ms`, ours.p999Ms, theirs.p999Ms, 'lower', 0));
  });
  rows.push(
    row(
      'catch-up read beside produce: MiB/s',
      millrace.catchUp.fetch.mibPerSecond,
      kafka.catchUp.fetch.mibPerSecond,
      'higher',
      0,
    ),
    row(
      'produce p99 during catch-up, ms',
      millrace.catchUp.produce.p99Ms,
      kafka.catchUp.produce.p99Ms,
      'lower',
      0,
    ),
    row(
      'idle: resident MiB',
      millrace.idleResidentBytes / 1024 ** 2,
      kafka.idleResidentBytes / 1024 ** 2,
      'lower',
      0,
    ),
    row('idle: share of a core, %', millrace.idleCpuShare * 100, kafka.idleCpuShare * 100, 'lower', 1),
    row('process start to serving, ms', millrace.startMs, kafka.startMs, 'lower', 0),
  );
  return ['| what | Millrace | Apache Kafka | ratio | better |', '| --- | --- | --- | --- | --- |', ...rows];
}

function walTable(figures: readonly WalFigures[]): string[] {
  return [
    '| write | depth | throughput, WAL / fio | p99, WAL / fio |',
    '| --- | --- | --- | --- |',
    ...figures.map(
      (one) =>
        `| ${one.groupBytes / 1024} KiB | ${one.depth} | ${one.throughputRatio.toFixed(2)} | ${one.p99Ratio.toFixed(2)} |`,
    ),
  ];
}

async function main(): Promise<void> {
  progress('the WAL beside fio');
  const wal = await walBesideFio(progress);
  const { millrace, kafka } = await besideKafka(progress);
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).trim();
  const tables = { wal: walTable(wal), kafka: comparison(millrace, kafka) };
  const old = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
  const byHand = old.includes(BY_HAND) ? old.slice(old.indexOf(BY_HAND)) : `${BY_HAND}\n`;
  writeFileSync(
    PAGE,
    `# Performance

Made by \`npm run bench\` at ${commit}, on ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${mib(totalmem())} MiB,
Node ${process.versions.node}. Ratios of one run, medians of three rounds; absolute figures say something about this
machine only. Client and broker share the cores. Millrace answers after a direct, synced write; Apache Kafka 4.x (KRaft,
one process, its defaults) answers from the page cache.

## The WAL beside fio doing the same writes

${tables.wal.join('\n')}

## Beside Apache Kafka, same clients

${tables.kafka.join('\n')}

${byHand}`,
  );
  console.log(
    ['', ...tables.wal, '', ...tables.kafka, '', `written: ${path.relative(process.cwd(), PAGE)}`].join('\n'),
  );
}

await main();
