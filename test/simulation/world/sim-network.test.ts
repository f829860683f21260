import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Connection } from '../../../broker-runtime/src/ports/network.ts';
import { simEnv } from './sim-env.ts';
import { SimNetwork } from './sim-network.ts';
import { Sink } from './sink.ts';

const ADDRESS = { host: 'broker', port: 9092 };

interface Pair {
  readonly env: ReturnType<typeof simEnv>;
  readonly network: SimNetwork;
  readonly client: Connection;
  readonly server: Connection;
  readonly clientSink: Sink;
  readonly serverSink: Sink;
}

async function connected(seed: number): Promise<Pair> {
  const env = simEnv(seed);
  const network = new SimNetwork(env.clock, env.random);
  const clientSink = new Sink();
  const serverSink = new Sink();
  const accepted: Connection[] = [];
  await network.listen(ADDRESS, (connection) => {
    accepted.push(connection);
    return serverSink;
  });
  const client = await env.clock.run(network.connect(ADDRESS, () => clientSink));
  const [server] = accepted;
  if (server === undefined) throw new Error('nothing was accepted');
  return { env, network, client, server, clientSink, serverSink };
}

describe('SimNetwork', () => {
  test('bytes arrive in order and whole, however they are cut, paused and resumed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 300 }),
        async (seed, pieces, chunkBytes) => {
          const { env, network, client, server, serverSink } = await connected(seed);
          network.maxChunkBytes = chunkBytes;
          let sent = 0;
          for (const piece of pieces) client.send([piece], () => sent++);
          await env.clock.advance(2);
          server.pause();
          await env.clock.advance(50);
          const whilePaused = serverSink.arrived.length;
          await env.clock.advance(50);
          expect(serverSink.arrived).toHaveLength(whilePaused);
          server.resume();
          client.end();
          await env.clock.advance(20_000);
          expect(serverSink.arrived).toEqual(pieces.flatMap((piece) => [...piece]));
          expect(sent).toBe(pieces.length);
          expect(serverSink.ends).toEqual([undefined]);
          expect(network.openEnds).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a reader that stops reading leaves the bytes with the sender, who hears when they are gone', async () => {
    const { env, client, server, clientSink, serverSink } = await connected(1);
    server.pause();
    let sent = 0;
    client.send([new Uint8Array(200_000)], () => sent++);
    await env.clock.advance(100);
    expect(client.unsentBytes).toBe(200_000 - 64 * 1024);
    expect([sent, clientSink.drains]).toEqual([0, 0]);
    server.resume();
    await env.clock.advance(60_000);
    expect(client.unsentBytes).toBe(0);
    expect([sent, clientSink.drains]).toEqual([1, 1]);
    expect(serverSink.arrived).toHaveLength(200_000);
  });

  test('destroy ends both sides once, and every sent callback comes', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const { env, network, client, server, clientSink, serverSink } = await connected(seed);
      let sent = 0;
      server.pause();
      for (let n = 0; n < 5; n++) client.send([new Uint8Array(50_000)], () => sent++);
      await env.clock.advance(1);
      client.destroy();
      client.send([new Uint8Array(1)], () => sent++);
      server.resume();
      await env.clock.advance(10_000);
      expect(sent).toBe(6);
      expect(clientSink.ends).toEqual([undefined]);
      expect(serverSink.ends).toHaveLength(1);
      expect(network.openEnds).toBe(0);
    }
  });

  test('a failing link is an error on both sides; nobody listening is REFUSED', async () => {
    const { env, network, clientSink, serverSink } = await connected(5);
    network.resetAll();
    await env.clock.advance(10);
    expect([clientSink.ends[0], serverSink.ends[0]]).toMatchObject([
      { code: 'ECONNRESET' },
      { code: 'ECONNRESET' },
    ]);
    const refused = network.connect({ host: 'broker', port: 1 }, () => new Sink());
    await expect(env.clock.run(refused)).rejects.toMatchObject({ name: 'ConnectError', code: 'REFUSED' });
    await expect(network.listen(ADDRESS, () => new Sink())).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });
});
