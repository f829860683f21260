import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CorruptionError, InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import type { RpcBody } from '../../broker-runtime/src/rpc/frame.ts';
import { json, rpcWorld, SEEDS } from './rpc-world.ts';

const SOON = { timeoutMs: 60_000 };

describe('a call', () => {
  test('comes back with what the handler said, blobs and all', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(fc.tuple(fc.jsonValue(), fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 4 })), {
          maxLength: 6,
        }),
        async (seed, bodies) => {
          const world = await rpcWorld(seed);
          world.network.maxChunkBytes = 1 + (seed % 3000);
          const client = await world.client();
          const calls = bodies.map(([value, blobs]) => client.call('echo', json(value, ...blobs), SOON));
          const answers = await world.run(Promise.all(calls));
          const plain = (body: RpcBody): unknown => [
            JSON.stringify(body.json),
            body.blobs.map((b) => [...b]),
          ];
          expect(answers.map(plain)).toEqual(bodies.map(([value, blobs]) => plain(json(value, ...blobs))));
          client.close();
          await world.advance(20_000);
          expect([world.network.openEnds, world.server.connections]).toEqual([0, 0]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('without a body comes back without one', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    expect(await world.run(client.call('echo', json(undefined), SOON))).toEqual(json(undefined));
  });

  test.each(SEEDS)('that waits holds up no other (seed %d)', async (seed) => {
    const world = await rpcWorld(seed);
    const client = await world.client();
    const polls = [1, 2, 3].map((n) => client.call('wait', json(n), SOON));
    for (let n = 0; n < 20; n++) {
      expect((await world.run(client.call('echo', json(n), SOON))).json).toBe(n);
    }
    expect([client.inFlight, world.parked.length]).toEqual([3, 3]);
    // Answered in another order than asked, each gets its own.
    for (const { body, answer } of [...world.parked].reverse()) answer(json({ answerTo: body.json }));
    const answers = await world.run(Promise.all(polls));
    expect(answers.map((body) => body.json)).toEqual([1, 2, 3].map((n) => ({ answerTo: n })));
    expect(client.inFlight).toBe(0);
  });

  test('failure class: a handler that gives up because its caller is gone is no fault of the server', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    const call = client.call('wait', json(1), SOON).catch(() => undefined);
    await world.advance(1_000);
    const [parked] = world.parked;
    parked?.context.signal.addEventListener('abort', () => parked.fail(parked.context.signal.reason));
    client.close();
    await world.run(call);
    await world.advance(1_000);
    expect(parked?.context.signal.aborted).toBe(true);
    expect(world.env.events.named('rpc.handler-failed')).toEqual([]);
  });

  test('carries where it came from', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    void client.call('wait', json(1), SOON).catch(() => undefined);
    await world.advance(10);
    expect(world.parked[0]?.context.remote.host).toBe('client');
  });

  test('is refused with the code and message of the error the handler threw', async () => {
    const world = await rpcWorld(1);
    world.handlers.set('damaged', () => Promise.reject(new CorruptionError('block 7 is damaged')));
    world.handlers.set('thrown', () => {
      throw new CorruptionError('at once');
    });
    const client = await world.client();
    await expect(world.run(client.call('damaged', json(1), SOON))).rejects.toMatchObject({
      name: 'RpcRefusedError',
      code: 'CORRUPTION',
      message: 'block 7 is damaged',
    });
    await expect(world.run(client.call('thrown', json(1), SOON))).rejects.toMatchObject({
      message: 'at once',
    });
    expect(world.env.events.named('rpc.handler-failed')).toEqual([]);
  });

  test('is answered INTERNAL when the handler fails otherwise, and an event says how', async () => {
    const world = await rpcWorld(1);
    world.handlers.set('bug', () => Promise.reject(new TypeError('secret is not a function')));
    world.handlers.set('unsayable', async () => json(1n));
    const client = await world.client();
    const call = world.run(client.call('bug', json(1), SOON));
    await expect(call).rejects.toMatchObject({ name: 'RpcRefusedError', code: 'INTERNAL' });
    await expect(call).rejects.not.toThrow('secret');
    await expect(world.run(client.call('unsayable', json(1), SOON))).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    expect(world.env.events.named('rpc.handler-failed')).toMatchObject([
      { level: 'error', fields: { method: 'bug', error: expect.stringContaining('secret') as unknown } },
      { level: 'error', fields: { method: 'unsayable' } },
    ]);
    expect(world.fatal).toEqual([]);
  });

  test('that breaks an invariant is answered, and the process is told to stop', async () => {
    const world = await rpcWorld(1);
    world.handlers.set('broken', () => Promise.reject(new InvariantViolation('I18', 'the chain is broken')));
    const client = await world.client();
    await expect(world.run(client.call('broken', json(1), SOON))).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(world.fatal).toMatchObject([{ invariant: 'I18' }]);
  });

  test('of a method that does not exist says which do', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    await expect(world.run(client.call('toString', json(1), SOON))).rejects.toMatchObject({
      name: 'RpcRefusedError',
      code: 'UNKNOWN_METHOD',
      message: 'there is no method "toString", there are: echo, wait; do the versions differ?',
    });
  });

  test('times out with an unknown outcome; its late answer disturbs nobody', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    const call = world.run(client.call('wait', json(1), { timeoutMs: 500 }));
    await expect(call).rejects.toMatchObject({
      name: 'RpcError',
      code: 'TIMED_OUT',
      mayHaveRun: true,
      message:
        'the call "wait" to server:9093 was not answered in 500 ms: it may have been done, or be done later',
    });
    expect(client.inFlight).toBe(1);
    world.parked[0]?.answer(json('late'));
    await world.advance(10);
    expect(client.inFlight).toBe(0);
    expect((await world.run(client.call('echo', json(2), SOON))).json).toBe(2);
  });

  test.each(SEEDS)(
    'in flight when its client closes is dropped, and its handler told (seed %d)',
    async (seed) => {
      const world = await rpcWorld(seed);
      const client = await world.client();
      const call = client.call('wait', json(1), SOON);
      await world.advance(10);
      client.close();
      await expect(world.run(call)).rejects.toMatchObject({ code: 'DISCONNECTED', mayHaveRun: true });
      await expect(client.closed).resolves.toMatchObject({ code: 'CLOSED' });
      await expect(client.call('echo', json(1), SOON)).rejects.toMatchObject({
        code: 'DISCONNECTED',
        mayHaveRun: false,
      });
      await world.advance(10);
      const [parked] = world.parked;
      expect(parked?.context.signal.aborted).toBe(true);
      parked?.answer(json('nobody listens'));
      await world.advance(10);
      expect([world.server.connections, world.network.openEnds, world.faults]).toEqual([0, 0, []]);
    },
  );
});

