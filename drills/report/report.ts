import type { AnomalyKind, Evidence } from '../checker/anomalies.ts';
import type { ThroughputSeries } from '../checker/throughput.ts';
import { type Budget, type BudgetLine, judge } from './budget.ts';
import type { Measured } from './measured.ts';

export interface TimelineEntry {
  /** Since the drill began. */
  readonly atMs: number;
  readonly kind: 'phase' | 'action' | 'note' | 'failure';
  readonly what: string;
}

/** What is known when a drill has run; {@link makeReport} adds the verdict. */
export interface DrillFacts extends Measured {
  readonly drill: string;
  readonly explanation: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly read: number;
  /** Sent, and nobody knows; those that were read count as committed. */
  readonly unknown: number;
  readonly anomalies: Readonly<Partial<Record<AnomalyKind, number>>>;
  readonly evidence: readonly Evidence[];
  readonly timeline: readonly TimelineEntry[];
  readonly throughput: ThroughputSeries;
  /** Errors the application saw; the first hundred. */
  readonly errors: readonly string[];
  /** Why the drill itself did not come to its end; null when it did. */
  readonly failure: string | null;
  /** Where it ran: kind of cluster, versions, brokers, load. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The measured result of a drill: exactly what `--json` prints. */
export interface DrillReport extends DrillFacts {
  readonly pass: boolean;
  readonly budget: readonly BudgetLine[];
}

/** A drill passes when it came to its end, something was acknowledged, and every limit was kept. */
export function makeReport(facts: DrillFacts, budget: Budget): DrillReport {
  const lines = judge(budget, facts);
  const isKept = lines.every(({ verdict }) => verdict === 'within');
  const pass = facts.failure === null && facts.acknowledged > 0 && isKept;
  return { ...facts, pass, budget: lines };
}

/** One document, indented for people who look into the file. */
export function renderJson(report: DrillReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
