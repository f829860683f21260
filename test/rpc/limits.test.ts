import { describe, expect, test } from '@jest/globals';
import { json, rpcWorld } from './rpc-world.ts';

const SOON = { timeoutMs: 60_000 };

describe('a client', () => {
  test('refuses calls beyond its number in flight, those that timed out included', async () => {
    const world = await rpcWorld(1);
    const client = await world.client({ limits: { inFlightMax: 2 } });
    const lost = client.call('wait', json(1), { timeoutMs: 10 });
    const held = client.call('wait', json(2), SOON);
    await expect(world.run(lost)).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await expect(client.call('echo', json(3), SOON)).rejects.toMatchObject({
      name: 'RpcError',
      code: 'BUSY',
      mayHaveRun: false,
      message:
        'the call "echo" to server:9093 was not sent: 2 of at most 2 calls are in flight, 1 of them timed out; ' +
        'try again later',
    });
    for (const { answer } of world.parked) answer(json('done'));
    await world.run(held);
    await world.advance(10);
    expect((await world.run(client.call('echo', json(3), SOON))).json).toBe(3);
  });

  test('refuses a call when the server does not take what was sent, but always takes the first', async () => {
    const world = await rpcWorld(1);
    const client = await world.client({ limits: { unsentMaxBytes: 100_000 } });
    world.network.clog('client', 'server', 1000);
    const blob = new Uint8Array(200_000);
    const first = client.call('echo', json(1, blob), SOON);
    await world.advance(10);
    await expect(client.call('echo', json(2, blob), SOON)).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringMatching(/\d+ of at most 100000 bytes are unsent/) as unknown,
    });
    expect((await world.run(first)).blobs[0]).toHaveLength(200_000);
    expect((await world.run(client.call('echo', json(2, blob), SOON))).json).toBe(2);
  });

  test('sends no frame beyond the limit', async () => {
    const world = await rpcWorld(1);
    const client = await world.client({ limits: { frameMaxBytes: 1000 } });
    await expect(client.call('echo', json(1, new Uint8Array(1000)), SOON)).rejects.toMatchObject({
      name: 'RpcError',
      code: 'TOO_LARGE',
      mayHaveRun: false,
    });
    expect(client.inFlight).toBe(0);
  });

  test('closes when an answer is cut off', async () => {
    const world = await rpcWorld(1);
    const client = await world.client({ limits: { frameDeadlineMs: 5000 } });
    world.network.maxChunkBytes = 1000;
    const call = client.call('wait', json(1), { timeoutMs: 600_000 });
    await world.advance(10);
    world.parked[0]?.answer(json(1, new Uint8Array(100_000)));
    await world.advance(20);
    world.network.silence('client', 'server');
    await expect(world.run(call)).rejects.toMatchObject({ code: 'DISCONNECTED', mayHaveRun: true });
    await expect(client.closed).resolves.toMatchObject({ fault: 'frame-deadline' });
  });
});

