import { ConfigType } from '../cluster-metadata.ts';

/** One setting: what it is called, what it may be, and what it is when nobody set it. */
export interface ConfigDefinition {
  readonly name: string;
  readonly type: ConfigType;
  /** As DescribeConfigs prints it; null: none. */
  readonly defaultValue: string | null;
  readonly documentation: string;
  readonly limits: Limits;
}

/** What a value must satisfy beyond its type. */
export interface Limits {
  readonly min?: number;
  readonly max?: number;
  /** Of a string, or of each element of a list. */
  readonly oneOf?: readonly string[];
  /** Why the parsed value is refused, or undefined. */
  readonly problem?: (value: string) => string | undefined;
}

const INTEGER = /^[+-]?\d+$/;
const INT_MAX = 2n ** 31n - 1n;
const LONG_MAX = 2n ** 63n - 1n;

/**
 * Why `value` is not allowed for this setting, in Kafka's words, or undefined. Spaces around a value do not count.
 */
export function problemWith(definition: ConfigDefinition, value: string): string | undefined {
  const problem = problemOfType(definition, value.trim());
  return problem === undefined
    ? undefined
    : `Invalid value ${value} for configuration ${definition.name}: ${problem}`;
}

function problemOfType({ type, limits }: ConfigDefinition, value: string): string | undefined {
  switch (type) {
    case ConfigType.BOOLEAN:
      return /^(true|false)$/i.test(value)
        ? limits.problem?.(value)
        : 'Expected value to be either true or false';
    case ConfigType.INT:
    case ConfigType.SHORT:
      return (
        integerProblem(value, INT_MAX, 'INT') ??
        rangeProblem(Number(value), limits) ??
        limits.problem?.(value)
      );
    case ConfigType.LONG:
      return integerProblem(value, LONG_MAX, 'LONG') ?? rangeProblem(Number(value), limits);
    case ConfigType.DOUBLE: {
      const number = value === '' ? Number.NaN : Number(value);
      return Number.isFinite(number) ? rangeProblem(number, limits) : 'Not a number of type DOUBLE';
    }
    case ConfigType.LIST: {
      const elements = listOf(value);
      if (new Set(elements).size < elements.length) return 'Configuration value contains duplicate values.';
      return firstProblem(elements, limits) ?? limits.problem?.(value);
    }
    case ConfigType.STRING:
    case ConfigType.CLASS:
    case ConfigType.PASSWORD:
      return firstProblem([value], limits) ?? limits.problem?.(value);
  }
}

/** The elements of a list setting: separated by commas, spaces around them do not count; the empty string has none. */
export function listOf(value: string): readonly string[] {
  const trimmed = value.trim();
  return trimmed === '' ? [] : trimmed.split(',').map((element) => element.trim());
}

function integerProblem(value: string, max: bigint, type: string): string | undefined {
  if (!INTEGER.test(value)) return `Not a number of type ${type}`;
  const number = BigInt(value.replace('+', ''));
  return number > max || number < -max - 1n ? `Not a number of type ${type}` : undefined;
}

function rangeProblem(number: number, { min, max }: Limits): string | undefined {
  if (min !== undefined && number < min) return `Value must be at least ${min}`;
  if (max !== undefined && number > max) return `Value must be no more than ${max}`;
  return undefined;
}

function firstProblem(elements: readonly string[], { oneOf }: Limits): string | undefined {
  if (oneOf === undefined || elements.every((element) => oneOf.includes(element))) return undefined;
  return `String must be one of: ${oneOf.join(', ')}`;
}
