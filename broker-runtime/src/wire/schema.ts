import type { MessageReader } from './codec-reader.ts';
import type { MessageWriter } from './codec-writer.ts';

/**
 * Kafka's messages as tables that both the compiler and the codec read: the types of `messages/*.ts` are inferred
 * from them, and `codec-plan.ts` turns them into code. Notation as in Kafka's JSON: a version range is '0-13',
 * '4+', '7' or 'none'; `versions` says where a field exists. `npm run check:schemas` compares them with Kafka's own.
 */

export type Scalar =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records';

export interface Versions {
  readonly from: number;
  readonly to: number;
}

export interface FieldOptions {
  /** Versions in which null may be sent. */
  readonly nullable?: string;
  /** Value when absent; without it 0, false, '', no bytes, [], or a struct of defaults. */
  readonly default?: unknown;
  /** The field is tagged (KIP-482) with this number in all its versions. */
  readonly tag?: number;
  /** May be left out silently when the version has no such field, even when it is set. */
  readonly ignorable?: true;
  /** Overrides the message's flexible versions; only ClientId of the request header does. */
  readonly flexible?: string;
}

/** What the codec sees. */
export interface FieldSpec {
  readonly kind: Scalar | 'array' | 'struct';
  readonly versions: Versions;
  readonly nullable: Versions;
  readonly default: unknown;
  readonly tag: number | undefined;
  readonly ignorable: boolean;
  readonly flexible: Versions | undefined;
  /** Of an array. */
  readonly element: Scalar | 'struct' | undefined;
  /** Of a struct, or of an array of structs. */
  readonly fields: Fields | undefined;
}

/** A field and, for the compiler alone, the types of its value. */
export interface Field<Decoded, Encodable, Optional extends boolean> extends FieldSpec {
  readonly phantom?: readonly [Decoded, Encodable, Optional];
}
export type AnyField = Field<unknown, unknown, boolean>;
export type Fields = Readonly<Record<string, AnyField>>;

/** A message compiled for one version. */
export interface MessagePlan {
  read(reader: MessageReader): unknown;
  write(writer: MessageWriter, value: unknown): void;
  readonly flexible: boolean;
}

export interface Message<F extends Fields = Fields> {
  readonly name: string;
  /** Of requests and responses. */
  readonly apiKey: number | undefined;
  readonly versions: Versions;
  readonly flexible: Versions;
  readonly fields: F;
  /** By version, filled on first use by `codec-plan.ts`: a cache, owned by the schema it is made from. */
  readonly plans: (MessagePlan | undefined)[];
}

type ElementOf<X, Encoding extends boolean> = X extends Scalar
  ? ScalarType<X, Encoding>
  : X extends Fields
    ? Encoding extends true
      ? EncodableFields<X>
      : DecodedFields<X>
    : never;

interface ScalarTypes {
  bool: boolean;
  int8: number;
  int16: number;
  uint16: number;
  int32: number;
  uint32: number;
  int64: number;
  float64: number;
  uuid: string;
  string: string;
  bytes: Uint8Array;
}
type ScalarType<K extends Scalar, Encoding extends boolean> = K extends keyof ScalarTypes
  ? ScalarTypes[K]
  : Encoding extends true
    ? Uint8Array | readonly Uint8Array[]
    : Uint8Array;

type NullOf<O> = O extends { readonly nullable: string } ? null : never;
/** A field may be left out when encoding if it has a default, is tagged, or is missing in some version. */
type OptionalOf<V, O> = V extends '0+'
  ? O extends { readonly default: unknown } | { readonly tag: number }
    ? true
    : false
  : true;

type Resolve<T> = { [K in keyof T]: T[K] };
type DecodedOf<X> = X extends Field<infer D, unknown, boolean> ? D : never;
type EncodableOf<X> = X extends Field<unknown, infer E, boolean> ? E : never;
type OptionalKeys<F> = {
  [K in keyof F]: F[K] extends Field<unknown, unknown, infer O> ? (O extends true ? K : never) : never;
}[keyof F];

export type DecodedFields<F extends Fields> = { readonly [K in keyof F]: DecodedOf<F[K]> };
export type EncodableFields<F extends Fields> = Resolve<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: EncodableOf<F[K]> } & {
    readonly [K in OptionalKeys<F>]?: EncodableOf<F[K]> | undefined;
  }
