import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DRILLS } from '../../drills/drills.ts';
import type { DrillReport } from '../../drills/report/report.ts';
import { run } from '../harness/command.ts';
import { olderBundle } from '../harness/older-version.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { TwinProcess } from '../harness/twin-process.ts';

const CLI = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
/** Long enough to find a broker dead (6 s) and to take its log over; docs/drills.md has longer runs. */
const PHASES = '3,10,3';
const SMALL = ['--wal-size', '64MiB', '--memory', '128MiB', '--set', 'group.initial.rebalance.delay.ms=0'];
/** More than a drill's own limits together, or what it found would be lost with it: clients that wait take most of four minutes. */
const DRILL_DEADLINE_MS = 420_000;
/** From the detection of a failure until producers write again, to every partition. */
const WRITABLE_LIMIT_MS = 3_000;
/** Brokers that leave in order are never taken for dead. */
const ORDERLY = new Set(['rolling-restart', 'upgrade-and-back', 'spot-notice']);
/** Drills in which a log has to be taken over, on shared volumes of a zone: two brokers in each. */
const FAILOVERS = new Set([
  'kill-broker',
  'pause-broker',
  'cut-off-broker',
  'lose-controller',
  'spot-no-notice',
]);

/** Every drill as a user runs it: by its command, on six brokers in three zones, one after the other on one cluster. */
describe('drills', () => {
  let dir: TempDir;
  let twin: TwinProcess;
  let older: string;

  beforeAll(async () => {
    dir = new TempDir();
    mkdirSync(dir.join('older'));
    older = await olderBundle(dir.join('older'));
    twin = await TwinProcess.start(dir.join('data'), ['--zones', '3', '--brokers-per-zone', '2', ...SMALL]);
  }, DRILL_DEADLINE_MS);
  afterAll(async () => {
    const status = await twin.stop();
    dir.remove();
    expect(status).toBe(0);
  });

  const takeovers = (): number => twin.named('takeover.finished').length;

  async function drill(name: string): Promise<{ status: number | null; report: DrillReport }> {
    const where = ['--data', dir.join('data'), '--report', dir.join(name)];
    const { status, stdout, stderr } = await run(
      process.execPath,
      [CLI, 'drill', name, ...where, '--json', '--phases', PHASES, '--bundle', older],
      { deadlineMs: DRILL_DEADLINE_MS },
    );
    if (stdout === '') throw new Error(`${name} ended with ${status} and no report: ${stderr}`);
    return { status, report: JSON.parse(stdout) as DrillReport };
  }

  test.each(DRILLS.map(({ name }) => name))(
    '%s',
    async (name) => {
      const before = takeovers();
      const { status, report } = await drill(name);
      const { pass, failure, acknowledged, lost, duplicated, reordered, stallMs, evidence } = report;
      const { detectMs, fenceMs, replayMs, commitMs, reopenMs } = report;
      const missed = report.budget.filter(({ verdict }) => verdict !== 'within');
      console.log(
        name,
        JSON.stringify({ acknowledged, stallMs, detectMs, fenceMs, replayMs, commitMs, reopenMs }),
        // Of a run that cannot be repeated this is all there is.
        ...(missed.length > 0
          ? [JSON.stringify({ missed, evidence, errors: report.errors.slice(0, 5) })]
          : []),
      );
      expect(missed).toEqual([]);
      expect({ pass, failure, lost, duplicated, reordered, evidence }).toEqual({
        ...{ pass: true, failure: null, lost: 0, duplicated: 0, reordered: 0, evidence: [] },
      });
      expect(status).toBe(0);
      expect(acknowledged).toBeGreaterThan(1_000);
      if (FAILOVERS.has(name)) {
        for (const measured of [detectMs, fenceMs, replayMs, commitMs, reopenMs])
          expect(measured).not.toBeNull();
      }
      if (name === 'kill-broker') {
        expect((stallMs?.max ?? Infinity) - (detectMs ?? 0)).toBeLessThan(WRITABLE_LIMIT_MS);
      }
      if (ORDERLY.has(name)) expect(takeovers()).toBe(before);
      if (name === 'upgrade-and-back') {
        const starts = report.timeline.map(
          ({ what }) => /^start broker \d as the (\w+) version$/.exec(what)?.[1],
        );
        expect(starts.filter((version) => version === 'other')).toHaveLength(6);
        expect(starts.filter((version) => version === 'deployed')).toHaveLength(6);
      }
    },
    DRILL_DEADLINE_MS + 10_000,
  );
});
