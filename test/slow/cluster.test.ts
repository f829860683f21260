import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { checkHistory } from '../../drills/checker/check.ts';
import { HistoryWriter, readHistory } from '../../drills/history/file.ts';
import { Workload } from '../../drills/workload/workload.ts';
import { TempDir } from '../harness/temp-dir.ts';
import { TwinProcess } from '../harness/twin-process.ts';

const SMALL = ['--wal-size', '64MiB', '--memory', '128MiB', '--set', 'group.initial.rebalance.delay.ms=0'];
const STEADY_MS = 4_000;
const SESSION_MS = 6_000;
/** From the controller's decision to the entry that gives the partitions away. */
const TAKEOVER_LIMIT_MS = 3_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Real processes, real clients: three zones with two brokers each. */
describe('a cluster under load', () => {
  let dir: TempDir;
  let twin: TwinProcess;

  beforeEach(async () => {
    dir = new TempDir();
    twin = await TwinProcess.start(dir.join('data'), ['--zones', '3', '--brokers-per-zone', '2', ...SMALL]);
  });
  afterEach(async () => {
    await twin.stop();
    dir.remove();
  });

  /** Load before, during and after `act`; every client's history must be what Kafka allows. */
  async function underLoad(act: () => Promise<void>) {
    const writer = new HistoryWriter(dir.join('history.jsonl'));
    const workload = await Workload.start(
      { bootstrapServers: twin.bootstrapServers, topic: 'load', partitions: 12, recordsPerSecond: 600 },
      writer,
    );
    await sleep(STEADY_MS);
    const fromMs = performance.now();
    const before = workload.acknowledged;
    await act();
    const toMs = performance.now();
    await sleep(STEADY_MS);
    const { acknowledged, isDrained, errors } = await workload.stop();
    await writer.close();
    const verdict = await checkHistory(readHistory(writer.path));
    const stall = verdict.stalls.longest('send', { fromMs, toMs });
    expect(verdict.evidence).toEqual([]);
    expect(verdict).toMatchObject({ acknowledged, sendErrors: 0 });
    expect(isDrained).toBe(true);
    expect(before).toBeGreaterThan(0);
    expect(acknowledged).toBeGreaterThan(before);
    return { acknowledged, stallMs: Math.round(stall?.ms ?? 0), errors };
  }

  const times = () => JSON.stringify(twin.named('takeover.finished').map(stepsOf));

  test('kill -9: a neighbour of the zone fences the log, replays it, and its partitions go on', async () => {
    const controller = await twin.controller();
    const victim = (await twin.faults.members()).find(({ nodeId }) => nodeId !== controller)?.nodeId ?? 0;
    const { acknowledged, stallMs } = await underLoad(async () => {
      await twin.faults.kill(victim);
      await sleep(SESSION_MS + TAKEOVER_LIMIT_MS);
      await twin.faults.start(victim);
    });
    console.log(`kill -9: ${acknowledged} acknowledged, longest stall ${stallMs} ms, ${times()}`);
    const [taken] = twin.named('takeover.finished');
    expect(taken).toMatchObject({ nodeId: victim });
    const { fenceMs, replayMs, commitMs } = stepsOf(taken ?? {});
    expect(fenceMs + replayMs + commitMs).toBeLessThan(TAKEOVER_LIMIT_MS);
    // One life, one failover: the node that came back is not taken for dead again.
    expect(twin.named('controller.node-fenced')).toHaveLength(1);
  });

  test('SIGSTOP for 15 s: the zombie wakes, acknowledges nothing, and ends', async () => {
    const controller = await twin.controller();
    const victim = (await twin.faults.members()).find(({ nodeId }) => nodeId !== controller)?.nodeId ?? 0;
    const { acknowledged, stallMs } = await underLoad(async () => {
      await twin.faults.pause(victim);
      await sleep(15_000);
      await twin.faults.resume(victim);
      while (!servesAgain(victim)) await sleep(100);
    });
    console.log(`zombie: ${acknowledged} acknowledged, longest stall ${stallMs} ms, ${times()}`);
    expect(twin.named('takeover.finished')).toMatchObject([{ nodeId: victim }]);
  });

  test('the controller is killed: another one is elected, and recovers its log', async () => {
    const controller = await twin.controller();
    const { acknowledged, stallMs } = await underLoad(async () => {
      await twin.faults.kill(controller);
      while (twin.named('takeover.finished').length === 0) await sleep(100);
      await twin.faults.start(controller);
    });
    console.log(`lost controller: ${acknowledged} acknowledged, longest stall ${stallMs} ms, ${times()}`);
    expect(await twin.controller()).not.toBe(controller);
  });

  test('a rolling restart: every broker is stopped and started, and no client hears of it', async () => {
    const { acknowledged, stallMs, errors } = await underLoad(async () => {
      for (const { nodeId } of await twin.faults.members()) {
        await twin.faults.stop(nodeId);
        await twin.faults.start(nodeId);
      }
    });
    console.log(`rolling restart: ${acknowledged} acknowledged, longest stall ${stallMs} ms`);
    expect(errors.filter((error) => error.includes(' send: '))).toEqual([]);
    expect(twin.named('controller.node-fenced')).toEqual([]);
    expect(twin.named('takeover.finished')).toEqual([]);
  });

  const servesAgain = (nodeId: number): boolean =>
    twin.named('broker.serving').filter((event) => event['nodeId'] === nodeId).length > 1;
});

function stepsOf(event: Readonly<Record<string, unknown>>) {
  const { nodeId, fenceMs, replayMs, commitMs, recoveredEntries } = event;
  return {
    nodeId,
    fenceMs: Number(fenceMs),
    replayMs: Number(replayMs),
    commitMs: Number(commitMs),
    recoveredEntries,
  };
}
