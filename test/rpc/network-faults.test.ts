import { describe, expect, test } from '@jest/globals';
import { RpcClient } from '../../broker-runtime/src/rpc/client.ts';
import { json, rpcWorld, SEEDS, SERVER } from './rpc-world.ts';

const SOON = { timeoutMs: 60_000 };

describe('a call under faults', () => {
  test.each(SEEDS)('in flight when the link fails has an unknown outcome (seed %d)', async (seed) => {
    const world = await rpcWorld(seed);
    const client = await world.client();
    const call = client.call('wait', json(1), SOON);
    await world.advance(10);
    world.network.reset('client', 'server');
    await expect(world.run(call)).rejects.toMatchObject({
      name: 'RpcError',
      code: 'DISCONNECTED',
      mayHaveRun: true,
      cause: { code: 'ECONNRESET' },
    });
    await expect(client.closed).resolves.toMatchObject({ code: 'ECONNRESET' });
    await world.advance(10);
    expect([world.server.connections, world.parked[0]?.context.signal.aborted]).toEqual([0, true]);
  });

  test.each(SEEDS)('outlives a partition that is shorter than its time (seed %d)', async (seed) => {
    const world = await rpcWorld(seed);
    const client = await world.client();
    world.network.partition('client', 'server');
    const call = client.call('echo', json('patience'), SOON);
    await world.advance(5000);
    world.network.heal('client', 'server');
    expect((await world.run(call)).json).toBe('patience');
  });

  test('whose answer is lost on the way back was done all the same', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    world.network.block('server', 'client');
    const call = world.run(client.call('wait', json(1), { timeoutMs: 2000 }));
    await expect(call).rejects.toMatchObject({ code: 'TIMED_OUT', mayHaveRun: true });
    expect(world.parked).toHaveLength(1);
  });

  test.each(SEEDS)('on a half-open connection times out; both sides let go of it (seed %d)', async (seed) => {
    const world = await rpcWorld(seed, { limits: { idleDeadlineMs: 20_000 } });
    const client = await world.client({ limits: { idleDeadlineMs: 20_000 } });
    await world.run(client.call('echo', json(1), SOON));
    world.network.silence('client', 'server');
    const call = world.run(client.call('echo', json(2), { timeoutMs: 3000 }));
    await expect(call).rejects.toMatchObject({ code: 'TIMED_OUT' });
    const again = await world.client();
    expect((await world.run(again.call('echo', json(3), SOON))).json).toBe(3);
    again.close();
    await world.advance(30_000);
    await expect(client.closed).resolves.toMatchObject({ fault: 'idle-deadline' });
    expect([world.server.connections, world.network.openEnds]).toEqual([0, 0]);
  });

  test.each(SEEDS)('to a machine that dies ends, one way or the other (seed %d)', async (seed) => {
    const world = await rpcWorld(seed);
    const client = await world.client();
    const call = client.call('wait', json(1), { timeoutMs: 3000 });
    await world.advance(10);
    const isSilent = seed % 2 === 0;
    world.network.crash(SERVER.host, { silent: isSilent });
    await expect(world.run(call)).rejects.toMatchObject({ code: isSilent ? 'TIMED_OUT' : 'DISCONNECTED' });
    const connecting = RpcClient.connect(world.env, world.network.node('client'), SERVER, { timeoutMs: 800 });
    await expect(world.run(connecting)).rejects.toMatchObject({
      name: 'ConnectError',
      code: isSilent ? 'TIMED_OUT' : 'REFUSED',
    });
  });

  test('can be called off while it connects', async () => {
    const world = await rpcWorld(1);
    world.network.partition('client', 'server');
    const abort = new AbortController();
    const reason = new Error('another controller was elected');
    const network = world.network.node('client');
    const connecting = RpcClient.connect(world.env, network, SERVER, { signal: abort.signal });
    abort.abort(reason);
    await expect(world.run(connecting)).rejects.toBe(reason);
  });
});

test.each(SEEDS)(
  'whatever the network does, each call settles once and no answer is mixed up (seed %d)',
  async (seed) => {
    const world = await rpcWorld(seed);
    const random = world.env.random.fork();
    const faults = [
      () => world.network.partition('client', 'server'),
      () => world.network.block('server', 'client'),
      () => world.network.clog('client', 'server', 500),
      () => world.network.reset('client', 'server'),
      () => world.network.silence('client', 'server'),
      () => world.network.healAll(),
      () => world.network.healAll(),
    ];
    const outcomes = new Map<string, number>();
    let asked = 0;
    const count = (outcome: string): unknown => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    for (let round = 0; round < 15; round++) {
      world.network.healAll();
      const client = await world.client();
      const calls = Array.from({ length: random.between(1, 20) }, async (_, n) => {
        const blob = random.bytes(random.below(3000));
        asked++;
        try {
          const answer = await client.call('echo', json({ round, n }, blob), { timeoutMs: 5000 });
          expect(answer).toEqual(json({ round, n }, blob));
          count('answered');
        } catch (error) {
          expect(error).toMatchObject({ name: 'RpcError', mayHaveRun: true });
          count(String((error as { code?: unknown }).code));
        }
      });
      for (let step = 0; step < 3; step++) {
        await world.advance(random.below(12));
        faults[random.below(faults.length)]?.();
      }
      await world.run(Promise.all(calls));
      client.close();
    }
    expect([...outcomes.values()].reduce((sum, n) => sum + n)).toBe(asked);
    expect(['answered', 'DISCONNECTED', 'TIMED_OUT']).toEqual(expect.arrayContaining([...outcomes.keys()]));
    expect(outcomes.get('answered')).toBeGreaterThan(0);
    expect(world.fatal).toEqual([]);
    expect(world.env.events.named('rpc.handler-failed')).toEqual([]);
  },
);
