import { MillraceError } from '../base/errors.ts';

/**
 * What a template hands to each instance, as /etc/millrace/instance.json: the same for all instances of a cluster. What
 * differs (zone, address, instance id) the instance learns from its metadata service, and which slot is its own it claims.
 */
export interface InstanceConfig {
  /** The environment's name: the value of the tag {@link CLUSTER_TAG} of everything that belongs to the cluster. */
  readonly cluster: string;
  readonly region: string;
  /** Of the data bucket; the cluster is all of it. */
  readonly bucket: string;
  /** How often the cluster was promoted in a copy of its bucket. Absent: never. */
  readonly generation?: number;
  readonly walKind: 'block-shared' | 'object';
  readonly slots: readonly SlotConfig[];
  /** The Auto Scaling group of each zone, by zone name. */
  readonly groups: Readonly<Record<string, string>>;
  readonly launchHook: string;
  readonly terminateHook: string;
  readonly dns: { readonly hostedZoneId: string; readonly domain: string };
  /** How clients connect. Absent: in plaintext. */
  readonly tls?: TlsConfig;
  /** How brokers connect to each other. Absent: in plaintext. */
  readonly peerTls?: PeerTlsConfig;
  /** Where clients connect. */
  readonly port: number;
  /** Where other brokers connect. */
  readonly internalPort: number;
  /** Kafka broker settings by their Kafka names. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface TlsConfig {
  /** Of a secret whose text is JSON with the PEM texts `certificate`, `privateKey` and, for `required`, `clientAuthorities`. */
  readonly secretId: string;
  /** Whether clients have to show a certificate of the secret's authorities. */
  readonly clientCertificates: 'required' | 'none';
}

export interface PeerTlsConfig {
  /** Of a secret whose text is JSON with the PEM texts `certificate`, `privateKey` and `authorities`. */
  readonly secretId: string;
  /** DNS name that the certificates of this cluster's brokers carry. */
  readonly name: string;
}

export interface SlotConfig {
  readonly nodeId: number;
  readonly zone: string;
}

/** On every volume and instance of a cluster; policies and the search for volumes rest on it. */
export const CLUSTER_TAG = 'millrace:cluster';
/** On a volume: the node id whose WAL it holds. */
export const NODE_ID_TAG = 'millrace:node-id';
/** Of the metrics that brokers' agents put. */
export const METRIC_NAMESPACE = 'Millrace';
/** Brokers say so, and the alarm goes off: time to find out whose it is to renew a certificate, and to do it. */
export const CERTIFICATE_ENDS_SOON_DAYS = 14;

export class InstanceConfigError extends MillraceError {
  readonly code = 'INSTANCE_CONFIG';
}

const TEXTS = ['cluster', 'region', 'bucket', 'launchHook', 'terminateHook'] as const;
const PORTS = ['port', 'internalPort'] as const;

/** @throws {InstanceConfigError} with the first field that is not what a template writes */
export function parseInstanceConfig(text: string): InstanceConfig {
  const refuse = (path: string, got: unknown, allowed: string): never => {
    const shown = got === undefined ? 'missing' : JSON.stringify(got).slice(0, 100);
    throw new InstanceConfigError(
      `instance configuration: ${path} is ${shown}, allowed ${allowed}; deploy the cluster stack again`,
    );
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return refuse('the file', text, 'one JSON object');
  }
  if (typeof parsed !== 'object' || parsed === null) return refuse('the file', parsed, 'one JSON object');
  const config: Partial<Record<keyof InstanceConfig, unknown>> = parsed;
  for (const name of TEXTS) {
    if (typeof config[name] !== 'string' || config[name] === '') refuse(name, config[name], 'a text');
  }
  for (const name of PORTS) {
    const port = config[name];
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65_535) {
      refuse(name, port, '0 to 65535');
    }
  }
  const { generation = 0 } = config;
  if (typeof generation !== 'number' || !Number.isInteger(generation) || generation < 0) {
    refuse('generation', generation, 'a whole number from 0 on');
  }
  if (config.walKind !== 'block-shared' && config.walKind !== 'object') {
    refuse('walKind', config.walKind, 'block-shared or object');
  }
  if (!Array.isArray(config.slots) || !config.slots.every(isSlot)) {
    refuse('slots', config.slots, 'a list of node ids with their zones');
  }
  if (config.tls !== undefined && !isTls(config.tls)) {
    refuse('tls', config.tls, 'secretId, and clientCertificates "required" or "none"');
  }
  if (config.peerTls !== undefined && !isPeerTls(config.peerTls)) {
    refuse('peerTls', config.peerTls, 'secretId and name');
  }
  for (const name of ['groups', 'dns', 'settings'] as const) {
    const fields = config[name];
    const isMap =
      typeof fields === 'object' &&
      fields !== null &&
      Object.values(fields).every((value) => typeof value === 'string');
    if (!isMap) refuse(name, fields, 'an object of texts');
  }
  // Each of its fields was checked.
  return parsed as InstanceConfig;
}

function isSlot(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { nodeId, zone }: { nodeId?: unknown; zone?: unknown } = value;
  return Number.isInteger(nodeId) && typeof zone === 'string';
}

function isTls(value: unknown): value is TlsConfig {
  if (typeof value !== 'object' || value === null) return false;
  const { secretId, clientCertificates }: Partial<Record<keyof TlsConfig, unknown>> = value;
  return typeof secretId === 'string' && (clientCertificates === 'required' || clientCertificates === 'none');
}

function isPeerTls(value: unknown): value is PeerTlsConfig {
  if (typeof value !== 'object' || value === null) return false;
  const { secretId, name }: Partial<Record<keyof PeerTlsConfig, unknown>> = value;
  return typeof secretId === 'string' && typeof name === 'string' && name !== '';
}
