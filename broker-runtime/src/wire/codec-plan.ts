import { DecodeError, type MessageReader } from './codec-reader.ts';
import { EncodeError, type MessageWriter } from './codec-writer.ts';
import { includesVersion, type FieldSpec, type Fields, type Message, type MessagePlan } from './schema.ts';

/**
 * Compiles a schema for one version into closures: what the version decides (is the field there, compact or not,
 * nullable or not) is decided once, not per message.
 *
 *   struct   = *field [tags]                       tags only in flexible versions
 *   tags     = count:uvarint *( tag:uvarint size:uvarint value )      ascending; defaults are left out
 *   string   = length:int16 utf8                   compact: length+1:uvarint utf8
 *   bytes, records = length:int32 *byte            compact: length+1:uvarint *byte
 *   array    = count:int32 *element                compact: count+1:uvarint *element
 *   null     = length or count -1                  compact: 0
 *   nullable struct = int8 (-1 null, 1 there) struct
 */
export function planOf(message: Message, version: number): MessagePlan | undefined {
  const cached = message.plans[version];
  if (cached !== undefined) return cached;
  if (!includesVersion(message.versions, version)) return undefined;
  const flexible = includesVersion(message.flexible, version);
  const compiled = compileStruct(message.fields, { message: message.name, version, flexible });
  const plan = { read: compiled.read, write: compiled.write, flexible };
  message.plans[version] = plan;
  return plan;
}

interface Compiled {
  readonly read: (reader: MessageReader) => unknown;
  readonly write: (writer: MessageWriter, value: unknown) => void;
  /** The fewest bytes a value takes: what bounds the element count of an array. */
  readonly minBytes: number;
}

interface Scope {
  /** Names the message, and the path in it, for error messages. */
  readonly message: string;
  readonly version: number;
  readonly flexible: boolean;
}

interface NamedField extends Compiled {
  readonly name: string;
  readonly spec: FieldSpec;
}

type Struct = Record<string, unknown>;

function compileStruct(fields: Fields, scope: Scope): Compiled {
  const untagged: NamedField[] = [];
  const tagged: (NamedField & { readonly tag: number })[] = [];
  const absent: { readonly name: string; readonly spec: FieldSpec }[] = [];
  for (const [name, spec] of Object.entries(fields)) {
    if (!includesVersion(spec.versions, scope.version)) {
      absent.push({ name, spec });
      continue;
    }
    const field = { name, spec, ...compileField(spec, { ...scope, message: `${scope.message}.${name}` }) };
    if (spec.tag === undefined) untagged.push(field);
    else tagged.push({ ...field, tag: spec.tag });
  }
  tagged.sort((a, b) => a.tag - b.tag);
  const refused = absent.filter((field) => !field.spec.ignorable);
  const preset = [...absent, ...tagged];

  return {
    minBytes: untagged.reduce((sum, field) => sum + field.minBytes, scope.flexible ? 1 : 0),
    read: (reader) => {
      const value: Struct = {};
      for (const field of untagged) value[field.name] = field.read(reader);
      // Absent fields share one frozen default, so filling them in allocates nothing.
      for (const field of preset) value[field.name] = field.spec.default;
      if (scope.flexible) readTags(reader, tagged, value);
      return value;
    },
    write: (writer, value) => {
      const struct = value as Struct;
      for (const field of refused) {
        if (!isDefault(field.spec, struct[field.name])) {
          throw new EncodeError(
            `${scope.message}.${field.name} is set, but version ${scope.version} has no such field`,
          );
        }
      }
      for (const field of untagged) {
        const fieldValue = struct[field.name];
        field.write(writer, fieldValue === undefined ? field.spec.default : fieldValue);
      }
      if (scope.flexible) writeTags(writer, tagged, struct);
    },
  };
}

function readTags(
  reader: MessageReader,
  tagged: readonly (NamedField & { readonly tag: number })[],
  into: Struct,
): void {
  for (let left = reader.tagCount(); left > 0; left--) {
    const tag = reader.unsignedVarint();
    const size = reader.unsignedVarint();
    const field = tagged.find((candidate) => candidate.tag === tag);
    // A tag we do not know is from a newer peer and means nothing to us (KIP-482).
    if (field === undefined) reader.skip(size);
    else into[field.name] = reader.within(size, field.read);
  }
}

function writeTags(
  writer: MessageWriter,
  tagged: readonly (NamedField & { readonly tag: number })[],
  struct: Struct,
): void {
  let count = 0;
  for (const field of tagged) if (!isDefault(field.spec, struct[field.name])) count++;
  writer.unsignedVarint(count);
  if (count === 0) return;
  for (const field of tagged) {
    const value = struct[field.name];
    if (isDefault(field.spec, value)) continue;
    writer.unsignedVarint(field.tag);
    writer.sized(() => field.write(writer, value));
  }
}

