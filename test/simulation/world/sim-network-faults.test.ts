import { describe, expect, test } from '@jest/globals';
import type { Connection } from '../../../broker-runtime/src/ports/network.ts';
import { simEnv } from './sim-env.ts';
import { SimNetwork } from './sim-network.ts';
import { Sink } from './sink.ts';

const PORT = 9093;
const SEEDS = Array.from({ length: 20 }, (_, seed) => seed);

interface End {
  readonly connection: Connection;
  readonly sink: Sink;
}

/** Two machines, a and b; b listens. */
class TwoNodes {
  readonly env;
  readonly network;
  readonly accepted: End[] = [];

  constructor(seed: number) {
    this.env = simEnv(seed);
    this.network = new SimNetwork(this.env.clock, this.env.random.fork());
  }

  async listen(): Promise<void> {
    await this.network.node('b').listen({ host: '0.0.0.0', port: PORT }, (connection) => {
      const sink = new Sink();
      this.accepted.push({ connection, sink });
      return sink;
    });
  }

  async connect(timeoutMs?: number): Promise<End> {
    const sink = new Sink();
    const connection = await this.network
      .node('a')
      .connect({ host: 'b', port: PORT }, () => sink, timeoutMs === undefined ? {} : { timeoutMs });
    return { connection, sink };
  }

  /** A connection and its other end. */
  async pair(): Promise<readonly [End, End]> {
    const mine = await this.env.clock.run(this.connect());
    const other = this.accepted.at(-1);
    if (other === undefined) throw new Error('nothing was accepted');
    return [mine, other];
  }
}

async function twoNodes(seed: number): Promise<TwoNodes> {
  const world = new TwoNodes(seed);
  await world.listen();
  return world;
}

const say = ({ connection }: End, ...bytes: number[]): void => connection.send([Uint8Array.from(bytes)]);

describe('SimNetwork with nodes', () => {
  test('a node listens on itself only, and both ends know each other by host', async () => {
    const nodes = await twoNodes(1);
    const elsewhere = nodes.network.node('a').listen({ host: 'b', port: 1 }, () => new Sink());
    await expect(elsewhere).rejects.toMatchObject({ code: 'ADDRESS_NOT_AVAILABLE' });
    const [a, b] = await nodes.pair();
    expect(a.connection.remote).toEqual({ host: 'b', port: PORT });
    expect(b.connection.remote).toEqual(a.connection.local);
    expect(a.connection.local.host).toBe('a');
  });

  test.each(SEEDS)('a partition holds bytes back and loses none (seed %d)', async (seed) => {
    const world = await twoNodes(seed);
    const [a, b] = await world.pair();
    world.network.partition('a', 'b');
    say(a, 1);
    say(b, 2);
    await world.env.clock.advance(60_000);
    expect([a.sink.arrived, b.sink.arrived]).toEqual([[], []]);
    world.network.heal('a', 'b');
    await world.env.clock.advance(10);
    expect([a.sink.arrived, b.sink.arrived]).toEqual([[2], [1]]);
    expect([a.sink.ends, b.sink.ends]).toEqual([[], []]);
  });

  test('a way may be blocked in one direction only', async () => {
    const world = await twoNodes(1);
    const [a, b] = await world.pair();
    world.network.block('a', 'b');
    say(a, 1);
    say(b, 2);
    await world.env.clock.advance(1000);
    expect([a.sink.arrived, b.sink.arrived]).toEqual([[2], []]);
    await expect(world.env.clock.run(world.connect(500))).rejects.toMatchObject({ code: 'TIMED_OUT' });
    world.network.heal('a', 'b');
    await world.env.clock.advance(10);
    expect(b.sink.arrived).toEqual([1]);
  });

  test('nobody connects through a partition until it heals in time', async () => {
    const world = await twoNodes(1);
    world.network.partition('b');
    await expect(world.env.clock.run(world.connect())).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'TIMED_OUT',
      message: 'cannot connect to b:9093: nobody answered in 5000 ms',
    });
    const late = world.connect();
    await world.env.clock.advance(2500);
    world.network.heal('b');
    await world.env.clock.run(late);
    expect(world.accepted).toHaveLength(1);
  });

  test('connecting can be called off', async () => {
    const world = await twoNodes(1);
    world.network.partition('a', 'b');
    const abort = new AbortController();
    const reason = new Error('called off');
    const connecting = world.network
      .node('a')
      .connect({ host: 'b', port: PORT }, () => new Sink(), { signal: abort.signal });
    abort.abort(reason);
    await expect(world.env.clock.run(connecting)).rejects.toBe(reason);
  });

  test('a clog ends by itself; a delay holds for its direction', async () => {
    const world = await twoNodes(1);
    const [a, b] = await world.pair();
    world.network.clog('a', 'b', 300);
    say(a, 1);
    await world.env.clock.advance(290);
    expect(b.sink.arrived).toEqual([]);
    await world.env.clock.advance(20);
    expect(b.sink.arrived).toEqual([1]);
    world.network.setDelay('b', 'a', { minMs: 100, maxMs: 120 });
    say(a, 2);
    say(b, 3);
    await world.env.clock.advance(99);
    expect([a.sink.arrived, b.sink.arrived]).toEqual([[], [1, 2]]);
    await world.env.clock.advance(22);
    expect(a.sink.arrived).toEqual([3]);
  });

  test.each(SEEDS)(
    'half-open: nothing arrives, nobody is told, new connections work (seed %d)',
    async (seed) => {
      const world = await twoNodes(seed);
      const [a, b] = await world.pair();
      world.network.silence('a', 'b');
      say(a, 1);
      say(b, 2);
      a.connection.destroy();
      await world.env.clock.advance(600_000);
      expect([a.sink.arrived, b.sink.arrived]).toEqual([[], []]);
      expect([a.sink.ends, b.sink.ends]).toEqual([[undefined], []]);
      expect(world.network.openEnds).toBe(1);
      const [again, there] = await world.pair();
      say(again, 3);
      await world.env.clock.advance(10);
      expect(there.sink.arrived).toEqual([3]);
    },
  );

  test('a reset is heard on both sides, and only between the two', async () => {
    const world = await twoNodes(1);
    const [a, b] = await world.pair();
    const other = new Sink();
    await world.env.clock.run(world.network.node('c').connect({ host: 'b', port: PORT }, () => other));
    world.network.reset('b', 'a');
    await world.env.clock.advance(10);
    expect([a.sink.ends, b.sink.ends]).toMatchObject([[{ code: 'ECONNRESET' }], [{ code: 'ECONNRESET' }]]);
    expect(other.ends).toEqual([]);
  });

  test.each(SEEDS)('an end that was sent into a partition arrives after it (seed %d)', async (seed) => {
    const world = await twoNodes(seed);
    const [a, b] = await world.pair();
    world.network.partition('a', 'b');
    a.connection.destroy();
    await world.env.clock.advance(1000);
    expect(b.sink.ends).toEqual([]);
    world.network.healAll();
    // A reset was perhaps lost: then only an answer to what is sent tells.
    say(b, 1);
    await world.env.clock.advance(10);
    expect(b.sink.ends).toHaveLength(1);
    expect(world.network.openEnds).toBe(0);
  });
});

