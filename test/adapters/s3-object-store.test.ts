import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { S3ObjectStore } from '../../broker-runtime/src/adapters/s3-object-store.ts';
import { systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { crc32c } from '../../broker-runtime/src/base/crc32c.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

/** A server that answers by script: what no S3 server can be made to say on demand. */
type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

const ABSENT = { kind: 'absent' } as const;
const SWAP = { kind: 'etag', etag: '"old"' } as const;
const BODY = new TextEncoder().encode('some bytes');

let server: http.Server;
let endpoint: string;
let answer: Answer;
let requests: { readonly request: IncomingMessage; readonly body: Buffer }[];
let store: S3ObjectStore;

const says =
  (status: number, code = ''): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(code === '' ? '' : `<Error><Code>${code}</Code><Message>scripted</Message></Error>`);
  };
const hangsUp: Answer = (request) => request.socket.destroy();

beforeEach(async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'id';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'secret';
  requests = [];
  server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      requests.push({ request, body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  store = new S3ObjectStore(systemEnv({ minLevel: 'error' }), { bucket: 'b', prefix: 'p', endpoint });
});
afterEach(async () => {
  await store.close();
  server.closeAllConnections();
  server.close();
});

describe('a put', () => {
  test('sends condition, length and CRC-32C, under the prefix, with the pieces in order', async () => {
    answer = (_request, response) => response.writeHead(200, { etag: '"new"' }).end();
    const pieces = [BODY.subarray(0, 4), BODY.subarray(4)];
    expect(await store.put('a/b', pieces, ABSENT)).toEqual({ outcome: 'committed', etag: '"new"' });
    expect(await store.put('a/b', [BODY], SWAP)).toEqual({ outcome: 'committed', etag: '"new"' });
    const crc = Buffer.alloc(4);
    crc.writeUInt32BE(crc32c(BODY));
    for (const { request, body } of requests) {
      expect(request.method).toBe('PUT');
      expect(request.url?.split('?')[0]).toBe('/b/p/a/b');
      expect(request.headers).toMatchObject({
        'content-length': String(BODY.length),
        'x-amz-checksum-crc32c': crc.toString('base64'),
      });
      expect(body.equals(BODY)).toBe(true);
    }
    expect(requests[0]?.request.headers['if-none-match']).toBe('*');
    expect(requests[1]?.request.headers['if-match']).toBe('"old"');
  });

  const rejected = (reason: string) => ({ outcome: 'rejected', reason });
  test.each([
    [412, 'PreconditionFailed', rejected('exists'), rejected('changed')],
    [409, 'ConditionalRequestConflict', { outcome: 'conflict' }, { outcome: 'conflict' }],
    [404, 'NoSuchKey', 'DENIED', rejected('missing')],
    [404, 'NoSuchBucket', 'DENIED', 'DENIED'],
    [403, 'AccessDenied', 'DENIED', 'DENIED'],
    [400, 'InvalidRequest', 'DENIED', 'DENIED'],
    [400, 'RequestTimeout', { outcome: 'unknown' }, { outcome: 'unknown' }],
    [409, 'ExistingObjectIsDirectory', 'DENIED', 'DENIED'],
    [301, 'PermanentRedirect', 'DENIED', 'DENIED'],
    [429, 'TooManyRequests', { outcome: 'unknown' }, { outcome: 'unknown' }],
    [500, 'InternalError', { outcome: 'unknown' }, { outcome: 'unknown' }],
    [503, 'SlowDown', { outcome: 'unknown' }, { outcome: 'unknown' }],
  ])(
    'answered %d %s is told apart, after exactly one request (P1, P2)',
    async (status, code, create, swap) => {
      answer = says(status, code);
      for (const [condition, expected] of [
        [ABSENT, create],
        [SWAP, swap],
      ] as const) {
        requests.length = 0;
        const putting = store.put('a', [BODY], condition);
        if (typeof expected === 'string') await expect(putting).rejects.toMatchObject({ code: expected });
        else expect(await putting).toMatchObject(expected);
        expect(requests).toHaveLength(1);
      }
    },
  );

  test('bug: copies of large bodies were bounded by nothing; now they wait, and small ones pass', async () => {
    const waiting: ServerResponse[] = [];
    answer = (request, response) => {
      if (request.url?.includes('small') === true) response.writeHead(200, { etag: '"s"' }).end();
      else waiting.push(response);
    };
    const piece = new Uint8Array(20 * 1024 * 1024);
    const puts = ['1', '2'].map((key) => store.put(key, [piece, piece], ABSENT));
    for (let n = 0; n < puts.length; n++) {
      while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      expect((await store.put('small', [BODY], ABSENT)).outcome).toBe('committed');
      expect(requests.filter(({ body }) => body.length > BODY.length)).toHaveLength(n + 1);
      waiting.pop()?.writeHead(200, { etag: '"l"' }).end();
      await puts[n];
    }
  });

  test('whose answer is lost is UNKNOWN, after exactly one request', async () => {
    answer = hangsUp;
    expect(await store.put('a', [BODY], ABSENT)).toMatchObject({ outcome: 'unknown' });
    expect(requests).toHaveLength(1);
  });

  test('that is never answered is cut off, and the connection is gone before it settles (P11)', async () => {
    const { clock, random, events } = simEnv(1);
    const patient = new S3ObjectStore({ clock, random, events }, { bucket: 'b', endpoint });
    const arrived = Promise.withResolvers<IncomingMessage>();
    answer = (request) => arrived.resolve(request);
    const putting = patient.put('a', [BODY], ABSENT);
    const { socket } = await arrived.promise;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await clock.advance(9_000);
    expect(await Promise.race([putting, Promise.resolve('still waiting')])).toBe('still waiting');
    await clock.advance(2_000);
    expect(await putting).toMatchObject({ outcome: 'unknown' });
    await closed;
    await patient.close();
  });
});

describe('a read', () => {
  test.each([
    [503, 'SlowDown', 'UNAVAILABLE', 4],
    [500, 'InternalError', 'UNAVAILABLE', 4],
    [403, 'AccessDenied', 'DENIED', 1],
    [404, 'NoSuchKey', 'NOT_FOUND', 1],
    [404, 'NoSuchBucket', 'DENIED', 1],
    [416, 'InvalidRange', 'INVALID_RANGE', 1],
  ])(
    'answered %d %s fails with its code after as many requests as make sense',
    async (status, name, code, count) => {
      answer = says(status, name);
      await expect(store.get('a', { start: 0, length: 4 })).rejects.toMatchObject({ code });
      expect(requests).toHaveLength(count);
    },
  );

  test('is repeated until it succeeds: a lost answer, a cut-off body, then the bytes', async () => {
    const script: Answer[] = [
      hangsUp,
      (request, response) => {
        response.writeHead(200, { etag: '"e"', 'content-length': String(BODY.length) });
        response.write(BODY.subarray(0, 3), () => request.socket.destroy());
      },
      (_request, response) =>
        response.writeHead(200, { etag: '"e"', 'content-length': String(BODY.length) }).end(BODY),
    ];
    answer = (...call) => script.shift()?.(...call);
    expect(await store.get('a')).toEqual({ body: BODY, etag: '"e"', sizeBytes: BODY.length });
    expect(requests).toHaveLength(3);
  });

  test('that gets fewer bytes than its range is INVALID_RANGE, never a short answer', async () => {
    answer = (_request, response) =>
      response
        .writeHead(206, { etag: '"e"', 'content-length': '10', 'content-range': 'bytes 5-14/15' })
        .end(BODY);
    await expect(store.get('a', { start: 5, length: 20 })).rejects.toMatchObject({ code: 'INVALID_RANGE' });
    expect(await store.get('a', { start: 5, length: 10 })).toMatchObject({ body: BODY, sizeBytes: 15 });
  });

  test('a delete that S3 did in part only is repeated', async () => {
    const xml = (inner: string) => `<DeleteResult>${inner}</DeleteResult>`;
    const script = [xml('<Error><Key>p/a</Key><Code>InternalError</Code></Error>'), xml('')];
    answer = (_request, response) =>
      response.writeHead(200, { 'content-type': 'application/xml' }).end(script.shift());
    await store.delete(['a', 'b']);
    expect(requests).toHaveLength(2);
    expect(requests[0]?.body.toString()).toContain('<Key>p/a</Key>');
  });
});
