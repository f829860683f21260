import { describe, expect, test } from '@jest/globals';
import {
  DecodeError,
  MAX_ELEMENTS_PER_MESSAGE,
  MAX_TAGGED_FIELDS,
  MessageReader,
  decodeMessage,
} from '../../broker-runtime/src/wire/codec.ts';
import { MetadataRequest } from '../../broker-runtime/src/wire/messages/metadata.ts';
import { ProduceRequest } from '../../broker-runtime/src/wire/messages/produce.ts';
import {
  array,
  bytes,
  includesVersion,
  int32,
  message,
  string,
  struct,
  type Message,
} from '../../broker-runtime/src/wire/schema.ts';
import { planOf } from '../../broker-runtime/src/wire/codec-plan.ts';
import { ALL_VERSIONS } from './all-messages.ts';

/** One field of each kind that carries a length, before (v0) and after (v1) lengths became compact. */
const ONE_STRING = message({ name: 'S', versions: '0-1', flexible: '1+', fields: { s: string('0+') } });
const ONE_BYTES = message({ name: 'B', versions: '0-1', flexible: '1+', fields: { b: bytes('0+') } });
const ONE_ARRAY = message({
  name: 'A',
  versions: '0-1',
  flexible: '1+',
  fields: { a: array('0+', 'int32') },
});
const TAGGED = message({
  name: 'T',
  versions: '0',
  flexible: '0+',
  fields: { t: struct('0+', { x: int32('0+') }, { tag: 3 }) },
});

const MEBIBYTE = 1024 * 1024;
const MEASUREMENTS = 3;

function decode(table: Message, version: number, hex: string): unknown {
  return decodeMessage(table, version, new MessageReader(Buffer.from(hex.replaceAll(' ', ''), 'hex')));
}

/** Heap and buffers taken by `run`, which must throw a DecodeError. */
function bytesTakenFailing(run: () => unknown): number {
  // The least of some: the first error of a file costs a megabyte that is not the decoder's (stack, source maps, its own
  // compilation), and a collection may run at any time.
  const taken = Array.from({ length: MEASUREMENTS }, () => {
    const before = process.memoryUsage();
    expect(run).toThrow(DecodeError);
    const after = process.memoryUsage();
    return Math.abs(after.heapUsed - before.heapUsed) + Math.abs(after.arrayBuffers - before.arrayBuffers);
  });
  return Math.min(...taken);
}

describe('a length that cannot be', () => {
  test.each([
    ['-1 of a string that is not nullable', ONE_STRING, 0, 'ffff'],
    ['-2 of a string', ONE_STRING, 0, 'fffe'],
    ['2^15-1 of a string in 4 bytes', ONE_STRING, 0, '7fff 6161'],
    ['null of a compact string that is not nullable', ONE_STRING, 1, '00 00'],
    ['2^32-1 of a compact string', ONE_STRING, 1, 'ffffffff0f 00'],
    ['2^31 of a compact string', ONE_STRING, 1, '8080808008 00'],
    ['a compact length of 33 bits', ONE_STRING, 1, 'ffffffff1f 00'],
    ['a compact length of 6 bytes', ONE_STRING, 1, '808080808000 00'],
    ['-1 of bytes that are not nullable', ONE_BYTES, 0, 'ffffffff'],
    ['-2^31 of bytes', ONE_BYTES, 0, '80000000'],
    ['2^31-1 of bytes', ONE_BYTES, 0, '7fffffff 00'],
    ['2^32-1 of compact bytes', ONE_BYTES, 1, 'ffffffff0f 00'],
    ['-2 of an array', ONE_ARRAY, 0, 'fffffffe'],
    ['2^31-1 of an array', ONE_ARRAY, 0, '7fffffff 00000001'],
    ['2^32-1 of a compact array', ONE_ARRAY, 1, 'ffffffff0f 00000001'],
    ['one element more than the frame has room for', ONE_ARRAY, 0, '00000003 00000001 00000002 000000'],
  ])('%s', (_what, table, version, hex) => {
    expect(bytesTakenFailing(() => decode(table, version, hex))).toBeLessThan(MEBIBYTE);
  });

  test('varints of up to 5 bytes are read even when a shorter form exists', () => {
    expect(decode(ONE_STRING, 1, '8280808000 61 00')).toEqual({ s: 'a' });
  });
});