describe('a node that crashes', () => {
  test.each(SEEDS)('hears nothing more; its peers are told, and are refused (seed %d)', async (seed) => {
    const world = await twoNodes(seed);
    const [a, b] = await world.pair();
    const dead = world.network.node('b');
    let sent = 0;
    say(a, 1);
    b.connection.send([new Uint8Array(9)], () => sent++);
    world.network.crash('b');
    await world.env.clock.advance(1000);
    expect([b.sink.arrived, b.sink.ends, sent]).toEqual([[], [], 0]);
    expect(a.sink.ends).toMatchObject([{ code: expect.stringMatching(/ECONNRESET|EPIPE/) as unknown }]);
    expect(world.network.openEnds).toBe(0);
    await expect(world.env.clock.run(world.connect())).rejects.toMatchObject({ code: 'REFUSED' });
    const settled: unknown[] = [];
    const note = (value: unknown): unknown => settled.push(value);
    dead.connect({ host: 'a', port: 1 }, () => new Sink()).then(note, note);
    dead.listen({ host: 'b', port: PORT }, () => new Sink()).then(note, note);
    await world.env.clock.advance(60_000);
    expect(settled).toEqual([]);
    await world.listen();
    await world.pair();
  });

  test.each(SEEDS)(
    'with its machine: peers hear of it when it is back and they send (seed %d)',
    async (seed) => {
      const world = await twoNodes(seed);
      const [a, b] = await world.pair();
      world.network.crash('b', { silent: true });
      say(a, 1);
      await world.env.clock.advance(60_000);
      expect(a.sink.ends).toEqual([]);
      await expect(world.env.clock.run(world.connect())).rejects.toMatchObject({ code: 'TIMED_OUT' });
      await world.listen();
      await world.env.clock.advance(1000);
      expect(a.sink.ends).toMatchObject([{ code: 'EPIPE' }]);
      expect([b.sink.arrived, b.sink.ends]).toEqual([[], []]);
      const [again, there] = await world.pair();
      say(again, 2);
      await world.env.clock.advance(10);
      expect(there.sink.arrived).toEqual([2]);
    },
  );
});
