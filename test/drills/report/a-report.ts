import { type DrillFacts, type DrillReport, makeReport } from '../../../drills/report/report.ts';
import { type Budget, NOTHING_WRONG } from '../../../drills/report/budget.ts';

export const GOOD_FACTS: DrillFacts = {
  drill: 'kill-broker',
  explanation: 'Ends one broker.',
  startedAt: '2026-01-02T03:04:05.000Z',
  durationMs: 61_234,
  acknowledged: 12_345,
  read: 12_350,
  unknown: 5,
  lost: 0,
  duplicated: 0,
  reordered: 0,
  otherAnomalies: 0,
  sendErrors: 0,
  detectMs: 9_100,
  fenceMs: 12,
  replayMs: 340,
  commitMs: 45,
  reopenMs: 120,
  stallMs: { p50: 8, p99: 40, max: 10_050 },
  anomalies: {},
  evidence: [],
  timeline: [
    { atMs: 0, kind: 'phase', what: 'steady' },
    { atMs: 10_000, kind: 'phase', what: 'inject' },
    { atMs: 10_001, kind: 'action', what: 'kill broker 2' },
    { atMs: 40_000, kind: 'phase', what: 'heal' },
  ],
  throughput: { bucketMs: 1_000, acknowledged: [600, 610, 0, 590], read: [600, 600, 10, 590] },
  errors: [],
  failure: null,
  environment: { cluster: 'three brokers on this machine' },
};

export const BAD_FACTS: DrillFacts = {
  ...GOOD_FACTS,
  lost: 1,
  otherAnomalies: 2,
  detectMs: null,
  anomalies: { 'lost-write': 1, gap: 2 },
  evidence: [
    {
      kind: 'lost-write',
      topic: 'orders',
      partition: 3,
      what: 'acknowledged at offset 7, never read; <script>alert("&")</script>',
      clients: ['producer-3'],
      values: ['orders|3|p|1|0123456789ab'],
      offsets: [7],
      timesMs: [12_000],
    },
  ],
  errors: ['producer-3 send: connection <closed> & gone'],
  failure: 'broker "2" did not start',
};

export function report(facts: DrillFacts = GOOD_FACTS, budget: Budget = {}): DrillReport {
  return makeReport(facts, { ...NOTHING_WRONG, detectMs: 12_000, stallMaxMs: 15_000, ...budget });
}
