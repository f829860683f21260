import net from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import { acceptIntoOwnMemory } from '../../broker-runtime/src/adapters/socket-onread.ts';
import { TcpConnection } from '../../broker-runtime/src/adapters/tcp-connection.ts';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import type { Connection, Listener, Receiver } from '../../broker-runtime/src/ports/network.ts';
import { Recorder, numbered, pauseMs } from './recorder.ts';

test('this Node has what reading into own memory takes (else CPU per byte doubles, silently)', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  expect(acceptIntoOwnMemory(server, (socket) => new TcpConnection(socket))).toBe(true);
  server.close();
});

describe.each([
  ['reading into own memory', true],
  ["reading by 'data' events", false],
])('TcpNetwork %s', (_name, receiveIntoOwnMemory) => {
  const opened: { listener: Listener; sockets: net.Socket[] }[] = [];
  afterEach(async () => {
    for (const { listener, sockets } of opened.splice(0)) {
      for (const socket of sockets) socket.destroy();
      await listener.close();
    }
  });

  async function connect(
    prepare: (recorder: Recorder) => void = () => undefined,
  ): Promise<{ client: net.Socket; server: Recorder; listener: Listener }> {
    const accepted: Recorder[] = [];
    const waiting = Promise.withResolvers<Recorder>();
    const listener = await new TcpNetwork({ receiveIntoOwnMemory }).listen(
      { host: '127.0.0.1', port: 0 },
      (connection) => {
        const recorder = new Recorder(connection);
        prepare(recorder);
        accepted.push(recorder);
        waiting.resolve(recorder);
        return recorder;
      },
    );
    const client = net.connect(listener.address);
    opened.push({ listener, sockets: [client] });
    client.on('error', () => undefined);
    const server = await waiting.promise;
    return { client, server, listener };
  }

  test('knows both ends', async () => {
    const { client, server, listener } = await connect();
    await once(client, 'connect').catch(() => undefined);
    expect(server.connection.local).toEqual({ host: '127.0.0.1', port: listener.address.port });
    expect(server.connection.remote).toEqual({ host: '127.0.0.1', port: client.localPort });
  });

  test.each([1, 13, 1000, 300_000])(
    'gives all bytes in order into memory of %d bytes',
    async (bufferBytes) => {
      const { client, server } = await connect((recorder) => (recorder.bufferBytes = bufferBytes));
      const sent = numbered(bufferBytes < 100 ? 3_000 : 700_000);
      client.write(sent.subarray(0, 5));
      await server.until((self) => self.arrivedBytes === 5);
      client.end(sent.subarray(5));
      await server.until((self) => self.ends.length > 0);
      expect(Buffer.concat(server.arrived).equals(sent)).toBe(true);
      expect(server.ends).toEqual([undefined]);
    },
  );

  test('a paused connection delivers nothing, not even the rest of a read; resume goes on where it stopped', async () => {
    const { client, server } = await connect((recorder) => {
      recorder.bufferBytes = 10;
      recorder.onReceived = () => recorder.connection.pause();
    });
    const sent = numbered(300);
    client.write(sent);
    for (let steps = 1; steps <= 30; steps++) {
      await server.until((self) => self.arrivedBytes >= steps * 10);
      if (steps % 10 === 0) await pauseMs(5);
      expect(server.arrivedBytes).toBe(steps * 10);
      server.connection.resume();
    }
    expect(Buffer.concat(server.arrived).equals(sent)).toBe(true);
  });

  test('pause before the first byte, and again and again, loses and reorders nothing', async () => {
    const { client, server } = await connect((recorder) => {
      recorder.bufferBytes = 777;
      recorder.connection.pause();
      recorder.onReceived = () => {
        if (recorder.arrived.length % 3 !== 0) return;
        recorder.connection.pause();
        recorder.connection.pause();
        setImmediate(() => recorder.connection.resume());
      };
    });
    const sent = numbered(200_000);
    client.end(sent);
    await pauseMs(20);
    expect(server.arrivedBytes).toBe(0);
    server.connection.resume();
    server.connection.resume();
    await server.until((self) => self.ends.length > 0);
    expect(Buffer.concat(server.arrived).equals(sent)).toBe(true);
  });

  test('pausing is felt by the sender: its bytes stay with it', async () => {
    const { client, server } = await connect((recorder) => recorder.connection.pause());
    const sent = numbered(30 * 1024 * 1024);
    client.write(sent);
    await pauseMs(100);
    expect(client.writableLength).toBe(sent.length);
    server.bufferBytes = 1024 * 1024;
    server.connection.resume();
    await server.until((self) => self.arrivedBytes === sent.length);
    expect(Buffer.concat(server.arrived).equals(sent)).toBe(true);
  });

  test('sends pieces in order and tells once when their memory is free; drained after a pile-up', async () => {
    const { client, server } = await connect();
    const pieces = [numbered(10), new Uint8Array(0), numbered(20_000_000), numbered(70_000).subarray(3)];
    let sent = 0;
    server.connection.send(pieces, () => sent++);
    server.connection.send([], () => sent++);
    server.connection.send([numbered(4)]);
    expect(sent).toBe(0);
    expect(server.connection.unsentBytes).toBeGreaterThan(0);
    const expected = Buffer.concat([...pieces, numbered(4)]);
    const received: Buffer[] = [];
    let receivedBytes = 0;
    for await (const chunk of client as AsyncIterable<Buffer>) {
      received.push(chunk);
      receivedBytes += chunk.length;
      if (receivedBytes >= expected.length) break;
    }
    expect(Buffer.concat(received).equals(expected)).toBe(true);
    expect(sent).toBe(2);
    expect(server.connection.unsentBytes).toBe(0);
    await server.until((self) => self.drains > 0);
  });

  test('destroy calls every sent callback once, then closed once, without an error', async () => {
    const { client, server } = await connect();
    client.pause();
    const calls = [0, 0, 0, 0];
    const count = (index: number) => () => {
      calls[index] = (calls[index] ?? 0) + 1;
    };
    server.connection.send([numbered(20_000_000)], count(0));
    server.connection.send([numbered(10)], count(1));
    expect(server.connection.unsentBytes).toBe(20_000_010);
    server.connection.destroy();
    server.connection.send([numbered(10)], count(2));
    server.connection.send([], count(3));
    expect(calls.slice(2)).toEqual([0, 0]);
    await server.until((self) => self.ends.length > 0);
    await pauseMs(10);
    expect(calls).toEqual([1, 1, 1, 1]);
    expect(server.ends).toEqual([undefined]);
    expect(server.connection.unsentBytes).toBe(0);
    server.connection.pause();
    server.connection.resume();
    server.connection.end();
    server.connection.destroy();
  });

  test('a peer that resets is an error, and every sent callback comes', async () => {
    const { client, server } = await connect();
    await once(client, 'connect').catch(() => undefined);
    let sent = 0;
    client.pause();
    server.connection.send([numbered(20_000_000)], () => sent++);
    client.resetAndDestroy();
    await server.until((self) => self.ends.length > 0);
    expect(server.ends[0]).toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) as unknown });
    expect(sent).toBe(1);
  });

  test('end sends what is queued first; a client that only stopped writing still gets its answer', async () => {
    const { client, server } = await connect((recorder) => {
      recorder.onReceived = () => {
        recorder.connection.send([numbered(2_000_000)]);
        recorder.connection.end();
        recorder.connection.end();
      };
    });
    client.end('question');
    let receivedBytes = 0;
    client.on('data', (chunk: Buffer) => (receivedBytes += chunk.length));
    await once(client, 'end');
    expect(receivedBytes).toBe(2_000_000);
    await server.until((self) => self.ends.length > 0);
    expect(server.ends).toEqual([undefined]);
  });

  test('many connections at once do not mix (shared first reads)', async () => {
    const recorders: Recorder[] = [];
    const listener = await new TcpNetwork({ receiveIntoOwnMemory }).listen(
      { host: '127.0.0.1', port: 0 },
      (connection) => {
        const recorder = new Recorder(connection);
        recorder.bufferBytes = 64;
        if (recorders.length % 2 === 0) {
          recorder.onReceived = () => {
            connection.pause();
            setImmediate(() => connection.resume());
          };
        }
        recorders.push(recorder);
        return recorder;
      },
    );
    const clients = Array.from({ length: 40 }, (_, n) => {
      const client = net.connect(listener.address);
      client.end(Buffer.alloc(5_000, n));
      return client;
    });
    opened.push({ listener, sockets: clients });
    await Promise.all(clients.map((client) => once(client.resume(), 'close')));
    expect(recorders).toHaveLength(40);
    const seen = recorders.map((recorder) => {
      const whole = Buffer.concat(recorder.arrived);
      expect(whole.equals(Buffer.alloc(5_000, whole[0]))).toBe(true);
      return whole[0];
    });
    expect(new Set(seen).size).toBe(40);
  });

  test('closing the listener frees the port and leaves connections alone', async () => {
    const { client, server, listener } = await connect();
    await listener.close();
    await listener.close();
    const again = await new TcpNetwork().listen(listener.address, (connection) => new Recorder(connection));
    expect(again.address).toEqual(listener.address);
    await again.close();
    client.write('still here');
    await server.until((self) => self.arrivedBytes === 10);
  });
});

describe('TcpNetwork listens', () => {
  const accept = (connection: Connection): Receiver => new Recorder(connection);

  test('on a port of the system, and says which', async () => {
    const listener = await new TcpNetwork().listen({ host: '127.0.0.1', port: 0 }, accept);
    expect(listener.address.port).toBeGreaterThan(0);
    await expect(new TcpNetwork().listen(listener.address, accept)).rejects.toMatchObject({
      name: 'ListenError',
      code: 'ADDRESS_IN_USE',
      message: expect.stringContaining('another process listens there') as unknown,
    });
    await listener.close();
  });

  test('not on an address of another machine', async () => {
    await expect(new TcpNetwork().listen({ host: '192.0.2.1', port: 0 }, accept)).rejects.toMatchObject({
      code: 'ADDRESS_NOT_AVAILABLE',
    });
  });
});
