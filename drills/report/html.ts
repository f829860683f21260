import { ANOMALIES, type AnomalyKind } from '../checker/anomalies.ts';
import { escapeHtml } from './escape.ts';
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
import { STYLE } from './style.ts';
import { timelineSvg } from './timeline-svg.ts';

/** One page that needs nothing but itself: it can be kept, mailed and read without a network. */
export function renderHtml(report: DrillReport): string {
  const { drill, pass, startedAt, durationMs, explanation, failure } = report;
  const verdict = pass ? 'pass' : 'fail';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(drill)}: ${verdict}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<p class="verdict ${verdict}">${verdict.toUpperCase()}</p>
<h1>${escapeHtml(drill)}</h1>
<p class="lead">${escapeHtml(headline(report))}</p>
<p class="faint">${escapeHtml(explanation)}</p>
<p class="faint">${escapeHtml(startedAt)}, ${formatMs(durationMs)}</p>
${failure === null ? '' : `<p class="alert" role="alert">The drill did not come to its end: ${escapeHtml(failure)}</p>`}
</header>
<section aria-labelledby="when"><h2 id="when">What happened when</h2>
<figure>${timelineSvg(report)}</figure>
${table(
  ['Time', 'What'],
  report.timeline.map(({ atMs, kind, what }) => ({ cells: [formatAt(atMs), what], mark: kind })),
)}
</section>
<section aria-labelledby="budget"><h2 id="budget">Budget</h2>
${table(
  ['Limit', 'Measured', 'Allowed', 'Verdict', 'What it is'],
  report.budget.map((line) => ({
    cells: [line.limit, formatValue(line.value, line.unit), formatLimit(line), line.verdict, line.label],
    mark: line.verdict === 'within' ? 'good' : 'bad',
  })),
)}
</section>
${section(
  'Failover',
  'failover',
  ['Step', 'Took'],
  failoverSteps(report).map(({ name, ms }) => [name, formatMs(ms)]),
)}
${section('Anomalies', 'anomalies', ['Kind', 'Count', 'What it is'], anomalyRows(report))}
${section(
  'Evidence',
  'evidence',
  ['Kind', 'Where', 'What', 'Clients', 'Values', 'Times'],
  report.evidence.map(({ kind, topic, partition, what, clients, values, timesMs }) => [
    kind,
    `${topic}/${partition}`,
    what,
    clients.join(', '),
    values.join(', '),
    timesMs.map(formatAt).join(', '),
  ]),
)}
${section(
  'Errors of the application',
  'errors',
  ['Error'],
  report.errors.map((error) => [error]),
)}
${section('Environment', 'environment', ['Name', 'Value'], Object.entries(report.environment))}
</main>
</body>
</html>
`;
}

function section(
  title: string,
  id: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  if (rows.length === 0) return '';
  const body = table(
    head,
    rows.map((cells) => ({ cells, mark: '' })),
  );
  return `<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>\n${body}\n</section>`;
}

function table(
  head: readonly string[],
  rows: readonly { readonly cells: readonly string[]; readonly mark: string }[],
): string {
  const heads = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const body = rows.map(
    ({ cells, mark }) =>
      `<tr class="${escapeHtml(mark)}">${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`,
  );
  return `<div class="scroll"><table><thead><tr>${heads}</tr></thead>\n<tbody>${body.join('\n')}</tbody></table></div>`;
}

function anomalyRows({ anomalies }: DrillReport): readonly (readonly string[])[] {
  return (Object.keys(ANOMALIES) as AnomalyKind[]).flatMap((kind) => {
    const count = anomalies[kind];
    return count === undefined ? [] : [[kind, formatCount(count), ANOMALIES[kind]]];
  });
}
