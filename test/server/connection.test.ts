import { afterEach, describe, expect, test } from '@jest/globals';
import { InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import { MemoryShare } from '../../broker-runtime/src/base/memory-budget.ts';
import { UnanswerableError, defineApi, type Api, type Handler } from '../../broker-runtime/src/server/api.ts';
import type { CloseReason } from '../../broker-runtime/src/server/close-reason.ts';
import { apiVersionsApi } from '../../broker-runtime/src/server/handlers/api-versions.ts';
import { DEFAULT_SERVER_OPTIONS, type ServerOptions } from '../../broker-runtime/src/server/options.ts';
import { KafkaServer } from '../../broker-runtime/src/server/server.ts';
import type { Services } from '../../broker-runtime/src/server/services.ts';
import {
  ApiVersionsRequest,
  ApiVersionsResponse,
} from '../../broker-runtime/src/wire/messages/api-versions.ts';
import { HeartbeatRequest, HeartbeatResponse } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import { SyncGroupRequest, SyncGroupResponse } from '../../broker-runtime/src/wire/messages/sync-group.ts';
import type { Decoded, Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { KafkaClient } from '../simulation/world/kafka-client.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';
import { SimNetwork } from '../simulation/world/sim-network.ts';

type Beat = Handler<Decoded<typeof HeartbeatRequest>, Encodable<typeof HeartbeatResponse>>;
type Sync = Handler<Decoded<typeof SyncGroupRequest>, Encodable<typeof SyncGroupResponse>>;

const KIB = 1024;
const Heartbeat = [HeartbeatRequest, HeartbeatResponse] as const;
const SyncGroup = [SyncGroupRequest, SyncGroupResponse] as const;
const ADDRESS = { host: '127.0.0.1', port: 9092 };

/** The listener with two APIs of the test's own: Heartbeat for small replies, SyncGroup for large ones. */
interface Rig {
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

async function serverWith(
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

function reply(bytes: number, value = 1): Encodable<typeof SyncGroupResponse> {
  return { errorCode: 0, assignment: new Uint8Array(bytes).fill(value) };
}

function beat(groupId: string): Encodable<typeof HeartbeatRequest> {
  return { groupId, generationId: 1, memberId: '' };
}

function sync(groupId: string, bytes = 0): Encodable<typeof SyncGroupRequest> {
  return {
    groupId,
    generationId: 1,
    memberId: '',
    assignments: [{ memberId: 'm', assignment: new Uint8Array(bytes) }],
  };
}

describe('order', () => {
  test('replies leave in the order of requests, whatever finishes first', async () => {
    const gate = Promise.withResolvers<{ errorCode: number }>();
    const rig = await serverWith({
      beat: ({ groupId }, context) => {
        context.startNext();
        return groupId === 'slow' ? gate.promise : { errorCode: 0 };
      },
    });
    const client = await rig.connect();
    const slow = client.call(Heartbeat, 4, beat('slow'));
    const seen: string[] = [];
    const fast = client.call(Heartbeat, 4, beat('fast')).then(() => seen.push('fast'));
    void slow.then(() => seen.push('slow'));
    await rig.env.clock.advance(100);
    expect(seen).toEqual([]);
    gate.resolve({ errorCode: 0 });
    await rig.run(Promise.all([slow, fast]));
    expect(seen).toEqual(['slow', 'fast']);
  });

  test('a request starts only when the one before is answered or allows it', async () => {
    const started: string[] = [];
    const gates = new Map<string, () => void>();
    const rig = await serverWith({
      beat: ({ groupId }, context) => {
        started.push(groupId);
        if (groupId.startsWith('parks')) context.startNext();
        return new Promise((resolve) => gates.set(groupId, () => resolve({ errorCode: 0 })));
      },
    });
    const client = await rig.connect();
    const replies = ['parks-1', 'alone-2', 'alone-3'].map((group) => client.call(Heartbeat, 4, beat(group)));
    await rig.env.clock.advance(100);
    expect(started).toEqual(['parks-1', 'alone-2']);
    gates.get('alone-2')?.();
    await rig.env.clock.advance(100);
    expect(started).toEqual(['parks-1', 'alone-2', 'alone-3']);
    gates.get('alone-3')?.();
    gates.get('parks-1')?.();
    await rig.run(Promise.all(replies));
  });

  test('10,000 requests sent at once are answered in order, with few of them in flight', async () => {
    let inFlight = 0;
    let most = 0;
    const rig = await serverWith(
      {
        beat: async (_request, context) => {
          context.startNext();
          most = Math.max(most, ++inFlight);
          await Promise.resolve();
          inFlight -= 1;
          return { errorCode: 0 };
        },
      },
      { requestsInFlightMax: 10 },
    );
    const client = await rig.connect();
    const replies = Array.from({ length: 10_000 }, () => client.call(Heartbeat, 4, beat('g')));
    await rig.run(Promise.all(replies));
    expect(most).toBeLessThanOrEqual(10);
    expect(rig.server.status.requests).toBe(10_000);
  });

  test('a request without a reply leaves no hole (acks=0)', async () => {
    const rig = await serverWith({
      beat: ({ groupId }) => (groupId === 'silent' ? undefined : { errorCode: 0 }),
    });
    const client = await rig.connect();
    const before = client.call(Heartbeat, 4, beat('one'));
    client.send(HeartbeatRequest, 4, beat('silent'));
    const after = client.call(Heartbeat, 4, beat('two'));
    await rig.run(Promise.all([before, after]));
  });

  test('segments of one byte and frames glued together read the same', async () => {
    const rig = await serverWith({});
    const client = await rig.connect();
    rig.network.maxChunkBytes = 1;
    client.sendBytes(
      Buffer.concat([
        client.frame(HeartbeatRequest, 4, beat('a'), 1),
        client.frame(HeartbeatRequest, 0, beat('b'), 2),
      ]),
    );
    expect(await rig.run(client.nextFrame())).toHaveLength(4 + 1 + 4 + 2 + 1);
    expect(await rig.run(client.nextFrame())).toHaveLength(4 + 2);
  });

  test('replies that finish in one turn leave in one send', async () => {
    const gate = Promise.withResolvers<undefined>();
    const rig = await serverWith({
      beat: async (_request, context) => {
        context.startNext();
        await gate.promise;
        return { errorCode: 0 };
      },
    });
    const client = await rig.connect();
    rig.network.maxDelayMs = 0;
    const replies = Array.from({ length: 20 }, () => client.call(Heartbeat, 4, beat('g')));
    await rig.env.clock.advance(50);
    gate.resolve(undefined);
    await rig.run(Promise.all(replies));
    expect(rig.server.status.sends).toBe(1);
  });
});

describe('memory', () => {
  test('requests wait for memory, and go on when others give it back', async () => {
    const gates: (() => void)[] = [];
    const rig = await serverWith(
      { sync: () => new Promise((resolve) => gates.push(() => resolve(reply(1)))) },
      { requestMemoryBytes: 128 * KIB },
    );
    const clients = await Promise.all([rig.connect(), rig.connect(), rig.connect()]);
    const replies = clients.map((client) => client.call(SyncGroup, 3, sync('g', 60 * KIB)));
    await rig.env.clock.advance(1000);
    expect(gates).toHaveLength(2);
    expect(rig.server.requestMemoryBytes).toBeLessThanOrEqual(128 * KIB);
    gates.shift()?.();
    await rig.env.clock.advance(1000);
    expect(gates).toHaveLength(2);
    for (const open of gates) open();
    await rig.run(Promise.all(replies));
  });

  test('releaseRequest frees the frame while the request is still being worked on', async () => {
    const rig = await serverWith({
      sync: async (_request, context) => {
        context.releaseRequest();
        await rig.env.clock.sleep(1000);
        return reply(1);
      },
    });
    const client = await rig.connect();
    const answered = client.call(SyncGroup, 3, sync('g', 100 * KIB));
    await rig.env.clock.advance(500);
    expect(rig.server.requestMemoryBytes).toBe(0);
    await rig.run(answered);
  });

  test('regression P11: a frame still used by a handler is not recycled when its connection dies', async () => {
    const gate = Promise.withResolvers<undefined>();
    const seen: number[] = [];
    const rig = await serverWith({
      sync: async ({ groupId, assignments }) => {
        if (groupId === 'first') {
          await gate.promise;
          seen.push(...(assignments[0]?.assignment ?? []));
        }
        return reply(1);
      },
    });
    const first = await rig.connect();
    const body = {
      ...sync('first'),
      assignments: [{ memberId: 'm', assignment: new Uint8Array(2000).fill(1) }],
    };
    first.send(SyncGroupRequest, 3, body);
    await rig.env.clock.advance(100);
    first.destroy();
    await rig.env.clock.advance(100);
    const second = await rig.connect();
    const other = {
      ...sync('other'),
      assignments: [{ memberId: 'm', assignment: new Uint8Array(2000).fill(2) }],
    };
    await rig.run(second.call(SyncGroup, 3, other));
    gate.resolve(undefined);
    await rig.env.clock.advance(100);
    expect(seen).toHaveLength(2000);
    expect(seen.every((byte) => byte === 1)).toBe(true);
  });

  test('afterSent runs once: after the reply left, or when the connection is gone', async () => {
    const released: string[] = [];
    const rig = await serverWith({
      sync: async ({ groupId }, context) => {
        context.afterSent(() => released.push(groupId));
        if (groupId === 'late') await rig.env.clock.sleep(1000);
        context.afterSent(() => released.push(`${groupId}+`));
        return reply(100);
      },
    });
    const [first, second] = [await rig.connect(), await rig.connect()];
    await rig.run(first.call(SyncGroup, 3, sync('sent')));
    expect(released).toEqual(['sent', 'sent+']);
    second.send(SyncGroupRequest, 3, sync('late'));
    await rig.env.clock.advance(100);
    second.destroy();
    await rig.env.clock.advance(2000);
    expect(released).toEqual(['sent', 'sent+', 'late', 'late+']);
  });
});

describe('slow and silent clients', () => {
  test('who does not take replies gets no further request started, and is closed at the deadline', async () => {
    let started = 0;
    const rig = await serverWith(
      {
        sync: () => {
          started += 1;
          return reply(200 * KIB);
        },
      },
      { unsentMaxBytes: 64 * KIB, sendDeadlineMs: 10_000 },
    );
    const client = await rig.connect();
    client.pause();
    for (let n = 0; n < 50; n += 1) client.send(SyncGroupRequest, 3, sync('g'));
    await rig.env.clock.advance(5000);
    expect(started).toBeLessThanOrEqual(2);
    expect(client.isClosed).toBe(false);
    await rig.env.clock.advance(7000);
    expect(rig.closes('send-deadline')).toBe(1);
  });

  test('a client that takes its replies again goes on where it was', async () => {
    const rig = await serverWith({ sync: () => reply(200 * KIB) }, { unsentMaxBytes: 64 * KIB });
    const client = await rig.connect();
    client.pause();
    const replies = Array.from({ length: 10 }, () => client.call(SyncGroup, 3, sync('g')));
    await rig.env.clock.advance(5000);
    client.resume();
    const bodies = await rig.run(Promise.all(replies));
    expect(bodies.map(({ assignment }) => assignment.length)).toEqual(Array(10).fill(200 * KIB));
  });

  test('slowloris: a request that drips in is closed at its deadline, however often a byte comes', async () => {
    const rig = await serverWith({}, { frameDeadlineMs: 10_000 });
    const client = await rig.connect();
    const frame = client.frame(HeartbeatRequest, 4, beat('a long enough group name'));
    for (let at = 0; at < 20 && !client.isClosed; at += 1) {
      client.sendBytes(frame.subarray(at, at + 1));
      await rig.env.clock.advance(1000);
    }
    expect(rig.closes('frame-deadline')).toBe(1);
  });

  test('a silent connection is closed after the idle deadline, a used one is not', async () => {
    const rig = await serverWith({}, { idleDeadlineMs: 10_000 });
    const [silent, used] = [await rig.connect(), await rig.connect()];
    for (let n = 0; n < 5; n += 1) {
      await rig.env.clock.advance(5000);
      await rig.run(used.call(Heartbeat, 4, beat('g')));
    }
    expect([silent.isClosed, used.isClosed]).toEqual([true, false]);
    expect(rig.closes('idle-deadline')).toBe(1);
  });

  test('a parked request is not idleness', async () => {
    const rig = await serverWith(
      {
        beat: async () => {
          await rig.env.clock.sleep(60_000);
          return { errorCode: 0 };
        },
      },
      { idleDeadlineMs: 10_000 },
    );
    const client = await rig.connect();
    await rig.run(client.call(Heartbeat, 4, beat('g')));
  });
});

describe('bad input closes its connection and harms no other', () => {
  const header = (apiKey: number, version: number, rest: number[] = []): Uint8Array => {
    const body = Buffer.alloc(8);
    body.writeInt16BE(apiKey, 0);
    body.writeInt16BE(version, 2);
    return Buffer.concat([body, Buffer.from(rest)]);
  };
  const framed = (content: Uint8Array): Uint8Array => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(content.length);
    return Buffer.concat([length, content]);
  };
  test.each<[string, Uint8Array, CloseReason]>([
    ['length below zero', Buffer.from([0xff, 0, 0, 0]), 'frame-length'],
    ['length over the cap', Buffer.from([0x06, 0x40, 0, 1]), 'frame-length'],
    ['TLS bytes on a plain port', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]), 'frame-length'],
    ['an HTTP verb', Buffer.from('POST / HTTP/1.0\r\n\r\n'), 'frame-length'],
    ['an unknown api key', framed(header(999, 0, [0, 0])), 'unsupported-request'],
    ['a negative api key', framed(header(-1, 0, [0, 0])), 'unsupported-request'],
    ['a known API without a handler', framed(header(3, 1, [0, 0])), 'unsupported-request'],
    ['an unknown version', framed(header(12, 5, [0, 0, 0])), 'unsupported-request'],
    ['a negative version', framed(header(12, -1, [0, 0])), 'unsupported-request'],
    ['a header cut short', framed(header(12, 4)), 'malformed-request'],
    ['a client id longer than the frame', framed(header(12, 0, [0x7f, 0xff])), 'malformed-request'],
    ['a body cut short', framed(header(12, 0, [0, 0, 0, 5, 0x61])), 'malformed-request'],
    [
      'an array longer than the frame',
      framed(header(14, 0, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff])),
      'malformed-request',
    ],
    [
      'a flood of tagged fields',
      framed(header(12, 4, [0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f])),
      'malformed-request',
    ],
  ])('%s', async (_name, bytes, reason) => {
    const rig = await serverWith({});
    const [bad, good] = [await rig.connect(), await rig.connect()];
    bad.sendBytes(bytes);
    await rig.run(bad.gone);
    expect(rig.closes(reason)).toBe(1);
    expect(await rig.run(good.call(Heartbeat, 4, beat('g')))).toMatchObject({ errorCode: 0 });
  });

  test('bytes behind a request are ignored: librdkafka leaves some', async () => {
    const rig = await serverWith({});
    const client = await rig.connect();
    const frame = client.frame(HeartbeatRequest, 4, beat('g'), 1).subarray(4);
    client.sendBytes(framed(Buffer.concat([frame, Buffer.from([1, 2, 3])])));
    expect(await rig.run(client.nextFrame())).toHaveLength(4 + 1 + 4 + 2 + 1);
  });

  test('a client id with control characters is only text', async () => {
    const ids: (string | null)[] = [];
    const rig = await serverWith({
      beat: (_request, context) => {
        ids.push(context.clientId);
        return { errorCode: 0 };
      },
    });
    const evil = '\r\n\u001b[2J{"level":"info"}';
    const client = await rig.run(KafkaClient.connect(rig.network, ADDRESS, evil));
    const nameless = await rig.run(KafkaClient.connect(rig.network, ADDRESS, null));
    await rig.run(client.call(Heartbeat, 4, beat('g')));
    await rig.run(nameless.call(Heartbeat, 4, beat('g')));
    expect(ids).toEqual([evil, null]);
  });

  test('what a hostile peer causes is logged a few times, then only counted', async () => {
    const rig = await serverWith({}, { connectionsPerSecondMax: 1000 });
    for (let n = 0; n < 50; n += 1) {
      const client = await rig.connect();
      client.sendBytes(Buffer.from([0xff, 0xff, 0xff, 0xff]));
      await rig.run(client.gone);
    }
    expect(rig.closes('frame-length')).toBe(50);
    expect(rig.env.events.named('server.connection-closed').length).toBeLessThanOrEqual(20);
  });
});

