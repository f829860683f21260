import { describe, expect, test } from '@jest/globals';
import { decodeSnapshot, emptyState, encodeSnapshot } from '../../broker-runtime/src/log/partition-state.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { clientBatch, openRig, put, readAll, type Rig } from './kit.ts';
import type { AppendResult } from '../../broker-runtime/src/log/partition-log.ts';

function send(rig: Rig, baseSequence: number, value = 'v'): AppendResult {
  const batch = clientBatch({ producerId: 9, producerEpoch: 0, baseSequence, value });
  return rig.partition.append(batch, { origin: 'client' });
}

async function sendDurably(rig: Rig, from: number, until: number): Promise<void> {
  for (let sequence = from; sequence < until; sequence++) expect(send(rig, sequence).error).toBe(Errors.NONE);
  rig.data.settle();
  await rig.env.clock.settle();
}

describe('after a crash', () => {
  test('a retry of a batch that was durable but never acknowledged is a duplicate (I14)', async () => {
    const before = await openRig();
    await sendDurably(before, 0, 3);
    send(before, 3);
    const after = await before.crash({ keepGroups: 1, leaderEpoch: 1 });
    expect(after.partition.logEndOffset).toBe(4);
    expect(send(after, 3)).toMatchObject({ error: Errors.NONE, baseOffset: 3 });
    expect(after.partition.logEndOffset).toBe(4);
  });

  test('a batch that did not become durable is gone, and its retry takes its offset', async () => {
    const before = await openRig();
    await sendDurably(before, 0, 3);
    send(before, 3);
    const after = await before.crash();
    expect(send(after, 3)).toMatchObject({ error: Errors.NONE, baseOffset: 3 });
  });

  test.each(Array.from({ length: 8 }, (_, cut) => cut))(
    'sequences survive with a snapshot after %i of 8 batches and replay of the rest',
    async (cut) => {
      const first = await openRig();
      await sendDurably(first, 0, cut);
      await first.run(first.partition.close());
      const second = await openRig({
        env: first.env,
        data: first.data.crash(),
        states: first.states.crash(),
      });
      await sendDurably(second, cut, 8);
      const third = await second.crash();
      for (const sequence of [3, 4, 5, 6, 7]) expect(send(third, sequence).baseOffset).toBe(sequence);
      expect(send(third, 2).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
      expect(send(third, 8).baseOffset).toBe(8);
    },
  );

  test('leader epochs are told from the batches', async () => {
    const first = await openRig({ leaderEpoch: 2 });
    await sendDurably(first, 0, 3);
    const second = await first.crash({ leaderEpoch: 5 });
    await sendDurably(second, 3, 4);
    const third = await second.crash({ leaderEpoch: 6 });
    expect(third.partition.endOffsetForEpoch(2)).toEqual({ leaderEpoch: 2, endOffset: 3 });
    expect(third.partition.endOffsetForEpoch(4)).toEqual({ leaderEpoch: 2, endOffset: 3 });
    expect(third.partition.endOffsetForEpoch(5)).toEqual({ leaderEpoch: 5, endOffset: 4 });
    expect(third.partition.endOffsetForEpoch(6)).toEqual({ leaderEpoch: 6, endOffset: 4 });
    expect(third.partition.endOffsetForEpoch(7)).toEqual({ leaderEpoch: -1, endOffset: -1 });
    expect(third.partition.endOffsetForEpoch(0)).toEqual({ leaderEpoch: 0, endOffset: 0 });
  });
});

describe('snapshots', () => {
  test('after a clean close nothing is replayed: damaged batches below the snapshot are not even read', async () => {
    const first = await openRig();
    await sendDurably(first, 0, 10);
    await first.run(first.partition.close());
    const data = first.data.crash();
    data.readError = new Error('no read was expected');
    const second = await openRig({ env: first.env, data, states: first.states.crash() });
    expect(send(second, 9).baseOffset).toBe(9);
  });

  test('failure class: the second of two closes ended before what the first one wrote was stored', async () => {
    const rig = await openRig();
    await sendDurably(rig, 0, 3);
    const flushes = [rig.data, rig.states].map((stream) => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      stream.flush = () => promise;
      return resolve;
    });
    const ended: string[] = [];
    const first = rig.partition.close().then(() => ended.push('first'));
    const second = rig.partition.close().then(() => ended.push('second'));
    await rig.env.clock.advance(1_000);
    expect(ended).toEqual([]);
    for (const flushed of flushes) flushed(undefined);
    await rig.run(Promise.all([first, second]));
    expect(ended.sort()).toEqual(['first', 'second']);
  });

  test('two are kept, and a damaged newest one is passed over', async () => {
    let rig = await openRig();
    for (let round = 0; round < 4; round++) {
      await sendDurably(rig, round * 2, round * 2 + 2);
      await rig.run(rig.partition.close());
      rig = await openRig({ env: rig.env, data: rig.data.crash(), states: rig.states.crash() });
    }
    expect(rig.states.entries).toHaveLength(2);
    rig.states.damage(1, 20);
    const again = await rig.crash();
    expect(again.env.events.named('log.snapshot-passed-over')).toHaveLength(1);
    expect(send(again, 7).baseOffset).toBe(7);
    expect(send(again, 9).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
  });

  test('with all of them damaged the state is rebuilt from the whole log', async () => {
    const rig = await openRig();
    await sendDurably(rig, 0, 6);
    await rig.run(rig.partition.close());
    rig.states.damage(0, 4);
    const again = await rig.crash();
    expect(send(again, 2).baseOffset).toBe(2);
    expect(send(again, 6).baseOffset).toBe(6);
  });

  test('one ahead of a log that was cut back is passed over', async () => {
    const rig = await openRig();
    await sendDurably(rig, 0, 3);
    const cutBack = rig.data.crash();
    await sendDurably(rig, 3, 6);
    await rig.run(rig.partition.close());
    const again = await openRig({ env: rig.env, data: cutBack, states: rig.states.crash() });
    expect(send(again, 3)).toMatchObject({ error: Errors.NONE, baseOffset: 3 });
    expect(again.env.events.named('log.snapshot-passed-over')).toHaveLength(1);
  });

  test('trim-past-snapshot: deleting batches no snapshot tells of writes one first, so their producer goes on', async () => {
    const rig = await openRig();
    await sendDurably(rig, 0, 6);
    expect((await rig.run(rig.partition.deleteRecordsBefore(-1))).logStartOffset).toBe(6);
    const again = await rig.crash();
    expect(send(again, 5).baseOffset).toBe(5);
    expect(send(again, 8).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(send(again, 6).baseOffset).toBe(6);
  });

  test('one is written when much was appended since, and when some time passed', async () => {
    const rig = await openRig({ config: { maxMessageBytes: 40 << 20 } });
    const value = 'x'.repeat(33 << 20);
    put(rig, { value });
    await rig.env.clock.settle();
    expect(rig.states.endOffset).toBe(0);
    put(rig, { value });
    await rig.env.clock.settle();
    expect(rig.states.endOffset).toBe(1);
    put(rig);
    await rig.run(rig.partition.maintain());
    expect(rig.states.endOffset).toBe(1);
    await rig.env.clock.advance(10 * 60_000);
    await rig.run(rig.partition.maintain());
    expect(rig.states.endOffset).toBe(2);
    await rig.env.clock.advance(10 * 60_000);
    await rig.run(rig.partition.maintain());
    expect(rig.states.endOffset).toBe(2);
  });

  test('one that fails is reported, stops nothing, and is tried again', async () => {
    const rig = await openRig({ config: { maxMessageBytes: 80 << 20 } });
    rig.states.fail(new Error('EIO'));
    put(rig, { value: 'x'.repeat(65 << 20) });
    await rig.env.clock.settle();
    expect(rig.env.events.named('log.snapshot-failed')).toHaveLength(1);
    expect(put(rig).error).toBe(Errors.NONE);
    await rig.env.clock.settle();
    expect(rig.env.events.named('log.snapshot-failed')).toHaveLength(2);
  });

  test('every truncation and every flipped byte of a snapshot is noticed', () => {
    const state = emptyState();
    state.epochs.assign(3, 10);
    state.producers.record(1, 0, 0, 10, 0, 5, 5);
    const bytes = encodeSnapshot(state, 11);
    expect(decodeSnapshot(bytes).endOffset).toBe(11);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      expect(() => decodeSnapshot(flipped)).toThrow(expect.objectContaining({ code: 'CORRUPTION' }));
      expect(() => decodeSnapshot(bytes.subarray(0, at))).toThrow(
        expect.objectContaining({ code: 'CORRUPTION' }),
      );
    }
  });
});

test('opening fails while the log cannot be read, and succeeds afterwards', async () => {
  const rig = await openRig();
  await sendDurably(rig, 0, 3);
  const data = rig.data.crash();
  data.readError = new Error('503 Slow Down');
  await expect(openRig({ env: rig.env, data })).rejects.toThrow('503');
  data.readError = undefined;
  const again = await openRig({ env: rig.env, data });
  expect(await readAll(again.partition)).toHaveLength(3);
  expect(data.slicesHeld).toBe(0);
});
