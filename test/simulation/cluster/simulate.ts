import { FAULT_KINDS, STEPS } from './fault-plan.ts';
import { drawPlan, runSeed, type SeedResult } from './run-seed.ts';
import { argumentsOf, reduced, type Reduction, reductionOf, shrink } from './shrink.ts';

/**
 *   npm run simulate -- [--seeds N | --minutes M] [--from S]     N seeds, or as many as fit
 *   npm run simulate -- --seed S [--verbose]                     one again, with what its processes told
 *       [--faults kill,pause] [--trouble-ms N] [--brokers N] [--topics t0,t1] [--groups N] [--churners N]
 *                                                                with this much of what it draws; a seed that fails is
 *                                                                made smaller, and prints these ('none': no such thing)
 */
const USAGE =
  'npm run simulate -- [--seeds N | --minutes M] [--from S] | --seed S [--verbose] [--faults F,G] [--trouble-ms N] ' +
  '[--brokers N] [--topics T,U] [--groups N] [--churners N]';
const DEFAULT_SEEDS = 20;
/** Each so many seeds one runs twice: the two runs must be the same, event by event. */
const TWICE_EVERY = 20;
const SHOWN_VIOLATIONS = 5;
const SHOWN_LINES = 600;
/** Failing seeds that are made smaller: each takes a minute, and one bug fails many. */
const SHRUNK_SEEDS = 2;

interface Asked {
  readonly first: number;
  readonly seeds: number;
  readonly minutes: number;
  readonly isVerbose: boolean;
  readonly reduction: Reduction;
}

function asked(args: readonly string[]): Asked {
  const option = (name: string): string | undefined => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : (args[at + 1] ?? '');
  };
  const number = (name: string): number | undefined => {
    const text = option(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isFinite(value)) throw new Error(`--${name} needs a number; usage: ${USAGE}`);
    return value;
  };
  const seed = number('seed');
  const minutes = number('minutes');
  return {
    first: seed ?? number('from') ?? 1,
    seeds: seed !== undefined ? 1 : (number('seeds') ?? (minutes === undefined ? DEFAULT_SEEDS : Infinity)),
    minutes: minutes ?? Infinity,
    isVerbose: args.includes('--verbose'),
    reduction: reductionOf(option),
  };
}

function tell(result: SeedResult, tookMs: number, isVerbose: boolean): void {
  const { seed, violations, simulatedMs, acknowledged, fingerprint, lines } = result;
  const verdict = violations.length === 0 ? 'passed' : 'FAILED';
  console.log(
    `seed ${seed} ${verdict}: ${(simulatedMs / 1000).toFixed(0)} simulated s in ${(tookMs / 1000).toFixed(1)} s, ` +
      `${acknowledged} records acknowledged, trace ${fingerprint}`,
  );
  for (const violation of violations.slice(0, SHOWN_VIOLATIONS)) console.log(`  ${violation}`);
  if (isVerbose) for (const line of lines.slice(-SHOWN_LINES)) console.log(`  | ${line}`);
}

/** How to see it again, with as little as it takes. */
async function tellReplay(result: SeedResult, asked: Reduction, isShrunk: boolean): Promise<void> {
  const { seed } = result;
  const plan = reduced(drawPlan(seed), asked);
  console.log(`  WAL ${plan.wal}; zones ${plan.zones.join()}; faults ${plan.kinds.join()}`);
  const command = (reduction: Reduction): string =>
    ['npm run simulate --', '--seed', seed, ...argumentsOf(reduction), '--verbose'].join(' ');
  console.log(`  replay: ${command(asked)}`);
  if (!isShrunk) return;
  const {
    reduction,
    result: smallest,
    runs,
  } = await shrink(plan, result, (smaller) => runSeed(seed, smaller));
  if (Object.keys(reduction).length === 0) return;
  console.log(`  made smaller in ${runs} runs: ${smallest.violations[0] ?? ''}`);
  console.log(`  replay: ${command({ ...asked, ...reduction })}`);
}

/** Steps of the protocol that must have happened, or the seeds proved little. */
const MARKS = [
  'election.elected',
  'election.lost',
  'controller.node-fenced',
  'controller.recovery-assigned',
  'fence.displaced',
  'fence.waiting-for-writes',
  'takeover.finished',
  'takeover.failed',
  'controller.partitions-adopted',
  'partition.released',
  'process.ended',
  'store.garbage-removed',
  'workload.records-trimmed',
  'workload.records-superseded',
  'workload.offsets-committed',
  'workload.topics-deleted',
];

function tellHits(hits: ReadonlyMap<string, number>): void {
  console.log(`\n${'fault'.padEnd(20)}${STEPS.map((step) => step.padStart(12)).join('')}`);
  for (const kind of FAULT_KINDS) {
    const cells = STEPS.map((step) => String(hits.get(`${kind}/${step}`) ?? 0).padStart(12));
    console.log(`${kind.padEnd(20)}${cells.join('')}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const { first, seeds, minutes, isVerbose, reduction } = asked(args);
  const begunMs = performance.now();
  const hits = new Map<string, number>();
  const marks = new Map<string, number>();
  let passed = 0;
  let failed = 0;
  let simulatedMs = 0;
  for (let seed = first; seed < first + seeds && performance.now() - begunMs < minutes * 60_000; seed++) {
    const startMs = performance.now();
    const plan = reduced(drawPlan(seed), reduction);
    const result = await runSeed(seed, plan);
    let { violations } = result;
    if (seed % TWICE_EVERY === 0) {
      const again = await runSeed(seed, plan);
      if (again.fingerprint !== result.fingerprint) {
        violations = [...violations, `two runs differ: ${result.fingerprint} and ${again.fingerprint}`];
      }
    }
    tell({ ...result, violations }, performance.now() - startMs, isVerbose);
    // Two runs that differ are no violation of one of them.
    if (result.violations.length > 0) await tellReplay(result, reduction, failed < SHRUNK_SEEDS);
    simulatedMs += result.simulatedMs;
    for (const [cell, count] of result.hits) hits.set(cell, (hits.get(cell) ?? 0) + count);
    for (const [name, count] of result.events) marks.set(name, (marks.get(name) ?? 0) + count);
    if (violations.length === 0) passed++;
    else failed++;
  }
  console.log(`\n${MARKS.map((mark) => `${mark} ${marks.get(mark) ?? 0}`).join(', ')}`);
  const tookS = (performance.now() - begunMs) / 1000;
  tellHits(hits);
  const rate = ((passed + failed) / (tookS / 60)).toFixed(1);
  console.log(
    `\n${(simulatedMs / 1000 / tookS).toFixed(1)} simulated seconds a second, ${rate} seeds a minute`,
  );
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  },
);
