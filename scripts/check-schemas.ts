/**
 * Compares our message tables with Kafka's own, field by field and version by version.
 *
 *   npm run check:schemas              with the JSON in Kafka's jars, downloaded once from Maven Central
 *   npm run check:schemas -- DIR       with a folder of Kafka's JSON files
 *
 * Prints every difference and exits with 1 if there is one.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  includesVersion,
  parseVersions,
  type FieldSpec,
  type Fields,
  type Message,
} from '../broker-runtime/src/wire/schema.ts';
import { schemasInFolder, schemasInJars, type KafkaField, type KafkaMessage } from './kafka-schemas.ts';

const root = path.dirname(import.meta.dirname);
const wire = path.join(root, 'broker-runtime', 'src', 'wire');

const folder = process.argv[2];
const kafka = folder === undefined ? await schemasInJars(path.join(root, '.cache')) : schemasInFolder(folder);
const ours = await ourMessages();

const differences: string[] = [];
const missing: string[] = [];
let compared = 0;
for (const message of ours) {
  const theirs = kafka.get(message.name);
  if (theirs === undefined) missing.push(message.name);
  else compareMessage(message, theirs);
}

for (const line of differences) console.log(line);
if (missing.length > 0) console.log(`not among Kafka's files: ${missing.join(', ')}`);
console.log(
  `${ours.length - missing.length} messages in ${compared} versions compared, ${differences.length} differences`,
);
// A folder may be Kafka's clients/ alone, which lacks the records of the group coordinator; the jars have all.
const mustHave = folder === undefined ? missing : missing.filter((name) => /(Request|Response)$/.test(name));
process.exitCode = differences.length > 0 || mustHave.length > 0 ? 1 : 0;

async function ourMessages(): Promise<Message[]> {
  const names = readdirSync(path.join(wire, 'messages')).map((name) => path.join('messages', name));
  const found: Message[] = [];
  for (const name of [...names, 'headers.ts']) {
    const module = (await import(pathToFileURL(path.join(wire, name)).href)) as Record<string, unknown>;
    found.push(...Object.values(module).filter(isMessage));
  }
  return found;
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'plans' in value && 'fields' in value;
}

function compareMessage(message: Message, theirs: KafkaMessage): void {
  if (message.apiKey !== undefined) same(message.name, 'apiKey', message.apiKey, theirs.apiKey);
  // Kafka 4 stores the type of a coordinator's key where older versions had its version: the layout is one.
  const isKey = theirs.type === 'coordinator-key';
  const valid = parseVersions(theirs.validVersions);
  const flexible = parseVersions(theirs.flexibleVersions);
  const structs = new Map((theirs.commonStructs ?? []).map(({ name, fields }) => [name, fields]));
  for (let version = message.versions.from; version <= message.versions.to; version++) {
    const where = `${message.name} v${version}`;
    const theirVersion = isKey ? valid.from : version;
    if (!includesVersion(valid, theirVersion)) {
      differences.push(`${where}: Kafka has only ${theirs.validVersions}`);
      continue;
    }
    compared++;
    const isFlexible = includesVersion(flexible, theirVersion);
    same(where, 'flexible', includesVersion(message.flexible, version), isFlexible);
    compareFields(where, message.fields, theirs.fields, { structs, version, theirVersion, isFlexible });
  }
}

interface Scope {
  readonly structs: ReadonlyMap<string, readonly KafkaField[]>;
  readonly version: number;
  readonly theirVersion: number;
  readonly isFlexible: boolean;
}

function compareFields(where: string, our: Fields, their: readonly KafkaField[], scope: Scope): void {
  const ourFields = Object.entries(our).filter(([, spec]) => includesVersion(spec.versions, scope.version));
  const theirFields = their.filter((field) =>
    isIn(field.versions ?? field.taggedVersions, scope.theirVersion),
  );
  const theirNames = theirFields.map((field) => camelCase(field.name));
  same(where, 'fields', ourFields.map(([name]) => name).join(' '), theirNames.join(' '));
  for (const [name, spec] of ourFields) {
    const field = theirFields[theirNames.indexOf(name)];
    if (field !== undefined) compareField(`${where} ${name}`, spec, field, scope);
  }
}

function compareField(where: string, spec: FieldSpec, field: KafkaField, scope: Scope): void {
  const isArray = field.type.startsWith('[]');
  const elementType = isArray ? field.type.slice(2) : field.type;
  const structFields = field.fields ?? scope.structs.get(elementType);
  const kind = structFields === undefined ? elementType : 'struct';
  same(
    where,
    'type',
    spec.kind === 'array' ? `[]${spec.element ?? ''}` : spec.kind,
    isArray ? `[]${kind}` : kind,
  );

  const isNullable = isIn(field.nullableVersions, scope.theirVersion);
  same(where, 'nullable', includesVersion(spec.nullable, scope.version), isNullable);
  same(where, 'tag', spec.tag, isIn(field.taggedVersions, scope.theirVersion) ? field.tag : undefined);
  same(where, 'ignorable', spec.ignorable, field.ignorable ?? false);
  same(
    where,
    'default',
    printDefault(spec.default),
    printDefault(kafkaDefault(field, isArray ? 'array' : kind)),
  );
  same(
    where,
    'flexible',
    spec.flexible === undefined ? scope.isFlexible : includesVersion(spec.flexible, scope.version),
    field.flexibleVersions === undefined
      ? scope.isFlexible
      : isIn(field.flexibleVersions, scope.theirVersion),
  );
  if (structFields !== undefined) compareFields(where, spec.fields ?? {}, structFields, scope);
}

/** Kafka writes defaults as text, and leaves out the zero of the type. */
function kafkaDefault(field: KafkaField, kind: string): unknown {
  const written = field.default;
  if (written === null || written === 'null' || kind === 'records') return null;
  if (kind === 'array' || kind === 'struct' || kind === 'bytes') return {};
  if (kind === 'string') return written ?? '';
  if (kind === 'uuid') return 'AAAAAAAAAAAAAAAAAAAAAA';
  if (kind === 'bool') return String(written) === 'true';
  return Number(written ?? 0);
}

function printDefault(value: unknown): string {
  return typeof value === 'object' && value !== null ? 'empty' : JSON.stringify(value);
}

function isIn(range: string | undefined, version: number): boolean {
  return range !== undefined && includesVersion(parseVersions(range), version);
}

function camelCase(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function same(where: string, what: string, our: unknown, their: unknown): void {
  if (our !== their) differences.push(`${where}: ${what} is ${String(our)}, Kafka has ${String(their)}`);
}
