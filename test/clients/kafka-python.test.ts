import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientBroker } from '../harness/client-broker.ts';
import { runOk } from '../harness/command.ts';

/** Debian's package is for Debian's Python, whatever else is in the path. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = path.join(import.meta.dirname, 'kafka-python', 'life.py');

interface Life {
  readonly probed: readonly number[];
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly offsets: readonly number[];
  readonly committed: number;
  readonly groups: readonly (readonly string[])[];
  readonly topics: readonly string[];
  readonly left: readonly string[];
}

/** The oldest versions that a client in use asks for: Metadata 0 and 1, ListOffsets 1, Fetch 4, JoinGroup 2. */
describe('kafka-python', () => {
  let broker: ClientBroker;
  let life: Life;

  beforeAll(async () => {
    broker = await ClientBroker.start('kafka-python');
    life = JSON.parse(await runOk(PYTHON, [SCRIPT, broker.bootstrapServers])) as Life;
  });
  afterAll(async () => broker.stop());

  test('takes the answers to its probes for those of the newest Kafka it knows', () => {
    expect(life.probed).toEqual([2, 4, 0]);
  });

  test('keys, values, headers and order survive none and gzip; a group goes on where it committed', () => {
    const line = (offset: number): string => {
      const number = offset % 100;
      return `${offset} key:${offset < 100 ? 'None' : 'gzip'}-${number} n=${number}`;
    };
    expect(life.before).toEqual(Array.from({ length: 150 }, (_, n) => line(n)));
    expect(life.after).toEqual(Array.from({ length: 50 }, (_, n) => line(150 + n)));
    expect(life.committed).toBe(200);
  });

  test('finds the first offset, one by time, and the end', () => {
    expect(life.offsets).toEqual([0, 0, 200]);
  });

  test('creates, lists and deletes topics, and lists groups', () => {
    expect(life.topics).toContain('python');
    expect(life.left).not.toContain('python');
    expect(life.groups).toEqual([['python', 'consumer']]);
  });
});
