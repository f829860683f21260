import type { InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import type { Connection } from '../../broker-runtime/src/ports/network.ts';
import { RpcClient } from '../../broker-runtime/src/rpc/client.ts';
import type { RpcClientOptions } from '../../broker-runtime/src/rpc/client.ts';
import type { RpcBody } from '../../broker-runtime/src/rpc/frame.ts';
import { RpcServer } from '../../broker-runtime/src/rpc/server.ts';
import type { RpcContext, RpcHandler, RpcServerOptions } from '../../broker-runtime/src/rpc/server.ts';
import { simEnv } from '../simulation/world/sim-env.ts';
import { SimNetwork } from '../simulation/world/sim-network.ts';
import { Sink } from '../simulation/world/sink.ts';

export const SERVER = { host: 'server', port: 9093 };
export const SEEDS = Array.from({ length: 15 }, (_, seed) => seed);

export const json = (value: unknown, ...blobs: Uint8Array[]): RpcBody => ({ json: value, blobs });

/** A call that waits until the test answers it. */
export interface Parked {
  readonly body: RpcBody;
  readonly context: RpcContext;
  readonly answer: (body: RpcBody) => void;
  readonly fail: (error: unknown) => void;
}

/** A server with the methods `echo` and `wait`, on a machine of its own, and clients on another. */
export class RpcWorld {
  readonly env;
  readonly network;
  readonly parked: Parked[] = [];
  readonly fatal: InvariantViolation[] = [];
  readonly handlers = new Map<string, RpcHandler>();
  server: RpcServer;

  constructor(seed: number, options: Partial<RpcServerOptions> = {}) {
    this.env = simEnv(seed);
    this.network = new SimNetwork(this.env.clock, this.env.random.fork());
    this.handlers.set('echo', async (body) => body);
    this.handlers.set('wait', (body, context) => {
      const { promise, resolve, reject } = Promise.withResolvers<RpcBody>();
      this.parked.push({ body, context, answer: resolve, fail: reject });
      return promise;
    });
    this.server = new RpcServer(this.env, this.handlers, {
      onFatal: (error) => this.fatal.push(error),
      ...options,
    });
  }

  async listen(): Promise<void> {
    await this.server.listen(this.network.node(SERVER.host), SERVER);
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.env.clock.run(work);
  }

  advance(ms: number): Promise<void> {
    return this.env.clock.advance(ms);
  }

  client(options: RpcClientOptions = {}, host = 'client'): Promise<RpcClient> {
    return this.run(RpcClient.connect(this.env, this.network.node(host), SERVER, options));
  }

  /** A peer that says what the test wants. */
  async raw(): Promise<{ connection: Connection; sink: Sink }> {
    const sink = new Sink();
    const connection = await this.run(this.network.node('hostile').connect(SERVER, () => sink));
    return { connection, sink };
  }

  /** Faults of connections that were reported, in order. */
  get faults(): unknown[] {
    return this.env.events.named('rpc.connection-closed').map(({ fields }) => fields['fault']);
  }
}

export async function rpcWorld(seed: number, options: Partial<RpcServerOptions> = {}): Promise<RpcWorld> {
  const world = new RpcWorld(seed, options);
  await world.listen();
  return world;
}
