import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type {
  ByteRange,
  ListPage,
  ObjectStore,
  PutCondition,
} from '../../broker-runtime/src/ports/object-store.ts';

export interface ObjectStoreUnderTest {
  readonly store: ObjectStore;
  /** Another client of the same objects, as another broker would be. */
  readonly other: ObjectStore;
  /** After the stores were closed. */
  stop(): Promise<void>;
}

export interface KnownLimits {
  /** Servers that keep objects as plain files refuse a key that continues another past a slash. */
  readonly noKeyBelowAnother?: boolean;
  /** What stands before a key in the store below takes its room. @default 1024 */
  readonly keyBytesMax?: number;
}

const ABSENT: PutCondition = { kind: 'absent' };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const numbered = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, n) => (n * 31 + (n >> 8)) & 0xff);

/**
 * What `ports/object-store.ts` promises, as tests that every adapter passes: one contract, several stores.
 * Each test works under a prefix of its own, so a store that is shared and not empty is fine.
 */
export function describeObjectStore(
  name: string,
  start: () => Promise<ObjectStoreUnderTest>,
  limits: KnownLimits = {},
): void {
  const below = limits.noKeyBelowAnother === true ? '_x/' : '/';
  describe(`${name} as an object store`, () => {
    let subject: ObjectStoreUnderTest;
    let store: ObjectStore;
    const prefix = (): string => `${randomUUID()}/`;

    beforeAll(async () => {
      subject = await start();
      store = subject.store;
    }, 900_000); // The server may have to be compiled first.

    afterAll(async () => {
      await store.close();
      await expect(store.head('a')).rejects.toMatchObject({ code: 'CLOSED' });
      await subject.other.close();
      await subject.stop();
    });

    async function commit(key: string, body: Uint8Array, condition: PutCondition = ABSENT): Promise<string> {
      const outcome = await store.put(key, [body], condition);
      if (outcome.outcome !== 'committed') throw new Error(`put of ${key} ended ${JSON.stringify(outcome)}`);
      return outcome.etag;
    }

    async function listAll(under: string, limit: number): Promise<string[]> {
      const keys: string[] = [];
      let page: ListPage | undefined;
      do {
        const after: string | undefined = page?.next;
        page = await store.list(under, { limit, ...(after === undefined ? {} : { after }) });
        expect(page.objects.length).toBeLessThanOrEqual(limit);
        keys.push(...page.objects.map((object) => object.key));
      } while (page.next !== undefined);
      return keys;
    }

    describe('put if absent', () => {
      test('stores the bytes, which every client then reads, with one tag everywhere', async () => {
        const under = prefix();
        const key = `${under}a`;
        const etag = await commit(key, bytes('hello'));
        for (const client of [store, subject.other]) {
          expect(await client.get(key)).toEqual({ body: bytes('hello'), etag, sizeBytes: 5 });
          expect(await client.head(key)).toEqual({ key, etag, sizeBytes: 5 });
          expect(await client.list(under)).toEqual({
            objects: [{ key, etag, sizeBytes: 5 }],
            next: undefined,
          });
        }
      });

      test('is rejected by an occupied key, whose body stays, even when the bytes are the same', async () => {
        const key = `${prefix()}a`;
        const etag = await commit(key, bytes('first'));
        for (const text of ['other', 'first']) {
          expect(await subject.other.put(key, [bytes(text)], ABSENT)).toEqual({
            outcome: 'rejected',
            reason: 'exists',
          });
        }
        expect(await store.get(key)).toEqual({ body: bytes('first'), etag, sizeBytes: 5 });
      });

      test('has exactly one winner among many at once, and the winner is what is stored', async () => {
        const key = `${prefix()}a`;
        const attempts = Array.from({ length: 12 }, (_, n) => n);
        const outcomes = await Promise.all(
          attempts.map((n) => (n % 2 === 0 ? store : subject.other).put(key, [bytes(`writer ${n}`)], ABSENT)),
        );
        const winners = attempts.filter((n) => outcomes[n]?.outcome === 'committed');
        expect(winners).toHaveLength(1);
        expect((await store.get(key)).body).toEqual(bytes(`writer ${winners[0] ?? NaN}`));
        for (const outcome of outcomes)
          expect(['committed', 'rejected', 'conflict']).toContain(outcome.outcome);
      });

      test('is free again after delete', async () => {
        const key = `${prefix()}a`;
        await commit(key, bytes('1'));
        await store.delete([key]);
        await commit(key, bytes('2'));
        expect((await store.get(key)).body).toEqual(bytes('2'));
      });
    });

    describe('compare-and-swap', () => {
      test('replaces the body it names and gives it a new tag; the old tag is spent', async () => {
        const key = `${prefix()}lease`;
        const first = await commit(key, bytes('one'));
        const second = await commit(key, bytes('two'), { kind: 'etag', etag: first });
        expect(second).not.toBe(first);
        expect(await subject.other.get(key)).toEqual({ body: bytes('two'), etag: second, sizeBytes: 3 });
        expect(await store.put(key, [bytes('three')], { kind: 'etag', etag: first })).toEqual({
          outcome: 'rejected',
          reason: 'changed',
        });
        expect((await store.get(key)).body).toEqual(bytes('two'));
      });

      test('of a key that does not exist is rejected as missing, and creates nothing', async () => {
        const under = prefix();
        const etag = await commit(`${under}other`, bytes('x'));
        expect(await store.put(`${under}lease`, [bytes('y')], { kind: 'etag', etag })).toEqual({
          outcome: 'rejected',
          reason: 'missing',
        });
        expect(await listAll(under, 10)).toEqual([`${under}other`]);
      });

      test('has exactly one winner among many at once', async () => {
        const key = `${prefix()}lease`;
        const etag = await commit(key, bytes('start'));
        const attempts = Array.from({ length: 12 }, (_, n) => n);
        const outcomes = await Promise.all(
          attempts.map((n) =>
            (n % 2 === 0 ? store : subject.other).put(key, [bytes(`writer ${n}`)], { kind: 'etag', etag }),
          ),
        );
        const winners = attempts.filter((n) => outcomes[n]?.outcome === 'committed');
        expect(winners).toHaveLength(1);
        expect((await store.get(key)).body).toEqual(bytes(`writer ${winners[0] ?? NaN}`));
      });
    });

    describe('bodies', () => {
      test('are the pieces in order: none, empty ones, views, many', async () => {
        const under = prefix();
        const memory = numbered(5000);
        const many = Array.from({ length: 1500 }, (_, n) => memory.subarray(n, n + 3));
        const cases: readonly (readonly Uint8Array[])[] = [
          [],
          [new Uint8Array(0)],
          [memory.subarray(7, 19), new Uint8Array(0), memory.subarray(1000, 3000)],
          many,
        ];
        for (const [index, pieces] of cases.entries()) {
          const key = `${under}${index}`;
          expect(await store.put(key, pieces, ABSENT)).toMatchObject({ outcome: 'committed' });
          const { body, sizeBytes } = await store.get(key);
          const expected = Buffer.concat(pieces);
          expect(Buffer.compare(body, expected)).toBe(0);
          expect(sizeBytes).toBe(expected.length);
        }
      });

      test('of several MiB come back whole', async () => {
        const key = `${prefix()}big`;
        const body = numbered(5 * 1024 * 1024 + 13);
        await commit(key, body);
        expect(Buffer.compare((await store.get(key)).body, body)).toBe(0);
      });

      test('belong to the store while stored and to the caller when read', async () => {
        const key = `${prefix()}a`;
        const mine = bytes('as it was');
        await commit(key, mine);
        mine.fill(0);
        const read = await store.get(key);
        expect(read.body).toEqual(bytes('as it was'));
        read.body.fill(0);
        expect((await store.get(key)).body).toEqual(bytes('as it was'));
      });
    });

    describe('ranges', () => {
      const BODY = numbered(1000);
      let key: string;
      beforeAll(async () => {
        key = `${prefix()}ranged`;
        await commit(key, BODY);
      });

      test.each<[string, ByteRange, number, number]>([
        ['the first byte', { start: 0, length: 1 }, 0, 1],
        ['everything', { start: 0, length: 1000 }, 0, 1000],
        ['a middle part', { start: 100, length: 300 }, 100, 400],
        ['the last byte', { start: 999, length: 1 }, 999, 1000],
        ['a suffix', { start: -64, length: 64 }, 936, 1000],
        ['a suffix of everything', { start: -1000, length: 1000 }, 0, 1000],
      ])('%s', async (_what, range, from, to) => {
        const { body, sizeBytes } = await store.get(key, range);
        expect(body).toEqual(BODY.subarray(from, to));
        expect(sizeBytes).toBe(1000);
      });

      test.each<[string, ByteRange]>([
        ['starting at the end', { start: 1000, length: 1 }],
        ['starting past the end', { start: 5000, length: 10 }],
        ['longer than what is left', { start: 990, length: 11 }],
        ['a suffix longer than the object', { start: -1001, length: 1001 }],
        ['of no bytes', { start: 10, length: 0 }],
        ['a suffix that does not reach the end', { start: -10, length: 5 }],
        ['with a fraction', { start: 0.5, length: 1 }],
      ])('%s is INVALID_RANGE, never a short answer', async (_what, range) => {
        await expect(store.get(key, range)).rejects.toMatchObject({ code: 'INVALID_RANGE' });
      });

      test('of an empty object is INVALID_RANGE, of a missing one NOT_FOUND', async () => {
        const under = prefix();
        await commit(`${under}empty`, new Uint8Array(0));
        for (const range of [
          { start: 0, length: 1 },
          { start: -1, length: 1 },
        ]) {
          await expect(store.get(`${under}empty`, range)).rejects.toMatchObject({ code: 'INVALID_RANGE' });
          await expect(store.get(`${under}missing`, range)).rejects.toMatchObject({ code: 'NOT_FOUND' });
        }
      });
    });

    test('a missing key is NOT_FOUND for get and undefined for head', async () => {
      const key = `${prefix()}nothing/here`;
      await expect(store.get(key)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      expect(await store.head(key)).toBeUndefined();
    });

    describe('list', () => {
      test('gives byte order over pages of any size; a key may continue another, also past a slash', async () => {
        const under = prefix();
        const names = [
          'a', 'a/b', 'a/b/c', 'a!', 'a-b', 'a.b', 'a0', 'aB', 'ab', 'A', 'B/a', 'Z', '_', "x'", 'x(1)', 'x*',
          'meta/log/00000000000000000009', 'meta/log/00000000000000000010', 'meta/snap/1', 'n'.repeat(98),
          `${'n'.repeat(98)}/m`, 'N'.repeat(100),
        ]; // prettier-ignore
        const keys = names.map((text) => under + text.replaceAll('/', below));
        for (const key of keys) await commit(key, bytes(key));
        const sorted = [...keys].sort((a, b) => Buffer.compare(bytes(a), bytes(b)));
        for (const limit of [1, 2, 7, 1000]) expect(await listAll(under, limit)).toEqual(sorted);
        for (const part of [
          'a',
          'a/',
          'meta/l',
          'meta/log/',
          'zzz',
          'a/b/c',
          'meta/log/0000000000000000001',
        ]) {
          expect(await listAll(under + part, 3)).toEqual(
            sorted.filter((key) => key.startsWith(under + part)),
          );
        }
        for (const after of ['a', 'a/', 'a/b', 'meta', 'meta/log/00000000000000000009', 'zzz', '!']) {
          const page = await store.list(under, { after: under + after });
          expect(page.objects.map((object) => object.key)).toEqual(
            sorted.filter((key) => key > under + after),
          );
        }
      });

      test('of a prefix with nothing under it is one empty page', async () => {
        expect(await store.list(prefix())).toEqual({ objects: [], next: undefined });
      });

      test('sees each write and delete at once', async () => {
        const under = prefix();
        await commit(`${under}a`, bytes('1'));
        await commit(`${under}b`, bytes('2'));
        await subject.other.delete([`${under}a`]);
        expect(await listAll(under, 10)).toEqual([`${under}b`]);
      });
    });

    describe('delete', () => {
      test('takes many keys, and those that do not exist, repeatedly', async () => {
        const under = prefix();
        const keys = Array.from({ length: 30 }, (_, n) => `${under}d/${n}`);
        await Promise.all(keys.slice(0, 20).map((key) => commit(key, bytes(key))));
        await commit(`${under}kept`, bytes('kept'));
        await store.delete(keys);
        await store.delete(keys);
        await store.delete([]);
        expect(await listAll(under, 1000)).toEqual([`${under}kept`]);
      });
    });

    test.each([
      ['empty', ''],
      ['absolute', '/a'],
      ['ending in a slash', 'a/'],
      ['with an empty segment', 'a//b'],
      ['pointing upwards', 'a/../../b'],
      ['of two dots', '..'],
      ['with a dot segment', './a'],
      ['with a NUL', 'a\0b'],
      ['with a backslash', 'a\\b'],
      ['with a space', 'a b'],
      ['not ASCII', 'ä'],
      ['with a percent sign', '%2e%2e'],
      ['too long', `${'a/'.repeat(512)}a`],
      ['with a segment too long', 'n'.repeat(101)],
    ])('a key %s is refused by every operation', async (_what, key) => {
      const refused = { code: 'INVARIANT_VIOLATION' };
      await expect(store.put(key, [], ABSENT)).rejects.toMatchObject(refused);
      await expect(store.get(key)).rejects.toMatchObject(refused);
      await expect(store.head(key)).rejects.toMatchObject(refused);
      await expect(store.delete([key])).rejects.toMatchObject(refused);
    });

    test('the longest key works', async () => {
      const under = prefix();
      const key = `${under}${'abcdefghi/'.repeat(93)}`.padEnd(limits.keyBytesMax ?? 1_024, 'x');
      await commit(key, bytes('deep'));
      expect((await store.get(key)).body).toEqual(bytes('deep'));
      expect(await listAll(under, 1)).toEqual([key]);
    });

    test('any sequence of operations answers as a map would', async () => {
      const name = fc.constantFrom('a', `a${below}b`, 'c');
      const step = fc.oneof(
        fc.record({ do: fc.constant('create' as const), name, body: fc.uint8Array({ maxLength: 20 }) }),
        fc.record({ do: fc.constant('swap' as const), name, stale: fc.boolean(), body: fc.uint8Array() }),
        fc.record({ do: fc.constant('delete' as const), name }),
        fc.record({ do: fc.constant('read' as const), name }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
          const under = prefix();
          const model = new Map<string, { body: Uint8Array; etag: string }>();
          for (const [index, action] of steps.entries()) {
            const key = under + action.name;
            const known = model.get(key);
            // Stores may use a hash of the content as tag: unequal bytes keep tags of the model apart.
            const tagged = 'body' in action ? Uint8Array.from([...action.body, index]) : new Uint8Array(0);
            if (action.do === 'create') {
              const outcome = await store.put(key, [tagged], ABSENT);
              expect(outcome.outcome).toBe(known === undefined ? 'committed' : 'rejected');
              if (outcome.outcome === 'committed') model.set(key, { body: tagged, etag: outcome.etag });
            } else if (action.do === 'swap') {
              const etag =
                known === undefined || action.stale ? '"00000000000000000000000000000000"' : known.etag;
              const outcome = await store.put(key, [tagged], { kind: 'etag', etag });
              if (known === undefined) expect(outcome).toEqual({ outcome: 'rejected', reason: 'missing' });
              else if (action.stale) expect(outcome).toEqual({ outcome: 'rejected', reason: 'changed' });
              else expect(outcome.outcome).toBe('committed');
              if (outcome.outcome === 'committed') model.set(key, { body: tagged, etag: outcome.etag });
            } else if (action.do === 'delete') {
              await store.delete([key]);
              model.delete(key);
            } else if (known === undefined) {
              await expect(store.get(key)).rejects.toMatchObject({ code: 'NOT_FOUND' });
            } else {
              expect(await store.get(key)).toEqual({ ...known, sizeBytes: known.body.length });
            }
          }
          expect(await listAll(under, 2)).toEqual([...model.keys()].sort());
        }),
        { numRuns: 20 },
      );
    });
  });
}
