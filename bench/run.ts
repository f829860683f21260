import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { barePath, type BareFigures } from './bare-path.ts';
import { besideKafka, type BrokerFigures, KAFKA_PORT } from './beside-kafka.ts';
import type { Throughput } from './load.ts';
import { FullPageCache } from './page-cache.ts';
import { type StartFigures, startWithManyPartitions } from './start.ts';
import { produceWithoutUploads } from './wal-only.ts';
import { VOLUME_BYTES_PER_SECOND, walBesideFio, type WalFigures } from './wal.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const PAGE = path.join(ROOT, 'docs', 'performance.md');
/** Written by hand below this line of the page, and kept: the profile and what to do next. */
const BY_HAND = '<!-- below: written by hand -->';

const progress = (what: string) => process.stderr.write(`bench: ${what}\n`);
/** Of whole milliseconds, 0 says only that it was less. */
const ratio = (ours: number, theirs: number) =>
  theirs === 0 || ours === 0 ? '' : (ours / theirs).toFixed(2);
const mib = (bytes: number) => (bytes / 1024 ** 2).toFixed(0);

function comparison(
  millrace: BrokerFigures,
  kafka: BrokerFigures,
  start: StartFigures,
  withoutUploads: Throughput,
): string[] {
  const row = (what: string, ours: number, theirs: number, better: 'lower' | 'higher', digits = 2) =>
    `| ${what} | ${ours.toFixed(digits)} | ${theirs.toFixed(digits)} | ${ratio(ours, theirs)} | ${better} |`;
  const ours = millrace;
  const theirs = kafka;
  const perGib = (what: string, of: (one: BrokerFigures) => Throughput) =>
    row(`${what}: CPU s/GiB`, of(ours).cpuSecondsPerGib, of(theirs).cpuSecondsPerGib, 'lower');
  const perSecond = (what: string, of: (one: BrokerFigures) => Throughput) =>
    row(`${what}: MiB/s`, of(ours).mibPerSecond, of(theirs).mibPerSecond, 'higher', 0);
  const rows = [
    perGib('produce of 1 KiB records, acks=all', (one) => one.produce),
    row(
      'the same, Millrace without its uploads: CPU s/GiB',
      withoutUploads.cpuSecondsPerGib,
      theirs.produce.cpuSecondsPerGib,
      'lower',
    ),
    perSecond('produce', (one) => one.produce),
    perGib('fetch of the tail, 1 MiB answers', (one) => one.fetch),
    perSecond('fetch of the tail', (one) => one.fetch),
    perGib('catch-up read', (one) => one.catchUpAlone),
    perSecond('catch-up read', (one) => one.catchUpAlone),
    row(
      'request of one 1 KiB record, 20 in flight: CPU µs',
      ours.requestCpuUs,
      theirs.requestCpuUs,
      'lower',
      1,
    ),
  ];
  millrace.latency.forEach((mine, n) => {
    const peer = kafka.latency[n];
    if (peer === undefined) return;
    const load = `${Math.round(mine.recordsPerSecond)} records/s`;
    rows.push(row(`produce p50 at ${load}, ms`, mine.p50Ms, peer.p50Ms, 'lower', 0));
    rows.push(row(`produce p99 at ${load}, ms`, mine.p99Ms, peer.p99Ms, 'lower', 0));
    rows.push(row(`produce p99.9 at ${load}, ms`, mine.p999Ms, peer.p999Ms, 'lower', 0));
  });
  rows.push(
    row(
      'catch-up read beside produce: MiB/s',
      millrace.catchUp.readMibPerSecond,
      kafka.catchUp.readMibPerSecond,
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
    row('start with 1,000 partitions, ms', start.millraceMs, start.kafkaMs, 'lower', 0),
  );
  return ['| what | Millrace | Apache Kafka | ratio | better |', '| --- | --- | --- | --- | --- |', ...rows];
}

/** Beside what cannot be saved: how much of the CPU is the broker's own doing. */
function bareTable(bare: BareFigures, millrace: BrokerFigures, withoutUploads: Throughput): string[] {
  const row = (what: string, ours: number, floor: number) =>
    `| ${what} | ${ours.toFixed(2)} | ${floor.toFixed(2)} | ${ratio(ours, floor)} |`;
  return [
    '| what | Millrace | bare path | ratio |',
    '| --- | --- | --- | --- |',
    row('produce without uploads, CPU s/GiB', withoutUploads.cpuSecondsPerGib, bare.produce),
    row('produce with uploads, CPU s/GiB', millrace.produce.cpuSecondsPerGib, bare.produceAndUpload),
    row('fetch of the tail, CPU s/GiB', millrace.fetch.cpuSecondsPerGib, bare.tail),
    row('catch-up read, CPU s/GiB', millrace.catchUpAlone.cpuSecondsPerGib, bare.catchUp),
    row('request of one 1 KiB record, CPU µs', millrace.requestCpuUs, bare.requestCpuUs),
  ];
}

function walTable(figures: readonly WalFigures[]): string[] {
  return [
    `| write | depth | throughput, WAL / fio, at ${VOLUME_BYTES_PER_SECOND / 1e6} MB/s | at the disk's own speed | there, WAL / bare writes | p99, WAL / fio |`,
    '| --- | --- | --- | --- | --- | --- |',
    ...figures.map(
      (one) =>
        `| ${one.groupBytes / 1024} KiB | ${one.depth} | ${one.volumeRatio.toFixed(2)} | ${one.throughputRatio.toFixed(2)} | ${one.bareRatio.toFixed(2)} | ${one.p99Ratio.toFixed(2)} |`,
    ),
  ];
}

async function measureAll(pageCache: FullPageCache) {
  progress('the WAL beside fio');
  const wal = await walBesideFio(progress);
  progress('start with 1,000 partitions');
  const start = await startWithManyPartitions(KAFKA_PORT);
  await pageCache.fill();
  progress('the bare path');
  const bare = await barePath();
  await pageCache.fill();
  progress('produce without uploads');
  const withoutUploads = await produceWithoutUploads();
  return { wal, bare, start, withoutUploads, ...(await besideKafka(progress, pageCache)) };
}

async function main(): Promise<void> {
  const loadBefore = loadavg()[0] ?? NaN;
  const pageCache = new FullPageCache(path.join(ROOT, '.cache', 'bench-fill'));
  const measured = await measureAll(pageCache).finally(() => pageCache.close());
  const { wal, bare, start, withoutUploads, millrace, kafka } = measured;
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).trim();
  const tables = {
    wal: walTable(wal),
    bare: bareTable(bare, millrace, withoutUploads),
    kafka: comparison(millrace, kafka, start, withoutUploads),
  };
  const old = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
  const byHand = old.includes(BY_HAND) ? old.slice(old.indexOf(BY_HAND)) : `${BY_HAND}\n`;
  writeFileSync(
    PAGE,
    `# Performance

Made by \`npm run bench\` at ${commit}, on ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${mib(totalmem())} MiB,
Node ${process.versions.node}; load average before the run ${loadBefore.toFixed(1)}. Ratios of one run, medians of three rounds;
absolute figures say something about this machine only. fio's p99 is that of writes at the same rate. Client and broker share the cores. Millrace answers after a
direct, synced write and then stores every byte once more in its object store (a folder here), which its CPU figures
include; Apache Kafka 4.x (KRaft, one process, its defaults) answers from the page cache. CPU is user and system time of
the broker's process, after a warm-up, on a machine whose page cache is full (\`bench/page-cache.ts\` says why). At rates where percentiles are 0 to 2 ms the client's whole milliseconds hide the
rest.

## The WAL beside fio doing the same writes

${tables.wal.join('\n')}

## Beside the bare path

A Node process of \`bench/bare-server.ts\` that does to the same bytes what every broker must (receive, checksum, copy into
aligned memory, direct write; or read, checksum, send) and knows no protocol. What is above 1 is the broker.

${tables.bare.join('\n')}

## Beside Apache Kafka, same clients

${tables.kafka.join('\n')}

${byHand}`,
  );
  console.log(
    [
      '',
      ...tables.wal,
      '',
      ...tables.bare,
      '',
      ...tables.kafka,
      '',
      `written: ${path.relative(process.cwd(), PAGE)}`,
    ].join('\n'),
  );
}

await main();
