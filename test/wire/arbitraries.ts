import fc from 'fast-check';
import {
  includesVersion,
  type FieldSpec,
  type Fields,
  type Message,
} from '../../broker-runtime/src/wire/schema.ts';

export type Struct = Readonly<Record<string, unknown>>;

/** Longest values of variable size. */
export interface Limits {
  readonly elements: number;
  readonly textLength: number;
  readonly bytes: number;
  /** Values to draw from in place of any; undefined: any. */
  readonly scalar?: (kind: ScalarKind) => fc.Arbitrary<unknown> | undefined;
}
type ScalarKind = Exclude<FieldSpec['kind'], 'array' | 'struct'>;

/** Reaches two-byte varints, and pieces that are spliced instead of copied. */
export const LONG: Limits = { elements: 3, textLength: 150, bytes: 700 };
/** For tests whose cost is the square of the size. */
export const SHORT: Limits = { elements: 2, textLength: 3, bytes: 3 };

/**
 * Any value a message can have in a version, in its decoded shape: fields the version lacks hold their defaults.
 * Derived from the table, so a new message is tested by being listed.
 */
export function messageArbitrary(message: Message, version: number, limits: Limits): fc.Arbitrary<Struct> {
  return structArbitrary(message.fields, version, limits);
}

function structArbitrary(fields: Fields, version: number, limits: Limits): fc.Arbitrary<Struct> {
  return fc.record(
    Object.fromEntries(
      Object.entries(fields).map(([name, spec]) => [
        name,
        includesVersion(spec.versions, version)
          ? fieldArbitrary(spec, version, limits)
          : fc.constant(spec.default),
      ]),
    ),
  );
}

function fieldArbitrary(spec: FieldSpec, version: number, limits: Limits): fc.Arbitrary<unknown> {
  const value = valueArbitrary(spec, version, limits);
  if (!includesVersion(spec.nullable, version)) return value;
  return fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constant(null) });
}

function valueArbitrary(spec: FieldSpec, version: number, limits: Limits): fc.Arbitrary<unknown> {
  switch (spec.kind) {
    case 'struct':
      return structArbitrary(spec.fields ?? {}, version, limits);
    case 'array':
      return fc.array(
        spec.element === 'struct'
          ? structArbitrary(spec.fields ?? {}, version, limits)
          : scalarArbitrary(spec.element ?? 'bytes', limits),
        { maxLength: limits.elements },
      );
    default:
      return scalarArbitrary(spec.kind, limits);
  }
}

function scalarArbitrary(kind: ScalarKind, limits: Limits): fc.Arbitrary<unknown> {
  return limits.scalar?.(kind) ?? anyScalar(kind, limits);
}

function anyScalar(kind: ScalarKind, limits: Limits): fc.Arbitrary<unknown> {
  switch (kind) {
    case 'bool':
      return fc.boolean();
    case 'int8':
      return fc.integer({ min: -0x80, max: 0x7f });
    case 'int16':
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case 'uint16':
      return fc.integer({ min: 0, max: 0xffff });
    case 'int32':
      return fc.integer();
    case 'uint32':
      return fc.integer({ min: 0, max: 0xffff_ffff });
    case 'int64':
      return fc.maxSafeInteger();
    case 'float64':
      return fc.double({ noNaN: true });
    case 'uuid':
      return fc
        .uint8Array({ minLength: 16, maxLength: 16 })
        .map((bytes) => Buffer.from(bytes).toString('base64url'));
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: limits.textLength });
    case 'bytes':
    case 'records':
      return fc.uint8Array({ maxLength: limits.bytes, size: 'max' });
  }
}