function compileField(spec: FieldSpec, outer: Scope): Compiled {
  const flexible =
    spec.flexible === undefined ? outer.flexible : includesVersion(spec.flexible, outer.version);
  const scope = { ...outer, flexible };
  const nullable = includesVersion(spec.nullable, scope.version);
  switch (spec.kind) {
    case 'array':
      return compileArray(spec, scope, nullable);
    case 'struct':
      return compileStructField(spec, scope, nullable);
    default:
      return compileScalar(spec.kind, scope, nullable);
  }
}

function compileArray(spec: FieldSpec, scope: Scope, nullable: boolean): Compiled {
  const compact = scope.flexible;
  const element =
    spec.element === 'struct'
      ? compileStruct(spec.fields ?? {}, scope)
      : compileScalar(spec.element ?? 'bytes', scope, false);
  return {
    minBytes: compact ? 1 : 4,
    read: (reader) => {
      const count = reader.elementCount(compact, element.minBytes);
      if (count < 0) return nullOr(nullable, scope);
      const values: unknown[] = [];
      for (let index = 0; index < count; index++) values.push(element.read(reader));
      return values;
    },
    write: (writer, value) => {
      if (value === null) {
        refuseNull(nullable, scope);
        writer.length32(compact, -1);
        return;
      }
      const values = value as readonly unknown[];
      writer.length32(compact, values.length);
      for (const item of values) element.write(writer, item);
    },
  };
}

function compileStructField(spec: FieldSpec, scope: Scope, nullable: boolean): Compiled {
  const struct = compileStruct(spec.fields ?? {}, scope);
  if (!nullable) {
    return {
      ...struct,
      write: (writer, value) => {
        if (value === null) refuseNull(false, scope);
        struct.write(writer, value);
      },
    };
  }
  return {
    minBytes: 1,
    read: (reader) => (reader.int8() < 0 ? null : struct.read(reader)),
    write: (writer, value) => {
      writer.int8(value === null ? -1 : 1);
      if (value !== null) struct.write(writer, value);
    },
  };
}

type ScalarKind = Exclude<FieldSpec['kind'], 'array' | 'struct'>;

function compileScalar(kind: ScalarKind, scope: Scope, nullable: boolean): Compiled {
  const compact = scope.flexible;
  switch (kind) {
    case 'bool':
      return {
        minBytes: 1,
        read: (reader) => reader.bool(),
        write: (writer, value) => writer.bool(value as boolean),
      };
    case 'uuid':
      return {
        minBytes: 16,
        read: (reader) => reader.uuid(),
        write: (writer, value) => writer.uuid(value as string),
      };
    case 'string':
      return {
        minBytes: compact ? 1 : 2,
        read: (reader) => {
          const length = compact ? reader.lengthCompact() : reader.lengthInt16();
          return length < 0 ? nullOr(nullable, scope) : reader.text(length);
        },
        write: (writer, value) => {
          if (value !== null) {
            writer.text(compact, value as string);
            return;
          }
          refuseNull(nullable, scope);
          if (compact) writer.unsignedVarint(0);
          else writer.length16(-1);
        },
      };
    case 'bytes':
    case 'records':
      return compileBytes(scope, nullable);
    default:
      return {
        minBytes: NUMBER_BYTES[kind],
        read: (reader) => reader[kind](),
        write: (writer, value) => writer[kind](value as number),
      };
  }
}

const NUMBER_BYTES = {
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  float64: 8,
} as const;

function compileBytes(scope: Scope, nullable: boolean): Compiled {
  const compact = scope.flexible;
  return {
    minBytes: compact ? 1 : 4,
    read: (reader) => {
      const length = compact ? reader.lengthCompact() : reader.lengthInt32();
      return length < 0 ? nullOr(nullable, scope) : reader.view(length);
    },
    write: (writer, value) => {
      if (value === null) {
        refuseNull(nullable, scope);
        writer.length32(compact, -1);
      } else if (value instanceof Uint8Array) {
        writer.length32(compact, value.length);
        writer.splice(value);
      } else {
        const pieces = value as readonly Uint8Array[];
        let length = 0;
        for (const piece of pieces) length += piece.length;
        writer.length32(compact, length);
        for (const piece of pieces) writer.splice(piece);
      }
    },
  };
}

function nullOr(nullable: boolean, scope: Scope): null {
  if (!nullable) {
    throw new DecodeError(`${scope.message} is null, which version ${scope.version} does not allow`);
  }
  return null;
}

function refuseNull(nullable: boolean, scope: Scope): void {
  if (!nullable) {
    throw new EncodeError(`${scope.message} is null, which version ${scope.version} does not allow`);
  }
}

/** Left out, or equal to what the field is when it is left out. */
function isDefault(spec: FieldSpec, value: unknown): boolean {
  if (value === undefined || value === spec.default) return true;
  if (value === null || spec.default === null) return false;
  switch (spec.kind) {
    case 'array':
      return (value as readonly unknown[]).length === 0;
    case 'bytes':
    case 'records':
      return (value as { readonly length: number }).length === 0;
    case 'struct':
      return Object.entries(spec.fields ?? {}).every(([name, field]) =>
        isDefault(field, (value as Struct)[name]),
      );
    default:
      return false;
  }
}
