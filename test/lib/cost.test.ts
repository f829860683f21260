import { describe, expect, test } from '@jest/globals';
import { timingOf } from '../../broker-runtime/src/controller/election-options.ts';
import { DEFAULT_STORE_OPTIONS } from '../../broker-runtime/src/store/options.ts';
import { environments } from '../../environments/index.ts';
import { type Assumptions, BROKER_HABITS, estimateCost } from '../../lib/cost/estimate.ts';
import { instancePrice } from '../../lib/cost/prices.ts';
import { costTable } from '../../lib/cost/table.ts';
import type { Environment } from '../../lib/environment/environment.ts';
import { FAMILIES, SIZES } from '../../lib/environment/limits.ts';
import { type ResolvedEnvironment, resolveEnvironment } from '../../lib/environment/resolve.ts';

const MIB = 1024 * 1024;

const base: Environment = {
  name: 'cost',
  account: '111111111111',
  region: 'us-east-1',
  zones: ['us-east-1a', 'us-east-1b', 'us-east-1c'],
  slotsPerZone: 1,
  instances: { types: ['m7g.large'], spotPercent: 0 },
  clients: { allowedCidrs: ['10.0.0.0/8'], acceptPlaintext: true },
};

/** 259,200 GB a month, read three times, kept three days. */
const load = { writeMiBPerSecond: 102.4, fanout: 3, retentionDays: 3 };
/** Objects of 8 MiB, 30.9 million a month at 100 MB/s, that are never written again. */
const plain: Assumptions = { ...BROKER_HABITS, objectMiB: (8 * 1.024 * MIB) / 1e6, rewrites: 0 };

/** The model's WAL has more IOPS than the kit allows for 8 GiB. */
const resolved = (environment: Environment): ResolvedEnvironment => {
  const { wal, ...rest } = resolveEnvironment(environment);
  return { ...rest, wal: { kind: wal.kind, sizeGiB: 8, iops: 3_000, ...environment.wal } };
};

function monthly(environment: Environment, of = load, assumptions = plain) {
  const { lines, kafkaLines } = estimateCost(resolved(environment), of, assumptions);
  const sum = (all: typeof lines, item: RegExp) =>
    Math.round(
      all.filter((line) => item.test(line.item)).reduce((total, line) => total + line.monthlyUsd, 0),
    );
  return { ours: (item: RegExp) => sum(lines, item), kafka: (item: RegExp) => sum(kafkaLines, item) };
}

describe('the estimate of an environment', () => {
  test('reproduces the worked model: 100 MB/s in, read three times, kept three days', () => {
    const { ours, kafka } = monthly({ ...base, recovery: { region: 'us-west-2', storageClass: 'STANDARD' } });
    expect(kafka(/cross-zone, producers/)).toBe(3_456);
    expect(kafka(/cross-zone, replication/)).toBe(10_368);
    expect(kafka(/cross-zone, consumers/)).toBe(10_368);
    expect(kafka(/gp3/)).toBe(10_368);
    expect(ours(/^S3 storage$/)).toBe(596);
    expect(ours(/^S3 writes, records/)).toBe(154);
    expect(ours(/^WAL volumes/)).toBe(588);
    expect(ours(/^replication to/)).toBe(5_184);
  });

  test('a near region costs half the transfer', () => {
    expect(monthly({ ...base, recovery: { region: 'us-east-2' } }).ours(/^replication to/)).toBe(2_592);
  });

  test('the IOPS of the WAL make its bill: 500 are $33.50 a slot, 3,000 are $196', () => {
    const { walChoices } = estimateCost(resolved(base), load);
    expect(walChoices.map(({ iops, monthlyUsd }) => [iops, monthlyUsd / 3])).toEqual(
      expect.arrayContaining([
        [500, 33.5],
        [3_000, 196],
      ]),
    );
  });

  test('IOPS beyond 32,000 and 64,000 are cheaper, each tier for its own part', () => {
    const { lines } = estimateCost(
      resolveEnvironment({ ...base, wal: { sizeGiB: 256, iops: 100_000 } }),
      load,
    );
    const iops = lines.filter(({ item }) => item === 'WAL volumes, io2 IOPS');
    expect(iops.map(({ formula }) => formula)).toEqual([
      '3 slots x 32,000 IOPS',
      '3 slots x 32,000 IOPS',
      '3 slots x 36,000 IOPS',
    ]);
    expect(iops.map(({ monthlyUsd }) => Math.round(monthlyUsd))).toEqual([6_240, 4_416, 3_456]);
  });

  test('a replica in an infrequent-access class is billed for 30 days, however short the retention', () => {
    const { ours } = monthly({
      ...base,
      data: { noncurrentDays: 1 },
      recovery: { region: 'us-west-2', storageClass: 'STANDARD_IA' },
    });
    expect(ours(/^replica, STANDARD_IA/)).toBe(Math.round(8_640 * 30 * 0.0125));
  });

  test('a WAL in the bucket has no volumes, and writes of its own', () => {
    const { ours } = monthly({ ...base, wal: { kind: 'object' } });
    expect(ours(/^WAL volumes/)).toBe(0);
    expect(ours(/^S3 writes, WAL/)).toBe(156);
  });

  test('without load it costs what it costs to be there', () => {
    const { lines } = estimateCost(resolved(base), {
      writeMiBPerSecond: 0,
      fanout: 1,
      retentionDays: 3,
    });
    expect(
      lines.filter(({ item }) => /records|cross-zone|storage/.test(item)).map((line) => line.monthlyUsd),
    ).toEqual([0, 0, 0, 0, 0]);
  });

  test('knows a price of every instance type that an environment may have', () => {
    for (const family of Object.keys(FAMILIES)) {
      for (const size of SIZES) expect(instancePrice(`${family}.${size}`)?.usd).toBeGreaterThan(0);
    }
  });

  test('assumes of the broker what its defaults are', () => {
    expect(BROKER_HABITS.objectMiB).toBe(DEFAULT_STORE_OPTIONS.uploadBytes / MIB);
    expect(BROKER_HABITS.uploadIntervalMs).toBe(DEFAULT_STORE_OPTIONS.uploadIntervalMs);
    expect(BROKER_HABITS.electionPollMs).toBe(timingOf({ host: '', port: 0 }).pollMs);
  });

  test.each(Object.entries(environments))(
    'of %s: every line has formula, unit price and source',
    (_, given) => {
      const environment = resolveEnvironment(given);
      const estimate = estimateCost(environment, load);
      for (const line of [...estimate.lines, ...estimate.kafkaLines]) {
        expect(line.formula).toMatch(/^[\d,.]+ /);
        expect(line.unitPrice).toMatch(/^\$[\d.]+ \/ /);
        expect(line.source).toMatch(/aws\.amazon\.com.*(20\d\d-\d\d|unchecked)/);
      }
      const text = costTable(environment.name, environment.region, load, estimate);
      expect(text).toMatch(/^Estimate for/);
      expect(text).not.toMatch(/NaN|undefined/);
    },
  );
});
