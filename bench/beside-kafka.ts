import { type MeasuredBroker, startKafka, startMillrace } from './brokers.ts';
import { consume, type Latency, produce, produceLatency, recordsFile, type Throughput } from './load.ts';
import { median } from './median.ts';
import { processStats } from '../test/harness/process-stats.ts';

const FILE_BYTES = 512 * 1024 ** 2;
const REPETITIONS = 3;
const LOADS_RECORDS_PER_SECOND = [500, 5_000, 20_000];
const LATENCY_SECONDS = 10;
const IDLE_MS = 10_000;
const KAFKA_PORT = 39_092;

/** What was measured of one broker. */
export interface BrokerFigures {
  readonly startMs: number;
  readonly idleResidentBytes: number;
  /** Share of one core while nothing happens. */
  readonly idleCpuShare: number;
  readonly produce: Throughput;
  readonly fetch: Throughput;
  readonly latency: readonly Latency[];
  /** p99 of produce at the middle load while another client reads old data as fast as it can. */
  readonly catchUp: { readonly fetch: Throughput; readonly produce: Latency };
}

/**
 * Millrace and Apache Kafka on the same machine with the same clients, in turn, so that what else the machine does
 * falls on both. Each broker runs alone: two cores are not enough for both and a client.
 */
export async function besideKafka(
  progress: (what: string) => void,
): Promise<{ millrace: BrokerFigures; kafka: BrokerFigures }> {
  const file = recordsFile(FILE_BYTES);
  const rounds: { millrace: BrokerFigures; kafka: BrokerFigures }[] = [];
  for (let round = 1; round <= REPETITIONS; round += 1) {
    progress(`round ${round} of ${REPETITIONS}: Millrace`);
    const millrace = await measure(await startMillrace(), file);
    progress(`round ${round} of ${REPETITIONS}: Apache Kafka`);
    const kafka = await measure(await startKafka(KAFKA_PORT), file);
    rounds.push({ millrace, kafka });
  }
  return {
    millrace: medians(rounds.map((round) => round.millrace)),
    kafka: medians(rounds.map((round) => round.kafka)),
  };
}

async function measure(broker: MeasuredBroker, file: string): Promise<BrokerFigures> {
  try {
    const before = processStats(broker.pid);
    await new Promise((next) => setTimeout(next, IDLE_MS));
    const idle = processStats(broker.pid);

    // Both run on compilers that learn: the first pass warms them up and is not counted.
    await produce(broker, 'warm-up', file, FILE_BYTES);
    await consume(broker, 'warm-up', FILE_BYTES);
    const produced = await produce(broker, 'throughput', file, FILE_BYTES);
    const fetched = await consume(broker, 'throughput', FILE_BYTES);
    const latency: Latency[] = [];
    for (const load of LOADS_RECORDS_PER_SECOND) {
      latency.push(await produceLatency(broker, `latency-${load}`, load, LATENCY_SECONDS));
    }
    const middle = LOADS_RECORDS_PER_SECOND[1] ?? 0;
    const [catchUpProduce, catchUpFetch] = await Promise.all([
      produceLatency(broker, 'beside-catch-up', middle, LATENCY_SECONDS),
      consume(broker, 'throughput', FILE_BYTES),
    ]);
    return {
      startMs: broker.startMs,
      idleResidentBytes: idle.residentBytes,
      idleCpuShare: ((idle.cpuSeconds - before.cpuSeconds) * 1000) / IDLE_MS,
      produce: produced,
      fetch: fetched,
      latency,
      catchUp: { fetch: catchUpFetch, produce: catchUpProduce },
    };
  } finally {
    await broker.stop();
  }
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
    startMs: median(figures.map((one) => one.startMs)),
    idleResidentBytes: median(figures.map((one) => one.idleResidentBytes)),
    idleCpuShare: median(figures.map((one) => one.idleCpuShare)),
    produce: throughput((one) => one.produce),
    fetch: throughput((one) => one.fetch),
    latency: LOADS_RECORDS_PER_SECOND.map((_, n) => latency((one) => one.latency[n])),
    catchUp: {
      fetch: throughput((one) => one.catchUp.fetch),
      produce: latency((one) => one.catchUp.produce),
    },
  };
}
