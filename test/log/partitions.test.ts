import { describe, expect, test } from '@jest/globals';
import { type PartitionAssignment, PartitionSet } from '../../broker-runtime/src/log/partitions.ts';
import { Partition } from '../../broker-runtime/src/log/partition.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { clientBatch, COMPACTED, DEFAULT_CONFIG, HOUR_MS } from './kit.ts';
import { MemoryStream } from './memory-stream.ts';

interface World {
  readonly env: SimEnv;
  readonly set: PartitionSet;
  readonly streams: Map<number, MemoryStream>;
  readonly assigned: Map<string, PartitionAssignment>;
  /** Streams that were asked for: two for each partition opened. */
  readonly touched: number[];
}

function world(
  partitions: number,
  before?: World,
  config = DEFAULT_CONFIG,
  pace = { intervalMs: 60_000, cleanerIntervalMs: 15_000 },
): World {
  const env = before?.env ?? simEnv(7);
  const streams = before?.streams ?? new Map<number, MemoryStream>();
  const touched: number[] = [];
  const assigned = new Map<string, PartitionAssignment>();
  for (let partition = 0; partition < partitions; partition++) {
    const dataStreamId = partition * 2;
    const stateStreamId = dataStreamId + 1;
    assigned.set(`T/${partition}`, {
      topicId: 'T',
      topic: 'topic',
      partition,
      leaderEpoch: 0,
      dataStreamId,
      stateStreamId,
      config,
    });
    for (const id of [dataStreamId, stateStreamId]) {
      if (!streams.has(id)) streams.set(id, Object.assign(new MemoryStream(id), { autoSettle: true }));
    }
  }
  const store = {
    stream: (id: number): MemoryStream => {
      const stream = streams.get(id);
      if (stream === undefined) throw new Error(`no stream ${id}`);
      touched.push(id);
      return stream;
    },
    admit: () => undefined,
    forget: () => undefined,
  };
  const set = new PartitionSet({
    env,
    store,
    assignment: (topicId, partition) => assigned.get(`${topicId}/${partition}`),
    assignments: () => assigned.values(),
    pace: () => pace,
  });
  return { env, set, streams, assigned, touched };
}

async function opened(set: PartitionSet, partition: number): Promise<Partition> {
  const log = await set.open('T', partition);
  if (!(log instanceof Partition)) throw new Error(`partition ${partition} was not opened`);
  return log;
}

