import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Phases } from '../drills/drill.ts';
import { DRILLS, drillNamed } from '../drills/drills.ts';
import { renderHtml } from '../drills/report/html.ts';
import { type DrillReport, renderJson } from '../drills/report/report.ts';
import { renderText } from '../drills/report/text.ts';
import { runDrill } from '../drills/run-drill.ts';
import { Workload } from '../drills/workload/workload.ts';
import type { Budget } from '../drills/report/budget.ts';
import { readBundle } from './bundle.ts';
import { untilSignal } from './output.ts';
import { TwinFaults } from './twin-faults.ts';

export interface DrillOptions {
  readonly data: string;
  readonly json: boolean;
  readonly report?: string;
  readonly limit: Budget;
  readonly bundle?: string;
  readonly phases?: Phases;
}

/** `millrace drill list` */
export function listDrills(): void {
  for (const { name, explanation } of DRILLS) process.stdout.write(`${name}\n${indented(explanation)}\n\n`);
}

/** `millrace drill NAME`, on the twin that runs. @returns the exit status: 0 when the drill passed */
export async function drill(name: string, options: DrillOptions): Promise<number> {
  const chosen = drillNamed(name);
  const cluster = await TwinFaults.open(
    options.data,
    options.bundle === undefined ? undefined : readBundle(options.bundle),
  );
  const stop = new AbortController();
  void untilSignal(() => undefined).then(() => stop.abort(new Error('interrupted')));
  const stamp = new Date().toISOString().replaceAll(':', '-');
  const folder = path.resolve(options.report ?? path.join(options.data, 'drills', `${stamp}-${name}`));
  mkdirSync(folder, { recursive: true });
  const report = await runDrill(chosen, {
    cluster,
    historyPath: path.join(folder, 'history.jsonl'),
    budget: options.limit,
    ...(options.phases === undefined ? {} : { phases: options.phases }),
    signal: stop.signal,
    heard: ({ atMs, kind, what }) => {
      if (!options.json) process.stderr.write(`${(atMs / 1000).toFixed(1).padStart(7)} s  ${kind} ${what}\n`);
    },
    startWorkload: (workload, sink, now) => Workload.start(workload, sink, now),
    clock: {
      now: () => performance.now(),
      wall: () => new Date(),
      sleep: async (ms, signal) => {
        await sleep(ms, undefined, signal === undefined ? {} : { signal });
      },
    },
  });
  write(folder, report);
  process.stdout.write(options.json ? renderJson(report) : renderText(report, process.stdout.isTTY));
  if (!options.json) process.stdout.write(`report: ${path.join(folder, 'report.html')}\n`);
  return report.pass ? 0 : 1;
}

function write(folder: string, report: DrillReport): void {
  writeFileSync(path.join(folder, 'report.json'), renderJson(report));
  writeFileSync(path.join(folder, 'report.html'), renderHtml(report));
  writeFileSync(path.join(folder, 'report.txt'), renderText(report, false));
}

function indented(text: string): string {
  return text
    .split(/(.{1,100})(?:\s+|$)/)
    .filter((line) => line !== '')
    .map((line) => `    ${line}`)
    .join('\n');
}
