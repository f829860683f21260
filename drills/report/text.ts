import { ANOMALIES, type AnomalyKind } from '../checker/anomalies.ts';
import {
  failoverSteps,
  formatAt,
  formatCount,
  formatLimit,
  formatMs,
  formatValue,
  headline,
} from './format.ts';
import type { DrillReport } from './report.ts';

const EVIDENCE_SHOWN = 10;
const ERRORS_SHOWN = 5;

type Paint = (text: string) => string;

interface Palette {
  readonly good: Paint;
  readonly bad: Paint;
  readonly faint: Paint;
  readonly strong: Paint;
}

const ansi = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;
const COLOURS: Palette = { good: ansi(32), bad: ansi(31), faint: ansi(2), strong: ansi(1) };
const same: Paint = (text) => text;
const PLAIN: Palette = { good: same, bad: same, faint: same, strong: same };

/** The summary for people. @param isTerminal colours only where somebody can see them */
export function renderText(report: DrillReport, isTerminal: boolean): string {
  const paint = isTerminal ? COLOURS : PLAIN;
  const verdict = report.pass ? paint.good('PASS') : paint.bad('FAIL');
  const steps = failoverSteps(report);
  const lines = [
    `${verdict}  ${paint.strong(report.drill)}  ${paint.faint(`${report.startedAt}, ${formatMs(report.durationMs)}`)}`,
    headline(report),
    ...(report.failure === null ? [] : [paint.bad(`the drill did not come to its end: ${report.failure}`)]),
    ...section('Budget', budgetRows(report, paint)),
    ...(steps.length === 0
      ? []
      : section('Failover', [`  ${steps.map(({ name, ms }) => `${name} ${formatMs(ms)}`).join('  ')}`])),
    ...section('Anomalies', anomalyRows(report)),
    ...section('Evidence', evidenceRows(report)),
    ...section(
      'Errors of the application',
      report.errors.slice(0, ERRORS_SHOWN).map((error) => `  ${error}`),
    ),
    ...section(
      'Timeline',
      report.timeline.map(({ atMs, what }) => `  ${formatAt(atMs).padStart(8)}  ${what}`),
    ),
    ...section(
      'Environment',
      Object.entries(report.environment).map(([name, value]) => `  ${name.padEnd(16)}  ${value}`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function section(title: string, rows: readonly string[]): readonly string[] {
  return rows.length === 0 ? [] : ['', title, ...rows];
}

function budgetRows({ budget }: DrillReport, paint: Palette): readonly string[] {
  const cells = budget.map((line) => ({
    name: line.limit,
    value: formatValue(line.value, line.unit),
    limit: formatLimit(line),
    verdict: line.verdict,
    label: line.label,
  }));
  const width = (key: 'name' | 'value' | 'limit' | 'verdict') =>
    Math.max(...cells.map((cell) => cell[key].length));
  return cells.map((cell) => {
    const verdict = cell.verdict.padEnd(width('verdict'));
    return [
      ` `,
      cell.name.padEnd(width('name')),
      cell.value.padStart(width('value')),
      cell.limit.padEnd(width('limit')),
      cell.verdict === 'within' ? paint.good(verdict) : paint.bad(verdict),
      paint.faint(cell.label),
    ].join(' ');
  });
}

function anomalyRows({ anomalies }: DrillReport): readonly string[] {
  return (Object.keys(ANOMALIES) as AnomalyKind[]).flatMap((kind) => {
    const count = anomalies[kind];
    return count === undefined ? [] : [`  ${formatCount(count).padStart(6)}  ${kind}: ${ANOMALIES[kind]}`];
  });
}

function evidenceRows({ evidence }: DrillReport): readonly string[] {
  const rows = evidence
    .slice(0, EVIDENCE_SHOWN)
    .flatMap(({ kind, topic, partition, what, clients, values }) => [
      `  ${kind} in ${topic}/${partition}: ${what}`,
      `    clients ${clients.join(', ')}; values ${values.join(', ')}`,
    ]);
  const left = evidence.length - EVIDENCE_SHOWN;
  return left > 0 ? [...rows, `  and ${left} more; the JSON report has them`] : rows;
}