describe('a handler whose caller went away', () => {
  test('has not failed when it ends for that reason: nothing is reported', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    client.call('wait', json(1), SOON).catch(() => undefined);
    await world.advance(10);
    client.close();
    await world.advance(10);
    world.parked[0]?.fail(world.parked[0].context.signal.reason);
    await world.advance(10);
    expect(world.env.events.named('rpc.handler-failed')).toEqual([]);
  });
});

describe('a server that closes', () => {
  test('tells handlers that wait, answers what it received, then ends the connection', async () => {
    const world = await rpcWorld(1);
    const client = await world.client();
    const call = client.call('wait', json(1), SOON);
    await world.advance(10);
    const closing = world.server.close();
    await world.advance(10);
    expect(world.parked[0]?.context.signal.aborted).toBe(true);
    world.parked[0]?.answer(json('bye'));
    expect((await world.run(call)).json).toBe('bye');
    await world.run(closing);
    await expect(client.closed).resolves.toMatchObject({ message: 'the peer closed the connection' });
    const again = world.client();
    await expect(again).rejects.toMatchObject({ name: 'ConnectError', code: 'REFUSED' });
    expect(world.network.openEnds).toBe(0);
  });

  test('waits for its handlers no longer than the grace time', async () => {
    const world = await rpcWorld(1, { closeGraceMs: 700 });
    const client = await world.client();
    const call = client.call('wait', json(1), SOON);
    call.catch(() => undefined);
    await world.advance(10);
    const before = world.env.clock.monotonicMs();
    await world.run(world.server.close());
    expect(world.env.clock.monotonicMs() - before).toBeCloseTo(700);
    await expect(world.run(call)).rejects.toMatchObject({ code: 'DISCONNECTED' });
    expect(world.faults).toEqual(['shutdown']);
  });
});
