import { describe, expect, test } from '@jest/globals';
import { environmentNamed, settingProblems } from '../../bin/named-environment.ts';
import { environments } from '../../environments/index.ts';
import type { Environment } from '../../lib/environment/environment.ts';

const dev = environmentNamed('dev');

describe('an environment by its name', () => {
  test.each(Object.keys(environments))('%s is found', (name) => {
    expect(environmentNamed(name)).toBe(environments[name]);
  });

  test.each([
    [undefined, /-c env=NAME is missing, allowed dev, stage, prod; copy a file/],
    ['nowhere', /-c env=NAME is "nowhere", allowed dev, stage, prod; copy a file/],
    ['constructor', /-c env=NAME is "constructor", allowed/],
    [['dev'], /-c env=NAME is \["dev"\], allowed/],
  ])('%j is told what there is', (name, message) => {
    expect(() => environmentNamed(name, '-c env=NAME')).toThrow(message);
  });

  test('copied-with-its-name: one that calls itself by another would be deployed over that one', () => {
    const all = { dev, mine: { ...dev } };
    expect(() => environmentNamed('mine', '--env', all)).toThrow(
      /--env "mine" has the name "dev", allowed the one under which it stands .*; change `name` in its file/,
    );
    expect(environmentNamed('dev', '--env', all)).toBe(dev);
  });
});

describe('broker settings of an environment', () => {
  const problemsOf = (brokerSettings: Environment['brokerSettings']) =>
    settingProblems({ ...dev, ...(brokerSettings === undefined ? {} : { brokerSettings }) });

  test('that brokers take are no problem, and none at all neither', () => {
    expect(problemsOf({ 'num.partitions': '6', 'log.retention.ms': '3600000' })).toEqual([]);
    expect(problemsOf(undefined)).toEqual([]);
  });

  test('that no broker would start with are told one by one', () => {
    expect(problemsOf({ 'num.partition': '6', 'num.partitions': 'six' })).toEqual([
      expect.objectContaining({
        code: 'BrokerSetting',
        path: 'brokerSettings.num.partition',
        got: '"6"',
        fix: expect.stringContaining('not a broker setting: check its spelling'),
      }),
      expect.objectContaining({ path: 'brokerSettings.num.partitions', got: '"six"' }),
    ]);
  });
});
