import { describe, expect, test } from '@jest/globals';
import { HeartbeatRequest } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { Heartbeat, serverWith, beat } from './connection-rig.ts';

describe('accepting', () => {
  test('more connections than allowed from one address are closed at once', async () => {
    const rig = await serverWith({}, { connectionsPerAddressMax: 2 });
    const clients = [await rig.connect(), await rig.connect(), await rig.connect()];
    await rig.env.clock.advance(100);
    expect(clients.map((client) => client.isClosed)).toEqual([false, false, true]);
    clients[0]?.destroy();
    await rig.env.clock.advance(100);
    const next = await rig.connect();
    await rig.run(next.call(Heartbeat, 4, beat('g')));
  });

  test('more connections than allowed in all are closed at once', async () => {
    const rig = await serverWith({}, { connectionsMax: 1 });
    await rig.connect();
    const second = await rig.connect();
    await rig.run(second.gone);
    expect(rig.closes('too-many-connections')).toBe(1);
  });

  test('a connect flood is cut to the rate', async () => {
    const rig = await serverWith({}, { connectionsPerSecondMax: 10 });
    const clients = await Promise.all(Array.from({ length: 100 }, () => rig.connect()));
    await rig.env.clock.advance(10);
    expect(clients.filter((client) => !client.isClosed)).toHaveLength(10);
    await rig.env.clock.advance(1000);
    const later = await rig.connect();
    await rig.run(later.call(Heartbeat, 4, beat('g')));
  });
});

describe('closing', () => {
  test('requests in flight are answered, then the connection ends; new ones are refused', async () => {
    const rig = await serverWith({
      beat: async () => {
        await rig.env.clock.sleep(500);
        return { errorCode: 0 };
      },
    });
    const client = await rig.connect();
    const answered = client.call(Heartbeat, 4, beat('g'));
    await rig.env.clock.advance(100);
    const closed = rig.server.close();
    expect(await rig.run(answered)).toMatchObject({ errorCode: 0 });
    await rig.run(closed);
    expect(client.isClosed).toBe(true);
    await expect(rig.connect()).rejects.toMatchObject({ code: 'REFUSED' });
    expect(rig.closes('shutdown')).toBe(0);
  });

  test('a parked request does not hold it up for longer than the grace time', async () => {
    const rig = await serverWith({ beat: () => new Promise(() => undefined) }, { closeGraceMs: 1000 });
    const client = await rig.connect();
    client.send(HeartbeatRequest, 4, beat('g'));
    await rig.env.clock.advance(100);
    const from = rig.env.clock.monotonicMs();
    await rig.run(rig.server.close());
    expect(rig.env.clock.monotonicMs() - from).toBeLessThanOrEqual(1010);
    expect(rig.closes('shutdown')).toBe(1);
  });

  test('the signal of a request fires when its connection is gone', async () => {
    const aborted = Promise.withResolvers<string>();
    const rig = await serverWith({
      beat: (_request, context) =>
        new Promise((resolve) => {
          context.signal.addEventListener('abort', () => {
            aborted.resolve('aborted');
            resolve(undefined);
          });
        }),
    });
    const client = await rig.connect();
    client.send(HeartbeatRequest, 4, beat('g'));
    await rig.env.clock.advance(100);
    client.destroy();
    expect(await rig.run(aborted.promise)).toBe('aborted');
  });
});
