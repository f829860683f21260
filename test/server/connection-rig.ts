import { afterEach, expect } from '@jest/globals';
import type { InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import { MemoryShare } from '../../broker-runtime/src/base/memory-budget.ts';
import { defineApi, type Api, type Handler } from '../../broker-runtime/src/server/api.ts';
import type { CloseReason } from '../../broker-runtime/src/server/close-reason.ts';
import { apiVersionsApi } from '../../broker-runtime/src/server/handlers/api-versions.ts';
import { DEFAULT_SERVER_OPTIONS, type ServerOptions } from '../../broker-runtime/src/server/options.ts';
import { KafkaServer } from '../../broker-runtime/src/server/server.ts';
import type { Services } from '../../broker-runtime/src/server/services.ts';
import { HeartbeatRequest, HeartbeatResponse } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { SyncGroupRequest, SyncGroupResponse } from '../../broker-runtime/src/wire/messages/sync-group.ts';
import type { Decoded, Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { KafkaClient } from '../simulation/world/kafka-client.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { SimNetwork } from '../simulation/world/sim-network.ts';

export type Beat = Handler<Decoded<typeof HeartbeatRequest>, Encodable<typeof HeartbeatResponse>>;
export type Sync = Handler<Decoded<typeof SyncGroupRequest>, Encodable<typeof SyncGroupResponse>>;

export const KIB = 1024;
export const Heartbeat = [HeartbeatRequest, HeartbeatResponse] as const;
export const SyncGroup = [SyncGroupRequest, SyncGroupResponse] as const;
export const ADDRESS = { host: '127.0.0.1', port: 9092 };

/** The listener with two APIs of the test's own: Heartbeat for small replies, SyncGroup for large ones. */
export interface Rig {
  readonly env: SimEnv;
  readonly network: SimNetwork;
  readonly server: KafkaServer;
  readonly fatal: InvariantViolation[];
  connect(): Promise<KafkaClient>;
  run<T>(work: Promise<T>): Promise<T>;
  closes(reason: CloseReason): number;
}

const rigs: Rig[] = [];
afterEach(async () => {
  // Whatever a test did to it, a server closes, and gives everything back.
  for (const rig of rigs.splice(0)) {
    await rig.run(rig.server.close());
    await rig.env.clock.advance(10);
    expect(rig.server.status.connections).toBe(0);
    expect(rig.server.requestMemoryBytes).toBe(0);
    expect(rig.network.openEnds).toBe(0);
  }
});

export async function serverWith(
  handlers: { readonly beat?: Beat; readonly sync?: Sync; readonly failure?: boolean },
  options: Partial<ServerOptions> = {},
): Promise<Rig> {
  const env = simEnv(7);
  const network = new SimNetwork(env.clock, env.random.fork());
  const apis: Api[] = [
    defineApi({
      key: 12,
      request: HeartbeatRequest,
      response: HeartbeatResponse,
      requestMemory: 'decoded',
      handler: () => handlers.beat ?? ((): { errorCode: number } => ({ errorCode: 0 })),
      ...(handlers.failure === true ? { failure: (errorCode: number) => ({ errorCode }) } : {}),
    }),
    defineApi({
      key: 14,
      request: SyncGroupRequest,
      response: SyncGroupResponse,
      requestMemory: 'borrowed',
      handler: () => handlers.sync ?? ((): Encodable<typeof SyncGroupResponse> => reply(1)),
    }),
  ];
  const services = {
    env,
    options: { ...DEFAULT_SERVER_OPTIONS, ...options },
    fetchMemory: new MemoryShare('fetch', 1),
  } as unknown as Services;
  const fatal: InvariantViolation[] = [];
  const server = new KafkaServer(services, [...apis, apiVersionsApi(apis)], {
    onFatal: (error) => fatal.push(error),
  });
  const run = <T>(work: Promise<T>): Promise<T> => env.clock.run(work);
  await run(server.listen(network, ADDRESS));
  const rig: Rig = {
    env,
    network,
    server,
    fatal,
    run,
    connect: () => run(KafkaClient.connect(network, ADDRESS)),
    closes: (reason) => server.status.closes.get(reason) ?? 0,
  };
  rigs.push(rig);
  return rig;
}

export function reply(bytes: number, value = 1): Encodable<typeof SyncGroupResponse> {
  return { errorCode: 0, assignment: new Uint8Array(bytes).fill(value) };
}

export function beat(groupId: string): Encodable<typeof HeartbeatRequest> {
  return { groupId, generationId: 1, memberId: '' };
}

export function sync(groupId: string, bytes = 0): Encodable<typeof SyncGroupRequest> {
  return {
    groupId,
    generationId: 1,
    memberId: '',
    assignments: [{ memberId: 'm', assignment: new Uint8Array(bytes) }],
  };
}
