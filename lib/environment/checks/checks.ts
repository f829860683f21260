import type { Environment } from '../environment.ts';
import type { Limit } from '../limits.ts';

/** What a check looks at, and how it says what is wrong. */
export interface Checks {
  readonly environment: Environment;
  readonly report: (code: string, path: string, got: unknown, allowed: string, fix: string) => void;
  readonly within: (code: string, path: string, value: number | undefined, limit: Limit) => void;
  readonly matches: (
    code: string,
    path: string,
    value: string,
    pattern: RegExp,
    allowed: string,
    fix: string,
  ) => void;
}

export const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;