describe('ApiVersions', () => {
  const ApiVersions = [ApiVersionsRequest, ApiVersionsResponse] as const;
  const named = (
    clientSoftwareName: string,
    clientSoftwareVersion = '1.0',
  ): Encodable<typeof ApiVersionsRequest> => ({
    clientSoftwareName,
    clientSoftwareVersion,
  });

  test.each([0, 1, 2, 3, 4])('version %i lists exactly what is served', async (version) => {
    const rig = await serverWith({});
    const client = await rig.connect();
    const body = await rig.run(client.call(ApiVersions, version, named('librdkafka', '2.14.2-rc1')));
    expect(body.errorCode).toBe(0);
    expect(body.apiKeys).toEqual([
      { apiKey: 12, minVersion: 0, maxVersion: 4 },
      { apiKey: 14, minVersion: 0, maxVersion: 5 },
      { apiKey: 18, minVersion: 0, maxVersion: 4 },
    ]);
  });

  test('a version that is too new is answered in layout 0 with error 35 and its own row', async () => {
    const rig = await serverWith({});
    const client = await rig.connect();
    const frame = client.frame(ApiVersionsRequest, 4, named('apache-kafka-java', '4.4.0'), 9);
    new DataView(frame.buffer, frame.byteOffset).setInt16(6, 5);
    client.sendBytes(frame);
    const reply = await rig.run(client.nextFrame());
    // correlation id · error 35 · one row: key 18, versions 0 to 4
    expect([...reply]).toEqual([0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    expect((await rig.run(client.call(ApiVersions, 0, {}))).errorCode).toBe(0);
  });

  test.each([
    ['', '1.0'],
    ['-java', '1.0'],
    ['a b', '1.0'],
    ['java', ''],
    ['java', '1.0\n'],
    ['java.', '1'],
  ])('a client that calls itself %j %j is refused with INVALID_REQUEST', async (name, version) => {
    const rig = await serverWith({});
    const client = await rig.connect();
    expect(await rig.run(client.call(ApiVersions, 3, named(name, version)))).toMatchObject({
      errorCode: 42,
      apiKeys: [],
    });
  });
});

describe('faults of a handler', () => {
  const failing = (error: Error): Beat => {
    return ({ groupId }) => {
      if (groupId === 'sync') throw error;
      return groupId === 'async' ? Promise.reject(error) : { errorCode: 0 };
    };
  };

  test.each(['sync', 'async'])(
    'are answered with UNKNOWN_SERVER_ERROR where the response can (%s)',
    async (how) => {
      const rig = await serverWith({ beat: failing(new Error('boom')), failure: true });
      const client = await rig.connect();
      expect(await rig.run(client.call(Heartbeat, 4, beat(how)))).toMatchObject({ errorCode: -1 });
      expect(await rig.run(client.call(Heartbeat, 4, beat('fine')))).toMatchObject({ errorCode: 0 });
      expect(rig.server.status.failures).toBe(1);
      expect(rig.env.events.named('server.request-failed')).toHaveLength(1);
    },
  );

  test.each(['sync', 'async'])('close the connection where it cannot (%s)', async (how) => {
    const rig = await serverWith({ beat: failing(new Error('boom')) });
    const client = await rig.connect();
    client.send(HeartbeatRequest, 4, beat(how));
    await rig.run(client.gone);
    expect(rig.closes('failed-request')).toBe(1);
    expect(rig.fatal).toEqual([]);
  });

  test.each(['sync', 'async'])('a broken invariant goes to onFatal (%s)', async (how) => {
    const rig = await serverWith({
      beat: failing(new InvariantViolation('I9', 'served too much')),
      failure: true,
    });
    const client = await rig.connect();
    client.send(HeartbeatRequest, 4, beat(how));
    await rig.run(client.gone);
    expect(rig.fatal.map(({ invariant }) => invariant)).toEqual(['I9']);
  });

  test('an error that wants no reply closes', async () => {
    const rig = await serverWith({ beat: failing(new UnanswerableError('acks=0')), failure: true });
    const client = await rig.connect();
    client.send(HeartbeatRequest, 4, beat('async'));
    await rig.run(client.gone);
    expect(rig.closes('unanswerable-error')).toBe(1);
  });

  test('an answer that its version has no place for is a fault, not a crash', async () => {
    const rig = await serverWith({ beat: () => ({ errorCode: 1e9 }), failure: true });
    const client = await rig.connect();
    expect(await rig.run(client.call(Heartbeat, 4, beat('g')))).toMatchObject({ errorCode: -1 });
  });
});

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
    await expect(rig.connect()).rejects.toThrow('ECONNREFUSED');
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
