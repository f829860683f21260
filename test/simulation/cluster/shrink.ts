import { FAULT_KINDS, type FaultKind } from './fault-plan.ts';
import type { SeedPlan, SeedResult } from './run-seed.ts';

/** Runs of one shrinking at most: a minute or two. */
const MAX_RUNS = 60;
/** Runs are shortened as long as this much of the time goes. */
const LEAST_GAIN = 0.1;
const LEAST_TROUBLE_MS = 1_000;

/** What is left of the plan that a seed draws; undefined: as it is drawn. */
export interface Reduction {
  readonly faults?: readonly FaultKind[];
  readonly troubleMs?: number;
  readonly brokers?: number;
  readonly topics?: readonly string[];
  readonly groups?: number;
  readonly churners?: number;
}

export interface Shrunk {
  readonly reduction: Reduction;
  readonly result: SeedResult;
  readonly runs: number;
}

export function reduced(plan: SeedPlan, reduction: Reduction): SeedPlan {
  const { faults = plan.kinds, troubleMs, brokers, topics, groups, churners } = reduction;
  return {
    ...plan,
    kinds: faults,
    troubleMs: troubleMs ?? plan.troubleMs,
    zones: plan.zones.slice(0, brokers),
    topics: plan.topics.filter(({ name }) => topics?.includes(name) !== false),
    groups: groups ?? plan.groups,
    churners: churners ?? plan.churners,
  };
}

/** What was broken: the invariant, or how the text begins without its time and its numbers. */
export function kindOfViolation(violation: string): string {
  const text = violation.replace(/^\d+ ms: /, '');
  return /\bI\d+\b/.exec(text)?.[0] ?? text.replaceAll(/\d+/g, '#').slice(0, 40);
}

/**
 * Makes a failing run smaller while the same thing is broken first: a shorter time of faults, fewer kinds of them, less
 * work, fewer brokers, in turn until nothing more can go. A plan that changes is another run: a step is kept when its run
 * fails.
 */
export async function shrink(
  plan: SeedPlan,
  failed: SeedResult,
  run: (plan: SeedPlan) => Promise<SeedResult>,
  maxRuns = MAX_RUNS,
): Promise<Shrunk> {
  const sought = kindOfViolation(failed.violations[0] ?? '');
  let best: Shrunk = { reduction: {}, result: failed, runs: 0 };
  let runs = 0;
  const isOneKept = async (candidates: Iterable<Reduction>): Promise<boolean> => {
    for (const candidate of candidates) {
      if (runs >= maxRuns) return false;
      runs++;
      const reduction = { ...best.reduction, ...candidate };
      const result = await run(reduced(plan, reduction));
      const [first] = result.violations;
      if (first === undefined || kindOfViolation(first) !== sought) continue;
      best = { reduction, result, runs };
      return true;
    }
    return false;
  };
  for (let runsBefore = -1; best.runs > runsBefore;) {
    runsBefore = best.runs;
    for (const smaller of WAYS) {
      while (await isOneKept(smaller(reduced(plan, best.reduction), best.result))) continue;
    }
  }
  return { ...best, runs };
}

/** Ways to make a plan smaller, those that save most first; each tells candidates for one step. */
type Way = (plan: SeedPlan, result: SeedResult) => Iterable<Reduction>;

const WAYS: readonly Way[] = [shorter, fewerBrokers, fewerFaults, lessWork];

function* fewerBrokers({ zones }: SeedPlan): Generator<Reduction> {
  for (let brokers = 1; brokers < zones.length; brokers++) yield { brokers };
}

function* fewerFaults({ kinds }: SeedPlan): Generator<Reduction> {
  if (kinds.length > 0) yield { faults: [] };
  if (kinds.length > 3) {
    const half = kinds.length >> 1;
    yield { faults: kinds.slice(0, half) };
    yield { faults: kinds.slice(half) };
  }
  if (kinds.length > 1) {
    for (const kind of kinds) yield { faults: kinds.filter((other) => other !== kind) };
  }
}

function* lessWork({ churners, groups, topics }: SeedPlan): Generator<Reduction> {
  if (churners > 0) yield { churners: 0 };
  if (groups > 0) yield { groups: 0 };
  const names = topics.map(({ name }) => name);
  if (names.length < 2) return;
  for (const name of names) yield { topics: [name] };
  for (const name of names) yield { topics: names.filter((other) => other !== name) };
}

/** Until what was broken was seen first the shorter run is the same one. */
function* shorter({ troubleMs }: SeedPlan, { violations }: SeedResult): Generator<Reduction> {
  const seenMs = Number.parseInt(violations[0] ?? '', 10);
  const most = troubleMs * (1 - LEAST_GAIN);
  for (const candidate of [troubleMs / 4, troubleMs / 2, seenMs, most]) {
    const wholeMs = Math.ceil(candidate);
    if (wholeMs >= LEAST_TROUBLE_MS && wholeMs <= most) yield { troubleMs: wholeMs };
  }
}

/** As `npm run simulate` takes it. */
export function argumentsOf(reduction: Reduction): string[] {
  return Object.entries(reduction).flatMap(([name, value]) => {
    const text: string = Array.isArray(value) ? value.join() : String(value);
    return [`--${OPTIONS[name as keyof Reduction]}`, text === '' ? NOTHING : text];
  });
}

/** @throws {Error} a fault that there is not */
export function reductionOf(option: (name: string) => string | undefined): Reduction {
  const list = (name: string): readonly string[] | undefined => {
    const text = option(name);
    return text === NOTHING ? [] : text?.split(',');
  };
  const given: Record<keyof Reduction, unknown> = {
    faults: list(OPTIONS.faults)?.map(faultOf),
    troubleMs: numberOf(option(OPTIONS.troubleMs)),
    brokers: numberOf(option(OPTIONS.brokers)),
    topics: list(OPTIONS.topics),
    groups: numberOf(option(OPTIONS.groups)),
    churners: numberOf(option(OPTIONS.churners)),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const OPTIONS: Readonly<Record<keyof Reduction, string>> = {
  faults: 'faults',
  troubleMs: 'trouble-ms',
  brokers: 'brokers',
  topics: 'topics',
  groups: 'groups',
  churners: 'churners',
};
const NOTHING = 'none';

function faultOf(name: string): FaultKind {
  const kind = FAULT_KINDS.find((known) => known === name);
  if (kind === undefined) throw new Error(`no fault is called ${name}; there are ${FAULT_KINDS.join()}`);
  return kind;
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error(`${text} is no number`);
  return value;
}
