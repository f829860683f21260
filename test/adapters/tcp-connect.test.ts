import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { TcpNetwork } from '../../broker-runtime/src/adapters/tcp-network.ts';
import type { Address, Listener } from '../../broker-runtime/src/ports/network.ts';
import { Recorder, numbered, pauseMs } from './recorder.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

interface Pair {
  readonly client: Recorder;
  readonly server: Recorder;
  readonly listener: Listener;
}

async function connect(
  receiveIntoOwnMemory: boolean,
  prepare: { client?: (recorder: Recorder) => void; server?: (recorder: Recorder) => void } = {},
): Promise<Pair> {
  const network = new TcpNetwork({ receiveIntoOwnMemory });
  const accepted = Promise.withResolvers<Recorder>();
  const listener = await network.listen(LOOPBACK, (connection) => {
    const recorder = new Recorder(connection);
    prepare.server?.(recorder);
    accepted.resolve(recorder);
    return recorder;
  });
  const made: Recorder[] = [];
  const connection = await network.connect(listener.address, (mine) => {
    const recorder = new Recorder(mine);
    prepare.client?.(recorder);
    made.push(recorder);
    return recorder;
  });
  const server = await accepted.promise;
  const [client] = made;
  if (client?.connection !== connection || made.length > 1) throw new Error('one receiver a connection');
  opened.push(
    () => listener.close(),
    () => connection.destroy(),
    () => server.connection.destroy(),
  );
  return { client, server, listener };
}

describe.each([
  ['reading into own memory', true],
  ["reading by 'data' events", false],
])('TcpNetwork connects, %s', (_name, receiveIntoOwnMemory) => {
  test('and knows both ends', async () => {
    const { client, server, listener } = await connect(receiveIntoOwnMemory);
    expect(client.connection.remote).toEqual(listener.address);
    expect(client.connection.local).toEqual(server.connection.remote);
  });

  test.each([1, 1000, 300_000])(
    'and gets all bytes in order into memory of %d bytes',
    async (bufferBytes) => {
      const sent = numbered(bufferBytes < 100 ? 3_000 : 700_000);
      const { client } = await connect(receiveIntoOwnMemory, {
        client: (recorder) => (recorder.bufferBytes = bufferBytes),
        server: ({ connection }) => {
          connection.send([sent]);
          connection.end();
        },
      });
      await client.until((self) => self.ends.length > 0);
      expect(Buffer.concat(client.arrived).equals(sent)).toBe(true);
      expect(client.ends).toEqual([undefined]);
    },
  );

  test('and loses nothing that came before a pause of its own was over', async () => {
    const { client, server } = await connect(receiveIntoOwnMemory, {
      client: ({ connection }) => connection.pause(),
    });
    server.connection.send([numbered(100_000)]);
    await pauseMs(20);
    expect(client.arrivedBytes).toBe(0);
    client.connection.resume();
    await client.until((self) => self.arrivedBytes === 100_000);
    expect(Buffer.concat(client.arrived).equals(numbered(100_000))).toBe(true);
  });

  test('and sends', async () => {
    const { client, server } = await connect(receiveIntoOwnMemory);
    let sent = 0;
    client.connection.send([numbered(10), numbered(2_000_000)], () => sent++);
    await server.until((self) => self.arrivedBytes === 2_000_010);
    expect(sent).toBe(1);
    client.connection.end();
    await server.until((self) => self.ends.length > 0);
    await client.until((self) => self.ends.length > 0);
    expect([client.ends, server.ends]).toEqual([[undefined], [undefined]]);
  });

  test('and hears of a reset', async () => {
    const server = net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    server.listen(LOOPBACK);
    opened.push(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const made: Recorder[] = [];
    const network = new TcpNetwork({ receiveIntoOwnMemory });
    const connection = await network.connect({ host: LOOPBACK.host, port }, (mine) => {
      const recorder = new Recorder(mine);
      made.push(recorder);
      return recorder;
    });
    connection.send([numbered(1)]);
    await made[0]?.until((self) => self.ends.length > 0);
    expect(made[0]?.ends).toMatchObject([{ code: 'ECONNRESET' }]);
  });
});

describe('TcpNetwork does not connect', () => {
  const network = new TcpNetwork();
  const never = (): never => {
    throw new Error('nothing connects');
  };

  test('where nobody listens', async () => {
    const listener = await network.listen(LOOPBACK, never);
    await listener.close();
    const refused = network.connect(listener.address, never);
    await expect(refused).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'REFUSED',
      message: expect.stringContaining(`127.0.0.1:${listener.address.port}: nobody listens there`) as unknown,
    });
  });

  test('to a name that means nothing', async () => {
    const unknown = network.connect({ host: 'nowhere.invalid', port: 1 }, never);
    await expect(unknown).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('to a port that cannot be', async () => {
    await expect(network.connect({ host: '127.0.0.1', port: 70_000 }, never)).rejects.toThrow(/70000/);
  });

  test('for longer than it is told, when nobody answers', async () => {
    const deaf = await deafListener();
    const before = performance.now();
    const attempts = Array.from({ length: 6 }, () =>
      network
        .connect(deaf, (connection) => new Recorder(connection), { timeoutMs: 300 })
        .then(
          (connection) => connection.destroy(),
          (error: unknown) => error,
        ),
    );
    const errors = (await Promise.all(attempts)).filter((error) => error !== undefined);
    expect(errors.length).toBeGreaterThan(0);
    expect(performance.now() - before).toBeLessThan(5_000);
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'ConnectError', code: 'TIMED_OUT' });
      expect(error).toHaveProperty('message', expect.stringContaining('nobody answered in 300 ms'));
    }
  });

  test('when it is called off before or meanwhile', async () => {
    const reason = new Error('not needed any more');
    const before = network.connect({ host: '127.0.0.1', port: 1 }, never, {
      signal: AbortSignal.abort(reason),
    });
    await expect(before).rejects.toBe(reason);
    const abort = new AbortController();
    const meanwhile = network.connect({ host: '127.0.0.1', port: 1 }, never, { signal: abort.signal });
    abort.abort(reason);
    await expect(meanwhile).rejects.toBe(reason);
  });
});

/** A process that listens, blocks, and so accepts nobody: when its short queue is full the kernel drops what comes. */
async function deafListener(): Promise<Address> {
  const script = `const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('fs').writeSync(1, String(s.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  opened.push(() => child.kill('SIGKILL'));
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { host: '127.0.0.1', port: Number(port.toString()) };
}
