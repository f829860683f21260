import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import type { Env } from '../../broker-runtime/src/ports/env.ts';
import type { Address } from '../../broker-runtime/src/ports/network.ts';
import { RpcClient } from '../../broker-runtime/src/rpc/client.ts';
import type { RpcBody } from '../../broker-runtime/src/rpc/frame.ts';
import { RpcServer } from '../../broker-runtime/src/rpc/server.ts';
import type { RpcHandler } from '../../broker-runtime/src/rpc/server.ts';
import { RecordingEvents } from '../simulation/world/sim-events.ts';
import { json } from './rpc-world.ts';

const SOON = { timeoutMs: 15_000 };

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

interface Rig {
  readonly env: Env & { readonly events: RecordingEvents };
  readonly address: Address;
  readonly server: RpcServer;
  readonly release: (body: RpcBody) => void;
  readonly client: () => Promise<RpcClient>;
}

async function rig(): Promise<Rig> {
  const network = new TcpNetwork();
  const env = { ...systemEnv(), events: new RecordingEvents() };
  const { promise, resolve } = Promise.withResolvers<RpcBody>();
  const handlers = new Map<string, RpcHandler>([
    ['echo', async (body) => body],
    ['wait', () => promise],
  ]);
  const server = new RpcServer(env, handlers, { onFatal: () => undefined, closeGraceMs: 200 });
  const address = await server.listen(network, { host: '127.0.0.1', port: 0 });
  opened.push(() => server.close());
  const client = async (): Promise<RpcClient> => {
    const made = await RpcClient.connect(env, network, address);
    opened.unshift(() => made.close());
    return made;
  };
  return { env, address, server, release: resolve, client };
}

describe('over real TCP', () => {
  test('blobs of many sizes come back as they were, while a poll waits', async () => {
    const { client, release } = await rig();
    const rpc = await client();
    const poll = rpc.call('wait', json(0), SOON);
    const calls = [0, 1, 1000, 65_536, 70_001, 4_000_000, 15_000_000].map(async (size) => {
      const blob = Buffer.alloc(size, Uint8Array.of(1, 2, 3, 5, 7, 11, 13));
      const answer = await rpc.call('echo', json({ size }, blob, Uint8Array.of(9)), SOON);
      expect(answer.json).toEqual({ size });
      expect(Buffer.compare(answer.blobs[0] ?? new Uint8Array(0), blob)).toBe(0);
      expect([...(answer.blobs[1] ?? [])]).toEqual([9]);
    });
    await Promise.all(calls);
    expect(rpc.inFlight).toBe(1);
    release(json('released'));
    expect((await poll).json).toBe('released');
  });

  test('many small calls of several clients overlap', async () => {
    const { client } = await rig();
    const clients = await Promise.all([client(), client(), client()]);
    const calls = clients.flatMap((rpc, who) =>
      Array.from({ length: 200 }, (_, n) => rpc.call('echo', json([who, n]), SOON)),
    );
    const answers = await Promise.all(calls);
    expect(answers.map((body) => body.json)).toEqual(
      clients.flatMap((_, who) => Array.from({ length: 200 }, (__, n) => [who, n])),
    );
  });

  test('a server that stops ends calls that wait; then nobody answers there', async () => {
    const { client, server, address } = await rig();
    const rpc = await client();
    const poll = rpc.call('wait', json(0), SOON);
    const ended = expect(poll).rejects.toMatchObject({ code: 'DISCONNECTED', mayHaveRun: true });
    await rpc.call('echo', json(0), SOON);
    await server.close();
    await ended;
    await expect(client()).rejects.toMatchObject({ name: 'ConnectError', code: 'REFUSED' });
    await expect(rpc.call('echo', json(0), SOON)).rejects.toMatchObject({ mayHaveRun: false });
    expect(address.port).toBeGreaterThan(0);
  });

  test('a call times out', async () => {
    const { client } = await rig();
    const rpc = await client();
    await expect(rpc.call('wait', json(0), { timeoutMs: 20 })).rejects.toMatchObject({ code: 'TIMED_OUT' });
    expect((await rpc.call('echo', json(1), SOON)).json).toBe(1);
  });

  test('a peer that talks something else is shown the door', async () => {
    const { address, env, client } = await rig();
    const socket = net.connect(address);
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: broker\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(env.events.named('rpc.connection-closed')).toMatchObject([{ fields: { fault: 'frame-length' } }]);
    const rpc = await client();
    expect((await rpc.call('echo', json(1), SOON)).json).toBe(1);
  });
});
