import type { BudgetLine } from './budget.ts';
import type { DrillReport } from './report.ts';

const NUMBERS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export function formatCount(value: number): string {
  return NUMBERS.format(value);
}

/** Milliseconds below ten seconds, seconds above: as fine as a person compares. */
export function formatMs(ms: number): string {
  return ms < 10_000 ? `${formatCount(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function formatValue(value: number | null, unit: string): string {
  if (value === null) return 'not measured';
  return unit === 'ms' ? formatMs(value) : formatCount(value);
}

export function formatLimit({ max, unit }: BudgetLine): string {
  return `at most ${formatValue(max, unit)}`;
}

/** Seconds since the drill began, with one digit. */
export function formatAt(atMs: number): string {
  return `${(atMs / 1000).toFixed(1)} s`;
}

/** The first sentence of every rendering. */
export function headline(report: DrillReport): string {
  const { acknowledged, lost, duplicated, reordered, stallMs } = report;
  const stall = stallMs === null ? '' : `; the longest pause of a producer was ${formatMs(stallMs.max)}`;
  return (
    `${formatCount(acknowledged)} records acknowledged: ${formatCount(lost)} lost, ` +
    `${formatCount(duplicated)} duplicated, ${formatCount(reordered)} out of order${stall}`
  );
}

/** The steps of the failover that were measured. */
export function failoverSteps(
  report: DrillReport,
): readonly { readonly name: string; readonly ms: number }[] {
  const steps = [
    ['detect', report.detectMs],
    ['fence', report.fenceMs],
    ['replay', report.replayMs],
    ['commit', report.commitMs],
    ['reopen', report.reopenMs],
  ] as const;
  return steps.flatMap(([name, ms]) => (ms === null ? [] : [{ name, ms }]));
}
