import { describe, expect, test } from '@jest/globals';
import { InvariantViolation } from '../../broker-runtime/src/base/errors.ts';
import { ControllerUnreachableError } from '../../broker-runtime/src/broker/remote-commands.ts';
import { UnanswerableError } from '../../broker-runtime/src/server/api.ts';
import type { CloseReason } from '../../broker-runtime/src/server/close-reason.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import {
  ApiVersionsRequest,
  ApiVersionsResponse,
} from '../../broker-runtime/src/wire/messages/api-versions.ts';
import { HeartbeatRequest } from '../../broker-runtime/src/wire/messages/heartbeat.ts';
import type { Encodable } from '../../broker-runtime/src/wire/schema.ts';
import { KafkaClient } from '../simulation/world/kafka-client.ts';
import { ADDRESS, type Beat, beat, Heartbeat, serverWith } from './connection-rig.ts';

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

  test('a controller that cannot be reached is a timeout, which clients repeat', async () => {
    const rig = await serverWith({
      beat: failing(new ControllerUnreachableError('no answer')),
      failure: true,
    });
    const client = await rig.connect();
    expect(await rig.run(client.call(Heartbeat, 4, beat('async')))).toMatchObject({
      errorCode: Errors.REQUEST_TIMED_OUT,
    });
  });

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
