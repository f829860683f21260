import { loadavg } from 'node:os';
import { type MeasuredBroker, startKafka, startMillrace } from './brokers.ts';
import {
  consume,
  type Latency,
  produce,
  produceLatency,
  readBeside,
  recordsFile,
  type Throughput,
} from './load.ts';
import { median } from './median.ts';
import type { FullPageCache } from './page-cache.ts';
import { singleRecordRequests } from './requests.ts';
import { runOk } from '../test/harness/command.ts';
import { processStats } from '../test/harness/process-stats.ts';

const FILE_BYTES = 256 * 1024 ** 2;
/** Fits into the tail cache of a Millrace with its default memory. */
const TAIL_BYTES = 128 * 1024 ** 2;
const TAIL_PASSES = 4;
const REPETITIONS = 3;
const LOADS_RECORDS_PER_SECOND = [500, 5_000, 20_000];
const LATENCY_SECONDS = 10;
/** A broker that has just started is not idle yet: its compiler, the first checkpoint, the first snapshot. */
const IDLE_SETTLE_MS = 20_000;
const IDLE_MS = 10_000;
const SYNC_DEADLINE_MS = 120_000;
export const KAFKA_PORT = 39_092;

/** What was measured of one broker. */
export interface BrokerFigures {
  readonly idleResidentBytes: number;
  /** Share of one core while nothing happens. */
  readonly idleCpuShare: number;
  readonly produce: Throughput;
  /** Of what was just written. */
  readonly fetch: Throughput;
  /** Of what has left the cache of Millrace: from its objects; from the page cache with Kafka. */
  readonly catchUpAlone: Throughput;
  /** Single-record requests of 1 KiB, 20 in flight: server CPU of each. */
  readonly requestCpuUs: number;
  readonly latency: readonly Latency[];
  /** Produce at the middle load while another client reads old data all the time, as fast as it can. */
  readonly catchUp: { readonly readMibPerSecond: number; readonly produce: Latency };
}

/**
 * Millrace and Apache Kafka on the same machine with the same clients, in turn, so that what else the machine does
 * falls on both. Each broker runs alone: two cores are not enough for both and a client.
 */
export async function besideKafka(
  progress: (what: string) => void,
  pageCache: FullPageCache,
): Promise<{ millrace: BrokerFigures; kafka: BrokerFigures }> {
  const files = { whole: recordsFile(FILE_BYTES), tail: recordsFile(TAIL_BYTES) };
  const rounds: { millrace: BrokerFigures; kafka: BrokerFigures }[] = [];
  for (let round = 1; round <= REPETITIONS; round += 1) {
    progress(`round ${round} of ${REPETITIONS}: Millrace, load ${loadavg()[0]?.toFixed(1)}`);
    const millrace = await measure(await startMillrace(), files, pageCache);
    progress(`round ${round} of ${REPETITIONS}: Apache Kafka`);
    const kafka = await measure(await startKafka(KAFKA_PORT), files, pageCache);
    rounds.push({ millrace, kafka });
  }
  return {
    millrace: medians(rounds.map((round) => round.millrace)),
    kafka: medians(rounds.map((round) => round.kafka)),
  };
}

async function measure(
  broker: MeasuredBroker,
  files: { readonly whole: string; readonly tail: string },
  pageCache: FullPageCache,
): Promise<BrokerFigures> {
  try {
    await pageCache.fill();
    await new Promise((settled) => setTimeout(settled, IDLE_SETTLE_MS));
    const before = processStats(broker.pid);
    await new Promise((next) => setTimeout(next, IDLE_MS));
    const idle = processStats(broker.pid);

    // Both run on compilers that learn: the first pass warms them up and is not counted. The many small requests come
    // first, because a throughput run has only one request for each MiB: some hundred of them teach no compiler.
    const requestCpuUs = await singleRecordRequests(broker, 'requests');
    await consume(broker, 'requests', FILE_BYTES);
    for (const topic of ['warm-up-1', 'warm-up-2']) {
      await produce(broker, topic, files.whole, FILE_BYTES);
      await consume(broker, topic, FILE_BYTES);
    }
    await pageCache.fill();
    const produced = await produce(broker, 'throughput', files.whole, FILE_BYTES);
    await produce(broker, 'tail', files.tail, TAIL_BYTES);
    const fetched = await consume(broker, 'tail', TAIL_BYTES, TAIL_PASSES);
    const catchUpAlone = await consume(broker, 'throughput', FILE_BYTES);
    const latency: Latency[] = [];
    for (const load of LOADS_RECORDS_PER_SECOND) {
      await settle();
      latency.push(await produceLatency(broker, `latency-${load}`, load, LATENCY_SECONDS));
    }
    const middle = LOADS_RECORDS_PER_SECOND[1] ?? 0;
    await settle();
    const producing = produceLatency(broker, 'beside-catch-up', middle, LATENCY_SECONDS);
    const catchUpFetch = await readBeside(broker, 'throughput', FILE_BYTES, producing);
    const catchUpProduce = await producing;
    return {
      idleResidentBytes: idle.residentBytes,
      idleCpuShare: ((idle.cpuSeconds - before.cpuSeconds) * 1000) / IDLE_MS,
      produce: produced,
      fetch: fetched,
      catchUpAlone,
      requestCpuUs,
      latency,
      catchUp: { readMibPerSecond: catchUpFetch.mibPerSecond, produce: catchUpProduce },
    };
  } finally {
    await broker.discard();
  }
}

/**
 * What earlier runs left to be written back is not a latency run's to wait for. The page cache is not filled again:
 * that would put what is caught up with on the disk, which is the WAL's here, and of neither S3 nor its readers.
 */
async function settle(): Promise<void> {
  await runOk('sync', [], { deadlineMs: SYNC_DEADLINE_MS });
}

function medians(figures: readonly BrokerFigures[]): BrokerFigures {
  const throughput = (of: (one: BrokerFigures) => Throughput): Throughput => ({
    mibPerSecond: median(figures.map((one) => of(one).mibPerSecond)),
    cpuSecondsPerGib: median(figures.map((one) => of(one).cpuSecondsPerGib)),
  });
  const latency = (of: (one: BrokerFigures) => Latency | undefined): Latency => {
    const each = figures.map(of).filter((one) => one !== undefined);
    return {
      recordsPerSecond: median(each.map((one) => one.recordsPerSecond)),
      p50Ms: median(each.map((one) => one.p50Ms)),
      p99Ms: median(each.map((one) => one.p99Ms)),
      p999Ms: median(each.map((one) => one.p999Ms)),
    };
  };
  return {
    idleResidentBytes: median(figures.map((one) => one.idleResidentBytes)),
    idleCpuShare: median(figures.map((one) => one.idleCpuShare)),
    produce: throughput((one) => one.produce),
    fetch: throughput((one) => one.fetch),
    catchUpAlone: throughput((one) => one.catchUpAlone),
    requestCpuUs: median(figures.map((one) => one.requestCpuUs)),
    latency: LOADS_RECORDS_PER_SECOND.map((_, n) => latency((one) => one.latency[n])),
    catchUp: {
      readMibPerSecond: median(figures.map((one) => one.catchUp.readMibPerSecond)),
      produce: latency((one) => one.catchUp.produce),
    },
  };
}
