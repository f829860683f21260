import { writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from '@jest/globals';
import { HistoryWriter, readHistory } from '../../../drills/history/file.ts';
import { HistoryFormatError, type Operation, parseOperation } from '../../../drills/history/operation.ts';
import { TempDir } from '../../harness/temp-dir.ts';

const send: Operation = {
  client: 'p0',
  f: 'send',
  type: 'ok',
  t0: 1.0004,
  t1: 2.5,
  ops: [{ topic: 't', partition: 0, offset: 7, value: 'v' }],
};
const commit: Operation = {
  client: 'c0',
  f: 'commit',
  type: 'info',
  t0: 3,
  t1: 4,
  group: 'g',
  error: 'connection closed',
  ops: [{ topic: 't', partition: 0, offset: 8 }],
};

describe('a history on disk', () => {
  let dir = new TempDir();
  afterEach(() => {
    dir.remove();
    dir = new TempDir();
  });

  const all = async (path: string) => {
    const operations: Operation[] = [];
    for await (const operation of readHistory(path)) operations.push(operation);
    return operations;
  };

  test('is read as it was written, times to the microsecond', async () => {
    const writer = new HistoryWriter(dir.join('history.jsonl'));
    for (const operation of [send, commit]) await writer.record(operation);
    await writer.close();
    expect(writer.operations).toBe(2);
    expect(await all(writer.path)).toEqual([{ ...send, t0: 1 }, commit]);
    await expect(writer.record(send)).rejects.toThrow('is closed');
  });

  test('makes writers wait for the disk instead of filling memory', async () => {
    const writer = new HistoryWriter(dir.join('history.jsonl'));
    const big = {
      ...send,
      ops: Array.from({ length: 50_000 }, () => ({ ...send.ops[0], topic: 't', partition: 0 })),
    };
    let waited = false;
    const written = writer.record(big).then(() => (waited = true));
    await Promise.resolve();
    expect(waited).toBe(false);
    await written;
    await writer.close();
    expect((await all(writer.path))[0]?.ops).toHaveLength(50_000);
  });

  test('says so when it cannot be written', async () => {
    const writer = new HistoryWriter(dir.join('no-such-folder', 'history.jsonl'));
    await expect(writer.close()).rejects.toThrow('ENOENT');
  });

  test.each([
    ['{"client":"p0"', 'no JSON'],
    ['[]', 'an operation is an object'],
    [JSON.stringify({ ...send, f: 'sent' }), 'f must be one of'],
    [JSON.stringify({ ...send, type: 'maybe' }), 'type must be one of'],
    [JSON.stringify({ ...send, t0: 9 }), 't0 <= t1'],
    [JSON.stringify({ ...send, ops: [{ partition: 0 }] }), 'topic and partition'],
    [JSON.stringify({ ...send, ops: [{ topic: 't', partition: 0, offset: 1.5 }] }), 'integers'],
  ])('names file and line of what is no operation: %s', async (line, message) => {
    const file = dir.join('history.jsonl');
    writeFileSync(file, `${JSON.stringify(send)}\n\n${line}\n`);
    await expect(all(file)).rejects.toThrow(message);
    await expect(all(file)).rejects.toThrow(`${file}:3`);
    expect(() => parseOperation(line, 'here')).toThrow(HistoryFormatError);
  });
});
