import { describe, expect, test } from '@jest/globals';
import { HeartbeatRequest } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { SyncGroupRequest } from '../../broker-runtime/src/wire/messages/sync-group.ts';
import { Heartbeat, SyncGroup, KIB, serverWith, reply, beat, sync } from './connection-rig.ts';

describe('order', () => {
  test('replies leave in the order of requests, whatever finishes first', async () => {
    const gate = Promise.withResolvers<{ errorCode: number }>();
    const rig = await serverWith({
      beat: ({ groupId }, context) => {
        context.startNext();
        return groupId === 'slow' ? gate.promise : { errorCode: 0 };
      },
    });
    const client = await rig.connect();
    const slow = client.call(Heartbeat, 4, beat('slow'));
    const seen: string[] = [];
    const fast = client.call(Heartbeat, 4, beat('fast')).then(() => seen.push('fast'));
    void slow.then(() => seen.push('slow'));
    await rig.env.clock.advance(100);
    expect(seen).toEqual([]);
    gate.resolve({ errorCode: 0 });
    await rig.run(Promise.all([slow, fast]));
    expect(seen).toEqual(['slow', 'fast']);
  });

  test('a request starts only when the one before is answered or allows it', async () => {
    const started: string[] = [];
    const gates = new Map<string, () => void>();
    const rig = await serverWith({
      beat: ({ groupId }, context) => {
        started.push(groupId);
        if (groupId.startsWith('parks')) context.startNext();
        return new Promise((resolve) => gates.set(groupId, () => resolve({ errorCode: 0 })));
      },
    });
    const client = await rig.connect();
    const replies = ['parks-1', 'alone-2', 'alone-3'].map((group) => client.call(Heartbeat, 4, beat(group)));
    await rig.env.clock.advance(100);
    expect(started).toEqual(['parks-1', 'alone-2']);
    gates.get('alone-2')?.();
    await rig.env.clock.advance(100);
    expect(started).toEqual(['parks-1', 'alone-2', 'alone-3']);
    gates.get('alone-3')?.();
    gates.get('parks-1')?.();
    await rig.run(Promise.all(replies));
  });

  test('10,000 requests sent at once are answered in order, with few of them in flight', async () => {
    let inFlight = 0;
    let most = 0;
    const rig = await serverWith(
      {
        beat: async (_request, context) => {
          context.startNext();
          most = Math.max(most, ++inFlight);
          await Promise.resolve();
          inFlight -= 1;
          return { errorCode: 0 };
        },
      },
      { requestsInFlightMax: 10 },
    );
    const client = await rig.connect();
    const replies = Array.from({ length: 10_000 }, () => client.call(Heartbeat, 4, beat('g')));
    await rig.run(Promise.all(replies));
    expect(most).toBeLessThanOrEqual(10);
    expect(rig.server.status.requests).toBe(10_000);
  });

  test('a request without a reply leaves no hole (acks=0)', async () => {
    const rig = await serverWith({
      beat: ({ groupId }) => (groupId === 'silent' ? undefined : { errorCode: 0 }),
    });
    const client = await rig.connect();
    const before = client.call(Heartbeat, 4, beat('one'));
    client.send(HeartbeatRequest, 4, beat('silent'));
    const after = client.call(Heartbeat, 4, beat('two'));
    await rig.run(Promise.all([before, after]));
  });

  test('segments of one byte and frames glued together read the same', async () => {
    const rig = await serverWith({});
    const client = await rig.connect();
    rig.network.maxChunkBytes = 1;
    client.sendBytes(
      Buffer.concat([
        client.frame(HeartbeatRequest, 4, beat('a'), 1),
        client.frame(HeartbeatRequest, 0, beat('b'), 2),
      ]),
    );
    expect(await rig.run(client.nextFrame())).toHaveLength(4 + 1 + 4 + 2 + 1);
    expect(await rig.run(client.nextFrame())).toHaveLength(4 + 2);
  });

  test('replies that finish in one turn leave in one send', async () => {
    const gate = Promise.withResolvers<undefined>();
    const rig = await serverWith({
      beat: async (_request, context) => {
        context.startNext();
        await gate.promise;
        return { errorCode: 0 };
      },
    });
    const client = await rig.connect();
    rig.network.maxDelayMs = 0;
    const replies = Array.from({ length: 20 }, () => client.call(Heartbeat, 4, beat('g')));
    await rig.env.clock.advance(50);
    gate.resolve(undefined);
    await rig.run(Promise.all(replies));
    expect(rig.server.status.sends).toBe(1);
  });
});

