import { MillraceError } from '../../broker-runtime/src/base/errors.ts';
import type { Measured } from './measured.ts';

/** What can be limited. The table feeds parsing, the verdicts and every rendering. */
export const LIMITS = {
  lost: { label: 'acknowledged records lost', unit: '', valueOf: (m) => m.lost },
  duplicated: { label: 'records duplicated', unit: '', valueOf: (m) => m.duplicated },
  reordered: { label: 'records out of order', unit: '', valueOf: (m) => m.reordered },
  otherAnomalies: { label: 'other anomalies', unit: '', valueOf: (m) => m.otherAnomalies },
  sendErrors: { label: 'writes that failed in the application', unit: '', valueOf: (m) => m.sendErrors },
  detectMs: { label: 'until the failure was noticed', unit: 'ms', valueOf: (m) => m.detectMs },
  fenceMs: { label: 'until the old owner was fenced', unit: 'ms', valueOf: (m) => m.fenceMs },
  replayMs: { label: 'to replay its log', unit: 'ms', valueOf: (m) => m.replayMs },
  commitMs: { label: 'to commit what was recovered', unit: 'ms', valueOf: (m) => m.commitMs },
  reopenMs: { label: 'until its partitions were open again', unit: 'ms', valueOf: (m) => m.reopenMs },
  stallP50Ms: { label: 'pause of producers, median', unit: 'ms', valueOf: (m) => m.stallMs?.p50 ?? null },
  stallP99Ms: {
    label: 'pause of producers, 99th percentile',
    unit: 'ms',
    valueOf: (m) => m.stallMs?.p99 ?? null,
  },
  stallMaxMs: { label: 'pause of producers, longest', unit: 'ms', valueOf: (m) => m.stallMs?.max ?? null },
} as const satisfies Record<
  string,
  { readonly label: string; readonly unit: string; readonly valueOf: (measured: Measured) => number | null }
>;

export type LimitName = keyof typeof LIMITS;

/** The greatest value that passes, by name. `null` takes a limit away. */
export type Budget = Readonly<Partial<Record<LimitName, number | null>>>;

/** Nothing acknowledged may suffer in any drill, and no application may see an error. */
export const NOTHING_WRONG: Budget = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  otherAnomalies: 0,
  sendErrors: 0,
};

export interface BudgetLine {
  readonly limit: LimitName;
  readonly label: string;
  readonly unit: string;
  readonly value: number | null;
  readonly max: number;
  /** What was not measured was not proven: it does not pass. */
  readonly verdict: 'within' | 'exceeded' | 'not measured';
}

export function judge(budget: Budget, measured: Measured): BudgetLine[] {
  const lines: BudgetLine[] = [];
  for (const limit of Object.keys(LIMITS) as LimitName[]) {
    const max = budget[limit];
    if (max === undefined || max === null) continue;
    const { label, unit, valueOf } = LIMITS[limit];
    const value = valueOf(measured);
    const verdict = value === null ? 'not measured' : value <= max ? 'within' : 'exceeded';
    lines.push({ limit, label, unit, value, max, verdict });
  }
  return lines;
}

/** A limit on the command line that cannot be used as given. */
export class BudgetError extends MillraceError {
  readonly code = 'BUDGET';
}

/** `stallMaxMs=5000`, or `detectMs=none` to take a limit away. */
export function parseLimit(text: string): Budget {
  const [name = '', value = '', ...rest] = text.split('=');
  if (!Object.hasOwn(LIMITS, name)) {
    throw new BudgetError(
      `got "${text}", allowed: NAME=NUMBER with one of ${Object.keys(LIMITS).join(', ')}`,
    );
  }
  if (value === 'none' && rest.length === 0) return { [name]: null };
  const max = Number(value);
  if (value.trim() === '' || rest.length > 0 || !Number.isFinite(max) || max < 0) {
    throw new BudgetError(`got "${text}", allowed: ${name}=NUMBER of 0 and more, or ${name}=none`);
  }
  return { [name]: max };
}
