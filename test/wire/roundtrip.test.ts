import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { API_VERSIONS, ApiKey } from '../../broker-runtime/src/wire/api-keys.ts';
import {
  DecodeError,
  MessageReader,
  MessageWriter,
  decodeMessage,
  encodeMessage,
  joinPieces,
} from '../../broker-runtime/src/wire/codec.ts';
import type { Message } from '../../broker-runtime/src/wire/schema.ts';
import { ALL_MESSAGES, ALL_VERSIONS, MESSAGE_FILES } from './all-messages.ts';
import { LONG, SHORT, messageArbitrary, type Struct } from './arbitraries.ts';

/** Nearly four hundred message versions run these many times each. Shrinking is off: the seed says enough. */
const RUNS = { numRuns: 5, endOnFailure: true } as const;
/** Of those that try every byte. */
const BYTE_RUNS = { numRuns: 2, endOnFailure: true } as const;

// These tests make a hundred thousand errors; their stack traces would take most of the time.
Error.stackTraceLimit = 2;

function encode(message: Message, version: number, value: Struct): Uint8Array {
  const writer = new MessageWriter();
  encodeMessage(message, version, writer, value);
  const { pieces, sizeBytes } = writer.finish();
  return joinPieces(pieces, sizeBytes);
}

/** Anything else than a value or a DecodeError comes through. */
function decodes(message: Message, version: number, bytes: Uint8Array): boolean {
  try {
    decodeMessage(message, version, new MessageReader(bytes));
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

describe('every message in every version', () => {
  test('is in this test', () => {
    const folder = path.join(import.meta.dirname, '../../broker-runtime/src/wire/messages');
    const files = readdirSync(folder).map((name) => path.basename(name, '.ts'));
    expect(Object.keys(MESSAGE_FILES).sort()).toEqual(files.sort());
  });

  test.each(ALL_VERSIONS)(
    '%s v%i decodes to what was encoded, to the last byte',
    (_name, version, message) => {
      fc.assert(
        fc.property(messageArbitrary(message, version, LONG), (value) => {
          const bytes = encode(message, version, value);
          const reader = new MessageReader(bytes);
          expect(decodeMessage(message, version, reader)).toEqual(value);
          expect(reader.remaining).toBe(0);
        }),
        RUNS,
      );
    },
  );

  test.each(ALL_VERSIONS)('%s v%i cut at any byte is a DecodeError', (_name, version, message) => {
    fc.assert(
      fc.property(messageArbitrary(message, version, SHORT), (value) => {
        const bytes = encode(message, version, value);
        for (let length = 0; length < bytes.length; length++) {
          if (decodes(message, version, bytes.subarray(0, length))) {
            throw new Error(`decodes though cut at byte ${length} of ${bytes.length}`);
          }
        }
      }),
      BYTE_RUNS,
    );
  });

  test.each(ALL_VERSIONS)(
    '%s v%i with any byte damaged decodes or is a DecodeError',
    (_name, version, message) => {
      fc.assert(
        fc.property(
          messageArbitrary(message, version, SHORT),
          fc.integer({ min: 1, max: 255 }),
          (value, flip) => {
            const bytes = encode(message, version, value);
            for (let at = 0; at < bytes.length; at++) {
              const original = bytes[at] ?? 0;
              bytes[at] = original ^ flip;
              decodes(message, version, bytes);
              bytes[at] = original;
            }
          },
        ),
        BYTE_RUNS,
      );
    },
  );
});

describe('the table of versions', () => {
  test('serves only versions whose request and response are known', () => {
    for (const [key, api] of API_VERSIONS) {
      const tables = ALL_MESSAGES.filter((message) => message.apiKey === key);
      expect(tables.map((table) => table.name)).toEqual([`${api.name}Request`, `${api.name}Response`]);
      for (const table of tables) {
        expect(table.versions.from).toBeLessThanOrEqual(api.min);
        expect(table.versions.to).toBeGreaterThanOrEqual(api.max);
        const flexibleFrom = table.flexible.from > table.flexible.to ? Infinity : table.flexible.from;
        expect([table.name, flexibleFrom]).toEqual([table.name, api.flexibleFrom]);
      }
    }
    expect(API_VERSIONS.size).toBe(Object.keys(ApiKey).length);
  });

  test('advertises Produce from 0 though it serves from 3, so that old librdkafka compresses', () => {
    expect(API_VERSIONS.get(ApiKey.Produce)).toMatchObject({ advertisedMin: 0, min: 3, max: 13 });
  });
});
