import { formatAt, formatCount } from './format.ts';
import { escapeHtml } from './escape.ts';
import type { DrillReport, TimelineEntry } from './report.ts';

const WIDTH = 960;
const HEIGHT = 260;
const LEFT = 56;
const TOP = 28;
const BOTTOM = 30;
const PLOT = { width: WIDTH - LEFT - 8, height: HEIGHT - TOP - BOTTOM };
const TICKS = 8;
const STEPS_MS = [
  500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
];

/** Acknowledged records a second over time, on bands for the phases, with a line for every action. */
export function timelineSvg(report: DrillReport): string {
  const { throughput, timeline, durationMs } = report;
  const endMs = Math.max(durationMs, 1);
  const x = (ms: number) => round(LEFT + (PLOT.width * Math.min(Math.max(ms, 0), endMs)) / endMs);
  const perSecond = throughput.acknowledged.map((records) => (records * 1000) / throughput.bucketMs);
  const most = Math.max(1, ...perSecond);
  const y = (rate: number) => round(TOP + PLOT.height * (1 - rate / most));

  const bars = perSecond.map((rate, n) => {
    const left = x(n * throughput.bucketMs);
    const width = round(Math.max(x((n + 1) * throughput.bucketMs) - left - 0.5, 0.5));
    return rate === 0
      ? ''
      : `<rect class="bar" x="${left}" y="${y(rate)}" width="${width}" height="${round(TOP + PLOT.height - y(rate))}"/>`;
  });
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="timeline-title timeline-text">`,
    `<title id="timeline-title">Acknowledged records a second</title>`,
    `<desc id="timeline-text">${escapeHtml(describe(report, most))}</desc>`,
    ...bands(timeline, endMs, x),
    ...bars,
    `<line class="axis" x1="${LEFT}" y1="${TOP + PLOT.height}" x2="${LEFT + PLOT.width}" y2="${TOP + PLOT.height}"/>`,
    `<text class="label" x="${LEFT - 6}" y="${TOP + 10}" text-anchor="end">${formatCount(most)}/s</text>`,
    `<text class="label" x="${LEFT - 6}" y="${TOP + PLOT.height}" text-anchor="end">0</text>`,
    ...ticks(endMs).map(
      (ms) =>
        `<text class="label" x="${x(ms)}" y="${HEIGHT - 10}" text-anchor="middle">${formatCount(ms / 1000)} s</text>`,
    ),
    ...timeline.flatMap(({ atMs, kind, what }) =>
      kind === 'action' || kind === 'failure'
        ? [
            `<line class="${kind}" x1="${x(atMs)}" y1="${TOP}" x2="${x(atMs)}" y2="${TOP + PLOT.height}">` +
              `<title>${formatAt(atMs)}: ${escapeHtml(what)}</title></line>`,
          ]
        : [],
    ),
    `</svg>`,
  ].join('\n');
}

function bands(
  timeline: readonly TimelineEntry[],
  endMs: number,
  x: (ms: number) => number,
): readonly string[] {
  const phases = timeline.filter(({ kind }) => kind === 'phase');
  return phases.map(({ atMs, what }, n) => {
    const left = x(atMs);
    const width = round(x(phases[n + 1]?.atMs ?? endMs) - left);
    return (
      `<g><title>${escapeHtml(what)}</title>` +
      `<rect class="band band-${n % 2}" x="${left}" y="0" width="${width}" height="${TOP + PLOT.height}"/>` +
      (width < 40 ? '' : `<text class="phase" x="${left + 4}" y="16">${escapeHtml(what)}</text>`) +
      `</g>`
    );
  });
}

function describe({ timeline, acknowledged }: DrillReport, most: number): string {
  const actions = timeline
    .filter(({ kind }) => kind === 'action')
    .map(({ atMs, what }) => `${what} at ${formatAt(atMs)}`);
  return `${formatCount(acknowledged)} records, up to ${formatCount(most)} a second. ${actions.join('. ')}`;
}

function ticks(endMs: number): readonly number[] {
  const step = STEPS_MS.find((ms) => endMs / ms <= TICKS) ?? endMs / TICKS;
  return Array.from({ length: Math.floor(endMs / step) + 1 }, (_, n) => n * step);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