describe('opening', () => {
  test('happens once, however many ask at the same time, and is synchronous afterwards', async () => {
    const { set, touched } = world(1);
    const [first, second] = await Promise.all([opened(set, 0), opened(set, 0)]);
    expect(first).toBe(second);
    expect(touched).toEqual([0, 1]);
    expect(set.open('T', 0)).toBe(first);
    expect([...set.opened()]).toEqual([first]);
  });

  test('what is not led here is undefined', () => {
    const { set } = world(1);
    expect(set.open('T', 1)).toBeUndefined();
    expect(set.open('U', 0)).toBeUndefined();
  });

  test('a failure is not remembered: the next call tries again', async () => {
    const { set, streams } = world(1);
    const stream = streams.get(0);
    stream?.append(0, 1, 0, clientBatch());
    if (stream !== undefined) stream.readError = new Error('503');
    await expect(set.open('T', 0)).rejects.toThrow('503');
    if (stream !== undefined) stream.readError = undefined;
    expect((await opened(set, 0)).logEndOffset).toBe(1);
  });

  test('no more than 16 at a time', async () => {
    const { set, streams, touched } = world(40);
    let release = (): void => undefined;
    const held = new Promise<undefined>((resolve) => {
      release = () => resolve(undefined);
    });
    for (const stream of streams.values()) {
      stream.append(0, 1, 0, clientBatch());
      const read = stream.read.bind(stream);
      stream.read = (...args) => held.then(() => read(...args));
    }
    const all = Promise.all(Array.from({ length: 40 }, (_, partition) => opened(set, partition)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(touched).toHaveLength(2 * 16);
    release();
    expect(await all).toHaveLength(40);
  });

  test('settings changed meanwhile are followed', async () => {
    const { set, assigned } = world(1);
    const opening = opened(set, 0);
    const assignment = assigned.get('T/0');
    if (assignment === undefined) throw new Error('not assigned');
    assigned.set('T/0', { ...assignment, config: { ...DEFAULT_CONFIG, maxMessageBytes: 10 } });
    expect((await opening).append(clientBatch(), { origin: 'client' }).error).toBe(Errors.MESSAGE_TOO_LARGE);
  });

  test('a topic deleted meanwhile is not opened', async () => {
    const { set, assigned } = world(1);
    const opening = set.open('T', 0);
    assigned.clear();
    await expect(opening).rejects.toMatchObject({ code: 'CLOSED' });
    expect([...set.opened()]).toEqual([]);
  });
});

describe('while open', () => {
  test('a deleted topic is let go of: readers are woken, nothing is written', async () => {
    const { set, streams, assigned } = world(2);
    const log = await opened(set, 0);
    log.append(clientBatch(), { origin: 'client' });
    let woken = 0;
    log.onAdvance(() => woken++);
    assigned.clear();
    set.drop('T');
    expect(woken).toBe(1);
    expect(set.open('T', 0)).toBeUndefined();
    expect(log.append(clientBatch(), { origin: 'client' }).error).toBe(Errors.NOT_LEADER_OR_FOLLOWER);
    await set.close();
    expect(streams.get(1)?.endOffset).toBe(0);
  });

  test('settings reach every open partition of the topic', async () => {
    const { set } = world(2);
    const logs = [await opened(set, 0), await opened(set, 1)];
    set.reconfigure('T', { ...DEFAULT_CONFIG, maxMessageBytes: 10 });
    for (const log of logs) {
      expect(log.append(clientBatch(), { origin: 'client' }).error).toBe(Errors.MESSAGE_TOO_LARGE);
    }
  });

  test('every partition has its turn in maintenance, used or not, at a random moment first', async () => {
    const { env, set, streams } = world(3, undefined, { ...DEFAULT_CONFIG, retentionMs: HOUR_MS });
    for (let partition = 0; partition < 3; partition++) {
      const stream = streams.get(partition * 2);
      stream?.append(0, 1, env.clock.wallMs(), clientBatch());
      stream?.upload();
    }
    await env.clock.advance(HOUR_MS);
    set.startMaintenance();
    await env.clock.advance(120_000);
    expect([0, 2, 4].map((id) => streams.get(id)?.startOffset)).toEqual([1, 1, 1]);
  });

  test('compaction-waits-for-retention: compacted partitions in use have their turn at the pace of the cleaner', async () => {
    const { env, set, streams } = world(1, undefined, COMPACTED);
    const log = await opened(set, 0);
    for (let n = 0; n < 3; n++) log.append(clientBatch(), { origin: 'client' });
    const stream = streams.get(0);
    stream?.upload();
    const sizeBytes = (): number => stream?.ranges()[0]?.sizeBytes ?? 0;
    const before = sizeBytes();
    set.startMaintenance();
    await env.clock.advance(15_000);
    expect(sizeBytes()).toBeLessThan(before);
  });

  test('compaction-waits-for-upload: a tail older than segment.ms goes into objects, and is compacted', async () => {
    const { env, set, streams } = world(1, undefined, { ...COMPACTED, segmentMs: 500 });
    const log = await opened(set, 0);
    for (let n = 0; n < 3; n++) log.append(clientBatch(), { origin: 'client' });
    const appendedBytes = log.sizeBytes;
    set.startMaintenance();
    await env.clock.advance(15_000);
    const [range, ...others] = streams.get(0)?.ranges() ?? [];
    expect(others).toEqual([]);
    expect(range).toMatchObject({ startOffset: 0, endOffset: 3 });
    expect(range?.sizeBytes).toBeLessThan(appendedBytes);
  });

  test('however many tails are due, however often the cleaner comes: one flush in 10 seconds', async () => {
    const pace = { intervalMs: 3_600_000, cleanerIntervalMs: 100 };
    const { env, set, streams } = world(20, undefined, { ...COMPACTED, segmentMs: 1 }, pace);
    let flushes = 0;
    for (let partition = 0; partition < 20; partition++) {
      const stream = streams.get(2 * partition);
      if (stream !== undefined) {
        stream.flush = () => {
          flushes++;
          return Promise.resolve();
        };
      }
      (await opened(set, partition)).append(clientBatch(), { origin: 'client' });
    }
    set.startMaintenance();
    await env.clock.advance(60_000);
    expect(flushes).toBe(6);
  });

  test('one partition in trouble does not keep the others from maintenance', async () => {
    const { env, set, streams } = world(2, undefined, { ...DEFAULT_CONFIG, retentionMs: HOUR_MS });
    for (const id of [0, 2]) {
      streams.get(id)?.append(0, 1, env.clock.wallMs() - 2 * HOUR_MS, clientBatch());
      streams.get(id)?.upload();
    }
    const broken = streams.get(0);
    if (broken !== undefined) broken.readError = new Error('503');
    set.startMaintenance();
    await env.clock.advance(120_000);
    expect(streams.get(2)?.startOffset).toBe(1);
    expect(env.events.named('log.maintenance-failed')[0]?.fields).toMatchObject({
      topicId: 'T',
      partition: 0,
    });
  });
});

describe('closing', () => {
  test('writes snapshots, stops maintenance, and nothing is open afterwards', async () => {
    const before = world(2);
    const log = await opened(before.set, 0);
    log.append(clientBatch({ producerId: 3, producerEpoch: 0, baseSequence: 0 }), { origin: 'client' });
    before.set.startMaintenance();
    await before.env.clock.run(before.set.close());
    expect(before.env.clock.pendingTimers).toBe(0);
    expect(before.streams.get(1)?.endOffset).toBe(1);
    expect(before.set.open('T', 0)).toBeUndefined();
    const after = world(2, before);
    const again = await opened(after.set, 0);
    const retry = clientBatch({ producerId: 3, producerEpoch: 0, baseSequence: 0 });
    expect(again.append(retry, { origin: 'client' }).baseOffset).toBe(0);
    expect(again.logEndOffset).toBe(1);
  });

  test('waits for what is being opened, and survives a partition that cannot be closed', async () => {
    const { env, set, streams } = world(2);
    const log = await opened(set, 0);
    const opening = opened(set, 1);
    log.append(clientBatch(), { origin: 'client' });
    streams.get(1)?.fail(new Error('EIO'));
    await set.close();
    expect((await opening).append(clientBatch(), { origin: 'client' }).error).toBe(
      Errors.NOT_LEADER_OR_FOLLOWER,
    );
    expect(env.events.named('log.close-failed')).toHaveLength(1);
  });
});