describe('memory', () => {
  test('requests wait for memory, and go on when others give it back', async () => {
    const gates: (() => void)[] = [];
    const rig = await serverWith(
      { sync: () => new Promise((resolve) => gates.push(() => resolve(reply(1)))) },
      { requestMemoryBytes: 128 * KIB },
    );
    const clients = await Promise.all([rig.connect(), rig.connect(), rig.connect()]);
    const replies = clients.map((client) => client.call(SyncGroup, 3, sync('g', 60 * KIB)));
    await rig.env.clock.advance(1000);
    expect(gates).toHaveLength(2);
    expect(rig.server.requestMemoryBytes).toBeLessThanOrEqual(128 * KIB);
    gates.shift()?.();
    await rig.env.clock.advance(1000);
    expect(gates).toHaveLength(2);
    for (const open of gates) open();
    await rig.run(Promise.all(replies));
  });

  test('releaseRequest frees the frame while the request is still being worked on', async () => {
    const rig = await serverWith({
      sync: async (_request, context) => {
        context.releaseRequest();
        await rig.env.clock.sleep(1000);
        return reply(1);
      },
    });
    const client = await rig.connect();
    const answered = client.call(SyncGroup, 3, sync('g', 100 * KIB));
    await rig.env.clock.advance(500);
    expect(rig.server.requestMemoryBytes).toBe(0);
    await rig.run(answered);
  });

  test('regression P11: a frame still used by a handler is not recycled when its connection dies', async () => {
    const gate = Promise.withResolvers<undefined>();
    const seen: number[] = [];
    const rig = await serverWith({
      sync: async ({ groupId, assignments }) => {
        if (groupId === 'first') {
          await gate.promise;
          seen.push(...(assignments[0]?.assignment ?? []));
        }
        return reply(1);
      },
    });
    const first = await rig.connect();
    const body = {
      ...sync('first'),
      assignments: [{ memberId: 'm', assignment: new Uint8Array(2000).fill(1) }],
    };
    first.send(SyncGroupRequest, 3, body);
    await rig.env.clock.advance(100);
    first.destroy();
    await rig.env.clock.advance(100);
    const second = await rig.connect();
    const other = {
      ...sync('other'),
      assignments: [{ memberId: 'm', assignment: new Uint8Array(2000).fill(2) }],
    };
    await rig.run(second.call(SyncGroup, 3, other));
    gate.resolve(undefined);
    await rig.env.clock.advance(100);
    expect(seen).toHaveLength(2000);
    expect(seen.every((byte) => byte === 1)).toBe(true);
  });

  test('afterSent runs once: after the reply left, or when the connection is gone', async () => {
    const released: string[] = [];
    const rig = await serverWith({
      sync: async ({ groupId }, context) => {
        context.afterSent(() => released.push(groupId));
        if (groupId === 'late') await rig.env.clock.sleep(1000);
        context.afterSent(() => released.push(`${groupId}+`));
        return reply(100);
      },
    });
    const [first, second] = [await rig.connect(), await rig.connect()];
    await rig.run(first.call(SyncGroup, 3, sync('sent')));
    expect(released).toEqual(['sent', 'sent+']);
    second.send(SyncGroupRequest, 3, sync('late'));
    await rig.env.clock.advance(100);
    second.destroy();
    await rig.env.clock.advance(2000);
    expect(released).toEqual(['sent', 'sent+', 'late', 'late+']);
  });
});

describe('slow and silent clients', () => {
  test('who does not take replies gets no further request started, and is closed at the deadline', async () => {
    let started = 0;
    const rig = await serverWith(
      {
        sync: () => {
          started += 1;
          return reply(200 * KIB);
        },
      },
      { unsentMaxBytes: 64 * KIB, sendDeadlineMs: 10_000 },
    );
    const client = await rig.connect();
    client.pause();
    for (let n = 0; n < 50; n += 1) client.send(SyncGroupRequest, 3, sync('g'));
    await rig.env.clock.advance(5000);
    expect(started).toBeLessThanOrEqual(2);
    expect(client.isClosed).toBe(false);
    await rig.env.clock.advance(7000);
    expect(rig.closes('send-deadline')).toBe(1);
  });

  test('a client that takes its replies again goes on where it was', async () => {
    const rig = await serverWith({ sync: () => reply(200 * KIB) }, { unsentMaxBytes: 64 * KIB });
    const client = await rig.connect();
    client.pause();
    const replies = Array.from({ length: 10 }, () => client.call(SyncGroup, 3, sync('g')));
    await rig.env.clock.advance(5000);
    client.resume();
    const bodies = await rig.run(Promise.all(replies));
    expect(bodies.map(({ assignment }) => assignment.length)).toEqual(Array(10).fill(200 * KIB));
  });

  test('slowloris: a request that drips in is closed at its deadline, however often a byte comes', async () => {
    const rig = await serverWith({}, { frameDeadlineMs: 10_000 });
    const client = await rig.connect();
    const frame = client.frame(HeartbeatRequest, 4, beat('a long enough group name'));
    for (let at = 0; at < 20 && !client.isClosed; at += 1) {
      client.sendBytes(frame.subarray(at, at + 1));
      await rig.env.clock.advance(1000);
    }
    expect(rig.closes('frame-deadline')).toBe(1);
  });

  test('a silent connection is closed after the idle deadline, a used one is not', async () => {
    const rig = await serverWith({}, { idleDeadlineMs: 10_000 });
    const [silent, used] = [await rig.connect(), await rig.connect()];
    for (let n = 0; n < 5; n += 1) {
      await rig.env.clock.advance(5000);
      await rig.run(used.call(Heartbeat, 4, beat('g')));
    }
    expect([silent.isClosed, used.isClosed]).toEqual([true, false]);
    expect(rig.closes('idle-deadline')).toBe(1);
  });

  test('a parked request is not idleness', async () => {
    const rig = await serverWith(
      {
        beat: async () => {
          await rig.env.clock.sleep(60_000);
          return { errorCode: 0 };
        },
      },
      { idleDeadlineMs: 10_000 },
    );
    const client = await rig.connect();
    await rig.run(client.call(Heartbeat, 4, beat('g')));
  });
});