describe('a server', () => {
  test('refuses requests beyond its number in flight, and does not run them', async () => {
    const world = await rpcWorld(1, { limits: { inFlightMax: 3 } });
    const client = await world.client();
    const calls = [1, 2, 3, 4].map((n) => client.call('wait', json(n), SOON));
    await expect(world.run(Promise.all(calls.slice(3)))).rejects.toMatchObject({
      name: 'RpcRefusedError',
      code: 'BUSY',
      message: '3 requests are in flight, as many as allowed',
    });
    expect(world.parked).toHaveLength(3);
    for (const { answer } of world.parked) answer(json('done'));
    await world.run(Promise.all(calls.slice(0, 3)));
  });

  test('refuses requests beyond its bytes in flight, but takes one of any size', async () => {
    const world = await rpcWorld(1, { limits: { inFlightMaxBytes: 1000 } });
    const client = await world.client();
    const large = client.call('wait', json(1, new Uint8Array(5000)), SOON);
    await expect(world.run(client.call('echo', json(2), SOON))).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringMatching(/bytes of requests would be in flight, 1000 are allowed/) as unknown,
    });
    world.parked[0]?.answer(json('done'));
    await world.run(large);
    expect((await world.run(client.call('echo', json(2), SOON))).json).toBe(2);
  });

  test('says so when an answer is too large to be sent', async () => {
    const world = await rpcWorld(1, { limits: { frameMaxBytes: 1000 } });
    const client = await world.client();
    const call = client.call('wait', json(1), SOON);
    await world.advance(10);
    world.parked[0]?.answer(json(1, new Uint8Array(1000)));
    await expect(world.run(call)).rejects.toMatchObject({
      name: 'RpcRefusedError',
      code: 'ANSWER_TOO_LARGE',
      message: expect.stringContaining('1000 are allowed: split it') as unknown,
    });
    expect(world.env.events.named('rpc.handler-failed')).toHaveLength(1);
  });

  test('reads no further while its answers are not taken, and goes on when they are', async () => {
    const world = await rpcWorld(1, { limits: { unsentMaxBytes: 1_000_000 } });
    const client = await world.client();
    world.network.clog('server', 'client', 3000);
    const calls = Array.from({ length: 12 }, (_, n) =>
      client.call('echo', json(n, new Uint8Array(150_000)), SOON),
    );
    const answers = await world.run(Promise.all(calls));
    expect(answers.map((body) => body.json)).toEqual(calls.map((_, n) => n));
    expect(world.faults).toEqual([]);
  });

  test('ends a connection whose answers pile up beyond the limit', async () => {
    const world = await rpcWorld(1, { limits: { unsentMaxBytes: 300_000 } });
    const client = await world.client();
    const calls = [1, 2, 3].map((n) => client.call('wait', json(n), SOON));
    const settled = Promise.allSettled(calls);
    await world.advance(10);
    world.network.clog('server', 'client', 3000);
    for (const { answer } of world.parked) {
      answer(json(1, new Uint8Array(250_000)));
      await world.advance(1);
    }
    await world.advance(10);
    expect([world.faults, world.server.connections]).toEqual([['unsent-bytes'], 0]);
    // What was told of the end may be lost in the clog: the call's own deadline is the last resort.
    await world.run(settled);
  });

  test('ends a connection that takes nothing', async () => {
    const world = await rpcWorld(1, { limits: { sendDeadlineMs: 5000 } });
    const client = await world.client();
    void client.call('echo', json(1, new Uint8Array(500_000)), SOON).catch(() => undefined);
    world.network.block('server', 'client');
    await world.advance(4000);
    expect(world.faults).toEqual([]);
    await world.advance(4000);
    expect(world.faults).toEqual(['send-deadline']);
  });

  test('ends an idle connection, not one on which a request waits', async () => {
    const world = await rpcWorld(1, { limits: { idleDeadlineMs: 10_000 } });
    const idle = await world.client();
    const waiting = await world.client();
    const call = waiting.call('wait', json(1), SOON);
    await world.advance(20_000);
    expect([world.faults, world.server.connections]).toEqual([['idle-deadline'], 1]);
    await expect(idle.closed).resolves.toBeInstanceOf(Error);
    world.parked[0]?.answer(json('still here'));
    expect((await world.run(call)).json).toBe('still here');
    await world.advance(20_000);
    expect(world.server.connections).toBe(0);
  });

  test('accepts so many connections and refuses the next', async () => {
    const world = await rpcWorld(1, { connectionsMax: 2 });
    await world.client();
    const second = await world.client();
    const third = await world.client();
    await world.run(third.closed);
    expect(world.env.events.named('rpc.connection-refused')).toMatchObject([{ fields: { limit: 2 } }]);
    second.close();
    await world.advance(10);
    const fourth = await world.client();
    expect((await world.run(fourth.call('echo', json(4), SOON))).json).toBe(4);
  });
});
