import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { run } from '../harness/command.ts';

const COMMAND = path.resolve(import.meta.dirname, '..', '..', 'bin', 'millrace.ts');
const millrace = (...args: string[]) => run(process.execPath, [COMMAND, ...args]);

describe('millrace cost', () => {
  test('adds up, says that it estimates, and stands beside Kafka', async () => {
    const { status, stdout } = await millrace('cost', '--env', 'prod', '--write', '100', '--json');
    const estimate = JSON.parse(stdout) as Record<string, number> & { lines: { monthlyUsd: number }[] };
    const sum = estimate.lines.reduce((total, { monthlyUsd }) => total + monthlyUsd, 0);
    expect(status).toBe(0);
    expect(estimate).toMatchObject({ estimate: true, load: { writeMiBPerSecond: 100 } });
    expect(estimate['totalUsd']).toBeCloseTo(sum, 6);
    expect(estimate['kafkaTotalUsd']).toBeGreaterThan(0);
  });

  test('names the environments there are when it is given another', async () => {
    const { status, stderr } = await millrace('cost', '--env', 'nowhere');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^millrace: --env is "nowhere", allowed dev, stage, prod; copy a file/);
    expect(stderr).not.toMatch(/at .*\.ts:\d/);
  });

  test('says what a quantity may be', async () => {
    const { status, stderr } = await millrace('cost', '--env', 'dev', '--write', 'lots');
    expect(status).toBe(1);
    expect(stderr).toMatch(/got "lots", allowed: a number, such as 10 or 0\.5/);
  });
});

describe('millrace doctor', () => {
  test("finds the example's account, which nobody can deploy to, and says that AWS was not asked", async () => {
    const { status, stdout } = await millrace('doctor', '--env', 'prod');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^problem +account +333333333333 is the example's; write your own/m);
    expect(stdout).toMatch(/nothing was asked of AWS, --online does/);
  });

  test('tells machines the same', async () => {
    const { stdout } = await millrace('doctor', '--env', 'dev', '--json');
    const { findings } = JSON.parse(stdout) as { findings: { level: string; check: string }[] };
    expect(findings.filter(({ level }) => level === 'warning').map(({ check }) => check)).toEqual(
      expect.arrayContaining(['takeover', 'spot', 'instances', 'alarms', 'recovery']),
    );
  });
});
