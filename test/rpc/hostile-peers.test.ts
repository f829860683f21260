import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import type { Connection } from '../../broker-runtime/src/ports/network.ts';
import type { RpcClient } from '../../broker-runtime/src/rpc/client.ts';
import { encodeFrame } from '../../broker-runtime/src/rpc/frame.ts';
import type { RpcMessage } from '../../broker-runtime/src/rpc/frame.ts';
import { RPC_LIMITS } from '../../broker-runtime/src/rpc/limits.ts';
import { Sink } from '../simulation/world/sink.ts';
import { json, RpcWorld, rpcWorld, SERVER } from './rpc-world.ts';

const SOON = { timeoutMs: 60_000 };
const encode = (message: RpcMessage): Buffer => Buffer.concat(encodeFrame(message, RPC_LIMITS));
const request = (correlationId: number, method = 'echo', size = 10): Buffer =>
  encode({ type: 'request', correlationId, method, body: json('hello', new Uint8Array(size)) });

function damaged(frame: Buffer, at: number): Buffer {
  const copy = Buffer.from(frame);
  copy.writeUInt8(copy.readUInt8(at) ^ 0x10, at);
  return copy;
}

/** A right checksum over a wrong content. */
function resealed(frame: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(frame);
  change(copy);
  copy.writeUInt32BE(crc32c(copy.subarray(0, -4)), copy.length - 4);
  return copy;
}

const HOSTILE: readonly (readonly [string, Buffer, string])[] = [
  ['nothing but zeros', Buffer.alloc(100), 'frame-length'],
  ['a length of 4 GiB', Buffer.alloc(100, 0xff), 'frame-length'],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: server\r\n\r\n'), 'frame-length'],
  ['a wrong checksum', damaged(request(1), 20), 'frame-checksum'],
  ['an unknown type', resealed(request(1), (copy) => copy.writeUInt8(7, 4)), 'frame-content'],
  [
    'a document longer than its frame',
    resealed(request(1), (copy) => copy.writeUInt32BE(4000, 9)),
    'frame-content',
  ],
  ['a document that is no JSON', resealed(request(1), (copy) => copy.write('[[[[[[', 13)), 'frame-content'],
  ['an answer', encode({ type: 'response', correlationId: 1, body: json(1) }), 'protocol'],
  ['an error', encode({ type: 'error', correlationId: 1, code: 'X', message: 'x' }), 'protocol'],
  ['a correlation id in use', Buffer.concat([request(1, 'wait'), request(1, 'echo')]), 'protocol'],
];

describe('a server', () => {
  test.each(HOSTILE)('closes on %s, says so, and goes on with others', async (_name, bytes, fault) => {
    const world = await rpcWorld(1);
    const client = await world.client();
    const { connection, sink } = await world.raw();
    connection.send([bytes]);
    await world.advance(500);
    expect(sink.ends).toHaveLength(1);
    expect(sink.arrived).toEqual([]);
    expect(world.env.events.named('rpc.connection-closed')).toMatchObject([
      { level: 'warn', fields: { host: 'hostile', side: 'server', fault } },
    ]);
    expect(world.server.connections).toBe(1);
    expect((await world.run(client.call('echo', json(1), SOON))).json).toBe(1);
  });

  test('waits for the rest of a frame that is cut off at any byte, but not for ever', async () => {
    const frame = request(1);
    for (let length = 1; length < frame.length; length++) {
      const world = await rpcWorld(length, { limits: { frameDeadlineMs: 5000 } });
      const { connection, sink } = await world.raw();
      connection.send([frame.subarray(0, length)]);
      await world.advance(4000);
      expect(sink.ends).toEqual([]);
      await world.advance(4000);
      expect(sink.ends).toHaveLength(1);
      expect(world.faults).toEqual(['frame-deadline']);
    }
  });

  test('hears the end of a connection whose frame is cut off at any byte', async () => {
    const frame = request(1);
    for (let length = 0; length < frame.length; length++) {
      const world = await rpcWorld(length);
      const { connection, sink } = await world.raw();
      connection.send([frame.subarray(0, length)]);
      connection.end();
      await world.advance(100);
      expect([sink.ends, sink.arrived, world.faults, world.network.openEnds]).toEqual([
        [undefined],
        [],
        [],
        0,
      ]);
    }
  });

  test('does not let a peer that trickles keep a frame open', async () => {
    const world = await rpcWorld(1, { limits: { frameDeadlineMs: 5000 } });
    const { connection, sink } = await world.raw();
    const frame = request(1, 'echo', 100);
    for (let at = 0; at < frame.length && sink.ends.length === 0; at++) {
      connection.send([frame.subarray(at, at + 1)]);
      await world.advance(900);
    }
    expect(world.faults).toEqual(['frame-deadline']);
  });

  test('bounds what a peer that floods and takes no answer costs, and its events', async () => {
    const world = await rpcWorld(1, { limits: { unsentMaxBytes: 200_000, sendDeadlineMs: 5000 } });
    for (let attempt = 0; attempt < 5; attempt++) {
      const { connection } = await world.raw();
      connection.pause();
      for (let n = 0; n < 300; n++) connection.send([request(n, 'x'.repeat(3000))]);
      await world.advance(4000);
      // It is no longer read: what it sends stays with it.
      expect(connection.unsentBytes).toBeGreaterThan(0);
      await world.advance(4000);
    }
    expect(world.server.connections).toBe(0);
    expect(new Set(world.faults)).toEqual(new Set(['send-deadline']));
    const flood = await rpcWorld(1);
    for (let attempt = 0; attempt < 100; attempt++) {
      const { connection } = await flood.raw();
      connection.send([Buffer.alloc(10)]);
      await flood.advance(10);
    }
    expect(flood.faults).toHaveLength(10);
  });
});

/** A server that says what the test wants, and a client of it. */
async function deceived(): Promise<{ world: RpcWorld; client: RpcClient; server: Connection }> {
  const world = new RpcWorld(1);
  const accepted: Connection[] = [];
  await world.network.node(SERVER.host).listen(SERVER, (connection) => {
    accepted.push(connection);
    return new Sink(1000);
  });
  const client = await world.client();
  const [server] = accepted;
  if (server === undefined) throw new Error('nothing was accepted');
  return { world, client, server };
}

describe('a client', () => {
  test.each([
    ...HOSTILE.slice(0, 7),
    ['a request', request(0), 'protocol'] as const,
    [
      'an answer nobody asked for',
      encode({ type: 'response', correlationId: 9, body: json(1) }),
      'protocol',
    ] as const,
  ])('closes on %s', async (_name, bytes, fault) => {
    const { world, client, server } = await deceived();
    const call = client.call('echo', json(1), SOON);
    server.send([bytes]);
    await expect(world.run(call)).rejects.toMatchObject({ code: 'DISCONNECTED', mayHaveRun: true });
    await expect(client.closed).resolves.toMatchObject({ name: 'RpcFaultError', fault });
    expect(world.env.events.named('rpc.connection-closed')).toMatchObject([
      { fields: { side: 'client', fault } },
    ]);
    await world.advance(100);
    expect(world.network.openEnds).toBe(0);
  });

  test('closes on the second answer to one call', async () => {
    const { world, client, server } = await deceived();
    const call = client.call('echo', json(1), SOON);
    const answer = encode({ type: 'response', correlationId: 0, body: json('once') });
    server.send([answer, answer]);
    expect((await world.run(call)).json).toBe('once');
    await expect(world.run(client.closed)).resolves.toMatchObject({ fault: 'protocol' });
  });
});