>;

/** The shape a message has after decoding: every field is there. */
export type Decoded<M> = M extends Message<infer F> ? DecodedFields<F> : never;
/** The shape a message needs for encoding: defaults may be left out, records may come in pieces. */
export type Encodable<M> = M extends Message<infer F> ? EncodableFields<F> : never;

type ScalarBuilder<K extends Scalar> = <const V extends string, const O extends FieldOptions = NoOptions>(
  versions: V,
  options?: O,
) => Field<ScalarType<K, false> | NullOf<O>, ScalarType<K, true> | NullOf<O>, OptionalOf<V, O>>;
type NoOptions = object;

/** 22 characters of base64url, as Kafka prints ids; this one means "no id". */
export const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA';

export const bool = scalar('bool', false);
export const int8 = scalar('int8', 0);
export const int16 = scalar('int16', 0);
export const uint16 = scalar('uint16', 0);
export const int32 = scalar('int32', 0);
export const uint32 = scalar('uint32', 0);
export const int64 = scalar('int64', 0);
export const float64 = scalar('float64', 0);
export const uuid = scalar('uuid', ZERO_UUID);
export const string = scalar('string', '');
export const bytes = scalar('bytes', new Uint8Array(0));
/** Record batches: a view when decoded; pieces, spliced without a copy, when encoded. */
export const records = scalar('records', null);

export function array<
  const V extends string,
  const X extends Scalar | Fields,
  const O extends FieldOptions = NoOptions,
>(
  versions: V,
  element: X,
  options?: O,
): Field<
  readonly ElementOf<X, false>[] | NullOf<O>,
  readonly ElementOf<X, true>[] | NullOf<O>,
  OptionalOf<V, O>
> {
  const ofScalars = typeof element === 'string';
  return {
    ...spec('array', versions, Object.freeze([]), options),
    element: ofScalars ? element : 'struct',
    fields: ofScalars ? undefined : element,
  };
}

export function struct<
  const V extends string,
  const F extends Fields,
  const O extends FieldOptions = NoOptions,
>(
  versions: V,
  fields: F,
  options?: O,
): Field<DecodedFields<F> | NullOf<O>, EncodableFields<F> | NullOf<O>, OptionalOf<V, O>> {
  const defaults = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.default]));
  return { ...spec('struct', versions, Object.freeze(defaults), options), fields };
}

export function message<const F extends Fields>(table: {
  readonly name: string;
  readonly apiKey?: number;
  readonly versions: string;
  readonly flexible: string;
  readonly fields: F;
}): Message<F> {
  return {
    name: table.name,
    apiKey: table.apiKey,
    versions: parseVersions(table.versions),
    flexible: parseVersions(table.flexible),
    fields: table.fields,
    plans: [],
  };
}

/** Reads '0-13', '4+', '7' or 'none'. */
export function parseVersions(range: string): Versions {
  if (range === 'none') return { from: 1, to: 0 };
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(range);
  if (match === null)
    throw new TypeError(`'${range}' is not a version range; '0-13', '4+', '7' and 'none' are`);
  const from = Number(match[1]);
  if (match[2] === '+') return { from, to: Infinity };
  return { from, to: match[3] === undefined ? from : Number(match[3]) };
}

export function includesVersion(versions: Versions, version: number): boolean {
  return version >= versions.from && version <= versions.to;
}

function scalar<K extends Scalar>(kind: K, zero: unknown): ScalarBuilder<K> {
  return (versions, options) => spec(kind, versions, zero, options);
}

function spec(
  kind: FieldSpec['kind'],
  versions: string,
  zero: unknown,
  options: FieldOptions = {},
): FieldSpec & { readonly phantom?: never } {
  return {
    kind,
    versions: parseVersions(versions),
    nullable: parseVersions(options.nullable ?? 'none'),
    default: options.default === undefined ? zero : options.default,
    tag: options.tag,
    ignorable: options.ignorable ?? false,
    flexible: options.flexible === undefined ? undefined : parseVersions(options.flexible),
    element: undefined,
    fields: undefined,
  };
}
