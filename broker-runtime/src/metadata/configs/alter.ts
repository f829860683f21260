import { Errors } from '../../wire/errors.ts';
import type { ErrorCode } from '../../wire/errors.ts';
import { ConfigType } from '../cluster-metadata.ts';
import type { ConfigChange } from '../cluster-metadata.ts';
import { listOf, problemWith } from './definition.ts';
import type { ConfigDefinition } from './definition.ts';

/** Keeps the settings of one resource, and with them every later snapshot, bounded (invariant I36). */
const MAX_VALUE_LENGTH = 64 * 1024;

/** A request that is refused, in the words of the answer. */
export interface Refusal {
  readonly error: ErrorCode;
  readonly message: string;
}

/** What a change comes to: the settings of the resource afterwards. */
export type Altered = Refusal | { readonly settings: ReadonlyMap<string, string> };

export interface AlterContext {
  /** What is set for the resource now. */
  readonly current: ReadonlyMap<string, string>;
  /** @returns the definition, or why this name cannot be altered here */
  definition(name: string): ConfigDefinition | string;
  /** What counts now, set or not: what lists are appended to. */
  effective(name: string): string | null;
}

/** Applies the operations of one resource: all of them or none. */
export function alter(change: Pick<ConfigChange, 'mode' | 'operations'>, context: AlterContext): Altered {
  const settings = new Map(change.mode === 'replace' ? [] : context.current);
  const seen = new Set<string>();
  for (const { name, op, value } of change.operations) {
    if (seen.has(name)) return refuse(Errors.INVALID_REQUEST, `Error due to duplicate config keys: ${name}`);
    seen.add(name);
    const definition = context.definition(name);
    if (typeof definition === 'string') return refuse(Errors.INVALID_CONFIG, definition);
    if (op === 'delete') {
      settings.delete(name);
      continue;
    }
    if (value === null) return refuse(Errors.INVALID_REQUEST, `Null value not supported for : ${name}`);
    if (op !== 'set' && definition.type !== ConfigType.LIST) {
      return refuse(Errors.INVALID_CONFIG, `Config value ${op} is not allowed for config key: ${name}`);
    }
    const next = op === 'set' ? value.trim() : combined(op, context.effective(name) ?? '', value);
    const problem =
      next.length > MAX_VALUE_LENGTH
        ? `Invalid value for configuration ${name}: it has ${next.length} characters, at most ${MAX_VALUE_LENGTH} are allowed`
        : problemWith(definition, next);
    if (problem !== undefined) return refuse(Errors.INVALID_CONFIG, problem);
    settings.set(name, next);
  }
  return { settings };
}

/** Elements that are there already are not appended again; those that are not there need no subtraction. */
function combined(op: 'append' | 'subtract', now: string, value: string): string {
  const given = new Set(listOf(value));
  const elements =
    op === 'append'
      ? new Set([...listOf(now), ...given])
      : listOf(now).filter((element) => !given.has(element));
  return [...elements].join(',');
}

function refuse(error: ErrorCode, message: string): Refusal {
  return { error, message };
}