describe('text that is not UTF-8', () => {
  test.each([
    ['a continuation byte alone', '0002 80 61'],
    ['an overlong slash', '0002 c0 af'],
    ['a surrogate', '0003 eda080'],
    ['a character cut short', '0002 e282'],
  ])('%s', (_what, hex) => {
    expect(() => decode(ONE_STRING, 0, hex)).toThrow(DecodeError);
  });

  test('the replacement character itself is text', () => {
    expect(decode(ONE_STRING, 0, '0003 efbfbd')).toEqual({ s: '\ufffd' });
  });

  test('a byte order mark stays part of the name', () => {
    expect(decode(ONE_STRING, 0, '0004 efbbbf 61')).toEqual({ s: '\ufeffa' });
  });
});

describe('tagged fields', () => {
  test('unknown ones are skipped by their size, known ones read, in any order', () => {
    expect(decode(TAGGED, 0, '03 07 02 aabb  03 05 00000009 00  63 00')).toEqual({ t: { x: 9 } });
  });

  test.each([
    ['more than anyone defines', `${Buffer.from([0x81, 0x08]).toString('hex')} 00`],
    ['2^32-1 of them', 'ffffffff0f'],
    ['an unknown one larger than the frame', '01 07 ffffffff0f 00'],
    ['a known one that is shorter than its size', '01 03 06 00000009 00 00'],
    ['a known one that is longer than its size', '01 03 04 00000009 00'],
    ['a count without fields', '02 07 00'],
  ])('%s', (_what, hex) => {
    expect(bytesTakenFailing(() => decode(TAGGED, 0, hex))).toBeLessThan(MEBIBYTE);
  });

  test('a full section of unknown ones is read without keeping any', () => {
    const flood = Buffer.alloc(2 + MAX_TAGGED_FIELDS * 2);
    flood.set([0x80, 0x08]);
    for (let at = 2; at < flood.length; at += 2) flood[at] = 0x09;
    expect(decodeMessage(TAGGED, 0, new MessageReader(flood))).toEqual({ t: { x: 0 } });
  });
});

describe('amplification', () => {
  test.each(ALL_VERSIONS)('no element of an array of %s v%i takes 0 bytes', (_name, version, table) => {
    // A count is checked against the frame by the bytes each element needs: none may need nothing.
    const arraysOfNothing: string[] = [];
    const visit = (path: string, fields: Message['fields']): void => {
      for (const [name, field] of Object.entries(fields)) {
        if (!includesVersion(field.versions, version) || field.fields === undefined) continue;
        const flexible = includesVersion(table.flexible, version);
        const present = Object.values(field.fields).filter(
          (inner) => includesVersion(inner.versions, version) && inner.tag === undefined,
        );
        if (field.kind === 'array' && present.length === 0 && !flexible)
          arraysOfNothing.push(`${path}.${name}`);
        visit(`${path}.${name}`, field.fields);
      }
    };
    expect(planOf(table, version)).toBeDefined();
    visit(table.name, table.fields);
    expect(arraysOfNothing).toEqual([]);
  });

  test('a frame of tiny topics stops at the limit of elements, not at gigabytes', () => {
    const count = MAX_ELEMENTS_PER_MESSAGE + 1;
    const frame = Buffer.alloc(4 + count * 2);
    frame.writeInt32BE(count);
    expect(bytesTakenFailing(() => decodeMessage(MetadataRequest, 1, new MessageReader(frame)))).toBeLessThan(
      MEBIBYTE,
    );
  });

  test('nested arrays share the limit', () => {
    const topics = 4;
    const partitions = Math.ceil(MAX_ELEMENTS_PER_MESSAGE / 3);
    const topic = Buffer.alloc(2 + 4 + partitions * 8);
    topic.writeInt32BE(partitions, 2);
    const head = Buffer.from('ffff ffff 00000000 00000004'.replaceAll(' ', ''), 'hex');
    const frame = Buffer.concat([head, ...Array.from({ length: topics }, () => topic)]);
    expect(() => decodeMessage(ProduceRequest, 3, new MessageReader(frame))).toThrow(/array elements/);
  });
});
