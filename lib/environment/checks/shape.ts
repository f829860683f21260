import type {
  AlarmOptions,
  ClientOptions,
  DataOptions,
  DnsOptions,
  Environment,
  ExistingNetwork,
  InstanceOptions,
  NewNetwork,
  PeerTlsOptions,
  RecoveryOptions,
  ScalingOptions,
  ScheduledSize,
  TlsOptions,
  WalOptions,
} from '../environment.ts';
import type { Checks } from './checks.ts';

/*
 * Node runs an environment's file without looking at its types, and so does `cdk synth`: a misspelt field would be a default
 * that nobody wanted, and `tier: 'production'` an environment without the checks of prod. So the form is checked here as well; the
 * compiler holds these tables against the types, field by field.
 */
type Field = Simple | Choice | Inner | List;
type Simple = { readonly kind: 'text' | 'number' | 'flag' | 'texts' | 'map'; readonly isRequired: boolean };
type Choice = { readonly kind: 'choice'; readonly allowed: readonly string[]; readonly isRequired: boolean };
type Inner = { readonly kind: 'inner'; readonly fields: Fields; readonly isRequired: boolean };
type List = { readonly kind: 'list'; readonly fields: Fields; readonly isRequired: boolean };
type Fields = Readonly<Record<string, Field>>;
type FieldsOf<T> = { readonly [Name in keyof Required<T>]: Field };

const text: Simple = { kind: 'text', isRequired: false };
const number: Simple = { kind: 'number', isRequired: false };
const flag: Simple = { kind: 'flag', isRequired: false };
const texts: Simple = { kind: 'texts', isRequired: false };
const map: Simple = { kind: 'map', isRequired: false };
/** Of a union of texts: each of them has to be named, and no other. */
const oneOf = <T extends string>(allowed: Readonly<Record<T, true>>): Choice => ({
  kind: 'choice',
  allowed: Object.keys(allowed),
  isRequired: false,
});
const inner = <T>(fields: FieldsOf<T>): Inner => ({ kind: 'inner', fields, isRequired: false });
const listOf = <T>(fields: FieldsOf<T>): List => ({ kind: 'list', fields, isRequired: false });
const required = <F extends Field>(field: F): F => ({ ...field, isRequired: true });

const NEW_NETWORK = inner<NewNetwork>({ cidr: text });
const EXISTING_NETWORK = inner<ExistingNetwork>({
  vpcId: required(text),
  vpcCidr: required(text),
  subnetIds: required(map),
});

const ENVIRONMENT: FieldsOf<Environment> = {
  name: required(text),
  tier: oneOf<NonNullable<Environment['tier']>>({ dev: true, prod: true }),
  account: required(text),
  region: required(text),
  zones: required(texts),
  slotsPerZone: number,
  instances: inner<InstanceOptions>({
    architecture: oneOf<NonNullable<InstanceOptions['architecture']>>({ arm64: true, x86_64: true }),
    types: texts,
    imageId: text,
    onDemandBasePerZone: number,
    spotPercent: number,
    sessionManager: flag,
  }),
  wal: inner<WalOptions>({
    kind: oneOf<NonNullable<WalOptions['kind']>>({ 'block-shared': true, object: true }),
    sizeGiB: number,
    iops: number,
  }),
  data: inner<DataOptions>({
    bucketName: text,
    promoted: inner<NonNullable<DataOptions['promoted']>>({ generation: required(number) }),
    noncurrentDays: number,
    removal: oneOf<NonNullable<DataOptions['removal']>>({ retain: true, destroy: true }),
    confirmDestroy: text,
  }),
  recovery: inner<RecoveryOptions>({
    region: required(text),
    storageClass: oneOf<NonNullable<RecoveryOptions['storageClass']>>({
      STANDARD: true,
      STANDARD_IA: true,
      GLACIER_IR: true,
    }),
    replicationTimeControl: flag,
    alarmTopicArn: text,
  }),
  network: NEW_NETWORK,
  dns: inner<DnsOptions>({ domain: required(text), hostedZoneId: text }),
  clients: required(
    inner<ClientOptions>({
      allowedCidrs: required(texts),
      port: number,
      tls: inner<TlsOptions>({
        secretArn: required(text),
        clientCertificates: oneOf<NonNullable<TlsOptions['clientCertificates']>>({
          required: true,
          none: true,
        }),
      }),
      acceptPlaintext: flag,
    }),
  ),
  peerTls: inner<PeerTlsOptions>({ secretArn: required(text) }),
  scaling: inner<ScalingOptions>({
    minPerZone: number,
    maxPerZone: number,
    schedule: listOf<ScheduledSize>({
      name: required(text),
      cron: required(text),
      perZone: required(number),
    }),
    busyPercent: number,
  }),
  alarms: inner<AlarmOptions>({ topicArn: required(text) }),
  tags: map,
  permissionsBoundaryArn: text,
  brokerSettings: map,
};

/** The form of an environment. Where it is wrong, nothing else of it is looked at. */
export function checkShape({ environment, report }: Checks): void {
  const isExisting = isObject(environment.network) && 'vpcId' in environment.network;
  const fields = { ...ENVIRONMENT, network: isExisting ? EXISTING_NETWORK : NEW_NETWORK };
  checkFields(environment, fields, '', report);
}

function checkFields(given: object, fields: Fields, prefix: string, report: Checks['report']): void {
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (value === undefined || Object.hasOwn(fields, name)) continue;
    report(
      'UnknownField',
      prefix + name,
      value,
      Object.keys(fields).join(', '),
      'correct its name, or remove it',
    );
  }
  for (const [name, field] of Object.entries(fields)) {
    const value = (given as Readonly<Record<string, unknown>>)[name];
    checkField(value, field, prefix + name, report);
  }
}

function checkField(value: unknown, field: Field, path: string, report: Checks['report']): void {
  if (value === undefined) {
    if (field.isRequired)
      report('MissingField', path, value, nameOf(field), 'write it: see lib/environment/environment.ts');
    return;
  }
  if (!isOfKind(value, field)) {
    report('WrongForm', path, value, nameOf(field), 'see lib/environment/environment.ts');
  } else if (field.kind === 'inner') {
    checkFields(value as object, field.fields, `${path}.`, report);
  } else if (field.kind === 'list') {
    (value as object[]).forEach((one, at) => checkFields(one, field.fields, `${path}[${at}].`, report));
  }
}

function isOfKind(value: unknown, field: Field): boolean {
  switch (field.kind) {
    case 'text':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'flag':
      return typeof value === 'boolean';
    case 'texts':
      return Array.isArray(value) && value.every((one) => typeof one === 'string');
    case 'map':
      return isObject(value) && Object.values(value).every((one) => typeof one === 'string');
    case 'choice':
      return typeof value === 'string' && field.allowed.includes(value);
    case 'inner':
      return isObject(value);
    case 'list':
      return Array.isArray(value) && value.every(isObject);
  }
}

function nameOf(field: Field): string {
  switch (field.kind) {
    case 'text':
      return 'a text';
    case 'number':
      return 'a number';
    case 'flag':
      return 'true or false';
    case 'texts':
      return 'a list of texts';
    case 'map':
      return "an object of texts, numbers as in '6' among them";
    case 'choice':
      return field.allowed.map((one) => JSON.stringify(one)).join(' or ');
    case 'inner':
      return `an object with ${Object.keys(field.fields).join(', ')}`;
    case 'list':
      return `a list of objects with ${Object.keys(field.fields).join(', ')}`;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
