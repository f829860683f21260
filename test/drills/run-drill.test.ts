import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Drill, DrillRefusedError } from '../../drills/drill.ts';
import { drillNamed, DRILLS } from '../../drills/drills.ts';
import { type DrillRun, runDrill } from '../../drills/run-drill.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { FakeClock, FakeCluster, FakeWorkload } from './fake-cluster.ts';

let dir: TempDir;
let cluster: FakeCluster;
beforeEach(() => {
  dir = new TempDir();
  cluster = new FakeCluster();
});
afterEach(() => dir.remove());

function run(change: Partial<DrillRun> = {}): DrillRun {
  return {
    cluster,
    historyPath: dir.join('history.jsonl'),
    clock: new FakeClock(),
    startWorkload: async (options, sink, now) => new FakeWorkload(options, sink, now),
    ...change,
  };
}

describe('every drill', () => {
  test.each(DRILLS.map((drill) => [drill.name, drill] as const))(
    '%s says what it is for, breaks something, and heals it',
    async (_, drill: Drill) => {
      expect(drill.explanation).toMatch(/^[A-Z].{100,500}\.$/);
      const report = await runDrill(drill, run());
      expect(report.failure).toBeNull();
      expect(cluster.calls.length).toBeGreaterThan(2);
      expect(cluster.calls.at(-1)).toBe('healAll');
      expect(report.timeline.filter(({ kind }) => kind === 'phase').map(({ what }) => what)).toEqual([
        ...['start', 'steady', 'inject', 'observe', 'heal', 'recover', 'drain'],
      ]);
      expect(report.timeline.some(({ kind }) => kind === 'action')).toBe(true);
      expect(report.budget.map(({ limit }) => limit)).toEqual(
        expect.arrayContaining(['lost', 'duplicated', 'reordered', 'otherAnomalies', 'stallMaxMs']),
      );
    },
  );

  test('has a name of its own, by which it is found', () => {
    expect(DRILLS.map(({ name }) => drillNamed(name))).toEqual(DRILLS);
    expect(() => drillNamed('kill-everybody')).toThrow(/allowed: kill-broker, pause-broker/);
  });

  test.each([
    ['kill-broker', ['kill 2', 'start 2', 'healAll']],
    ['pause-broker', ['pause 2', 'resume 2', 'healAll']],
    ['lose-controller', ['kill 1', 'start 1', 'healAll']],
    ['lose-all-but-one', ['kill 1', 'kill 3', 'start 1', 'start 3', 'healAll']],
    ['lose-zone', ['loseZone a', 'restoreZone a', 'healAll']],
    ['rolling-restart', ['stop 2', 'start 2', 'stop 3', 'start 3', 'stop 1', 'start 1', 'healAll']],
    [
      'upgrade-and-back',
      [
        ...['other', 'own'].flatMap((version) =>
          [2, 3, 1].flatMap((id) => [`stop ${id}`, `useVersion ${id} ${version}`, `start ${id}`]),
        ),
        'healAll',
      ],
    ],
    ['full-wal', ['objectStoreOutage', 'objectStoreNormal', 'healAll']],
  ])('%s does %j', async (name, calls) => {
    await runDrill(drillNamed(name), run());
    expect(cluster.calls).toEqual(calls);
  });
});

describe('running a drill', () => {
  const drill = drillNamed('kill-broker');

  test('reports what clients saw and what the cluster measured', async () => {
    const report = await runDrill(
      drill,
      run({ phases: { steadyMs: 1_000, observeMs: 2_000, recoverMs: 3_000 } }),
    );
    expect(report).toMatchObject({
      drill: 'kill-broker',
      startedAt: '2026-01-02T03:04:05.000Z',
      durationMs: 6_000,
      acknowledged: 3,
      read: 3,
      lost: 0,
      detectMs: 900,
      stallMs: { max: 1_500 },
      environment: { cluster: 'fake', brokers: '3' },
    });
  });

  test('fails when the checker finds a loss', async () => {
    const report = await runDrill(
      drill,
      run({ startWorkload: async (options, sink, now) => new FakeWorkload(options, sink, now, true) }),
    );
    expect(report).toMatchObject({ pass: false, lost: 1, anomalies: { unseen: 1 } });
    expect(report.evidence).toHaveLength(1);
  });

  test('takes limits of the user instead of its own', async () => {
    const report = await runDrill(drill, run({ budget: { stallMaxMs: 1, detectMs: 500 } }));
    expect(report.budget.filter(({ verdict }) => verdict === 'exceeded').map(({ limit }) => limit)).toEqual([
      'detectMs',
      'stallMaxMs',
    ]);
  });

  test('heals, drains and reports also when the fault could not be made', async () => {
    cluster.broken.add('kill 2');
    const report = await runDrill(drill, run());
    expect(cluster.calls).toEqual(['kill 2', 'start 2', 'healAll']);
    expect(report).toMatchObject({ pass: false, failure: 'kill 2 is broken', acknowledged: 3, lost: 0 });
  });

  test('heals everything when its own healing failed', async () => {
    cluster.broken.add('start 2');
    const report = await runDrill(drill, run());
    expect(cluster.calls).toEqual(['kill 2', 'start 2', 'healAll']);
    expect(report).toMatchObject({ pass: false, failure: 'start 2 is broken' });
  });

  test('leaves no broken cluster behind when it is interrupted', async () => {
    const interrupt = new AbortController();
    const report = await runDrill(
      drill,
      run({
        signal: interrupt.signal,
        heard: ({ kind }) => {
          if (kind === 'action') interrupt.abort();
        },
      }),
    );
    expect(cluster.calls).toEqual(['kill 2', 'start 2', 'healAll']);
    expect(report).toMatchObject({ pass: false, failure: 'the drill was interrupted' });
  });

  test('reports a workload that did not start, and breaks nothing', async () => {
    const report = await runDrill(
      drill,
      run({ startWorkload: async () => Promise.reject(new Error('no such host')) }),
    );
    expect(cluster.calls).toEqual([]);
    expect(report).toMatchObject({ pass: false, failure: 'no such host', stallMs: null });
  });

  test('refuses a cluster that is too small or not whole, and touches nothing', async () => {
    const [first, second] = cluster.all;
    if (first === undefined || second === undefined) throw new Error('the fake is too small');
    cluster.all = [first];
    await expect(runDrill(drill, run())).rejects.toThrow(DrillRefusedError);
    cluster.all = [first, { ...second, isServing: false }];
    await expect(runDrill(drill, run())).rejects.toThrow('2 do not serve');
    cluster.all = [first, { ...second, zone: first.zone }];
    await expect(runDrill(drillNamed('lose-zone'), run())).rejects.toThrow('2 brokers in 2 zones');
    expect(cluster.calls).toEqual([]);
  });
});
