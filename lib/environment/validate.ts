import type { Checks } from './checks/checks.ts';
import { checkData } from './checks/data.ts';
import { checkNetwork } from './checks/network.ts';
import { checkPlace } from './checks/place.ts';
import { checkProd } from './checks/prod.ts';
import { checkShape } from './checks/shape.ts';
import { checkInstances, checkScaling, checkWal } from './checks/sizes.ts';
import type { Environment } from './environment.ts';

/** One thing that is wrong with an environment. */
export interface Problem {
  /** Stable, for tests and for searching. */
  readonly code: string;
  /** Of the field, such as `wal.iops`. */
  readonly path: string;
  readonly got: string;
  readonly allowed: string;
  readonly fix: string;
}

/** Says all that is wrong at once, a line each. */
export class InvalidEnvironmentError extends Error {
  readonly code = 'INVALID_ENVIRONMENT';
  readonly problems: readonly Problem[];

  constructor(name: string, problems: readonly Problem[]) {
    super([`environment "${name}" cannot be used:`, ...problems.map((one) => `  ${textOf(one)}`)].join('\n'));
    this.name = 'InvalidEnvironmentError';
    this.problems = problems;
  }
}

export function textOf({ code, path, got, allowed, fix }: Problem): string {
  return `${code}: ${path} is ${got}, allowed ${allowed}; ${fix}`;
}

/** Everything that is wrong; empty when the environment can be used. Defaults are taken as they are filled in later. */
export function problemsOf(environment: Environment): Problem[] {
  const found: Problem[] = [];
  const report: Checks['report'] = (code, path, got, allowed, fix) => {
    found.push({ code, path, got: got === undefined ? 'missing' : JSON.stringify(got), allowed, fix });
  };
  const within: Checks['within'] = (code, path, value, limit) => {
    if (value === undefined || (Number.isInteger(value) && value >= limit.min && value <= limit.max)) return;
    const unit = limit.unit === '' ? '' : ` ${limit.unit}`;
    report(code, path, value, `a whole number, ${limit.min} to ${limit.max}${unit}`, `see ${limit.source}`);
  };
  const matches: Checks['matches'] = (code, path, value, pattern, allowed, fix) => {
    if (!pattern.test(value)) report(code, path, value, allowed, fix);
  };
  const checks = { environment, report, within, matches };
  checkShape(checks);
  if (found.length > 0) return found;
  checkPlace(checks);
  checkInstances(checks);
  checkWal(checks);
  checkData(checks);
  checkNetwork(checks);
  checkScaling(checks);
  if (environment.tier === 'prod') checkProd(checks);
  return found;
}
