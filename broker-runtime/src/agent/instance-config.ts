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
  readonly walKind: 'block-shared' | 'object';
  readonly slots: readonly SlotConfig[];
  /** The Auto Scaling group of each zone, by zone name. */
  readonly groups: Readonly<Record<string, string>>;
  readonly launchHook: string;
  readonly terminateHook: string;
  readonly dns: { readonly hostedZoneId: string; readonly domain: string };
  /** Where clients connect. */
  readonly port: number;
  /** Where other brokers connect. */
  readonly internalPort: number;
  /** Kafka broker settings by their Kafka names. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface SlotConfig {
  readonly nodeId: number;
  readonly zone: string;
}

/** On every volume and instance of a cluster; policies and the search for volumes rest on it. */
export const CLUSTER_TAG = 'millrace:cluster';
/** On a volume: the node id whose WAL it holds. */
export const NODE_ID_TAG = 'millrace:node-id';
