import { describe, expect, test } from '@jest/globals';
import { InstanceConfigError, parseInstanceConfig } from '../../broker-runtime/src/agent/instance-config.ts';
import { CONFIG } from './agent-rig.ts';

describe('the configuration of an instance', () => {
  test('is what the template wrote', () => {
    expect(parseInstanceConfig(JSON.stringify(CONFIG))).toEqual(CONFIG);
  });

  test.each<[what: string, wrong: Record<string, unknown>, message: RegExp]>([
    ['no bucket', { bucket: '' }, /bucket is "", allowed a text/],
    ['a port that is none', { port: 70_000 }, /port is 70000, allowed 0 to 65535/],
    ['another kind of WAL', { walKind: 'memory' }, /walKind is "memory", allowed block-shared or object/],
    [
      'slots without zones',
      { slots: [{ nodeId: 1 }] },
      /slots is .* allowed a list of node ids with their zones/,
    ],
    [
      'settings that are no texts',
      { settings: { 'num.partitions': 4 } },
      /settings is .* allowed an object of texts/,
    ],
  ])('with %s says which field, what it is and what is allowed', (_, wrong, message) => {
    const text = JSON.stringify({ ...CONFIG, ...wrong });
    expect(() => parseInstanceConfig(text)).toThrow(InstanceConfigError);
    expect(() => parseInstanceConfig(text)).toThrow(message);
  });

  test('that is no JSON says so', () => {
    expect(() => parseInstanceConfig('{')).toThrow(/the file is "{", allowed one JSON object/);
  });
});
