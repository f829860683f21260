/** Numbers of the requests this broker knows, by the names Kafka gives them. */
export const ApiKey = {
  Produce: 0,
  Fetch: 1,
  ListOffsets: 2,
  Metadata: 3,
  OffsetCommit: 8,
  OffsetFetch: 9,
  FindCoordinator: 10,
  JoinGroup: 11,
  Heartbeat: 12,
  LeaveGroup: 13,
  SyncGroup: 14,
  DescribeGroups: 15,
  ListGroups: 16,
  ApiVersions: 18,
  CreateTopics: 19,
  DeleteTopics: 20,
  DeleteRecords: 21,
  InitProducerId: 22,
  OffsetForLeaderEpoch: 23,
  DescribeConfigs: 32,
  AlterConfigs: 33,
  DescribeLogDirs: 35,
  CreatePartitions: 37,
  DeleteGroups: 42,
  ElectLeaders: 43,
  IncrementalAlterConfigs: 44,
  AlterPartitionReassignments: 45,
  ListPartitionReassignments: 46,
  OffsetDelete: 47,
  DescribeCluster: 60,
  DescribeTopicPartitions: 75,
} as const;
export type ApiName = keyof typeof ApiKey;

export interface ApiVersionRange {
  readonly name: ApiName;
  /** Versions that are served. */
  readonly min: number;
  readonly max: number;
  /** What ApiVersions says the lowest one is; differs from `min` for Produce alone. */
  readonly advertisedMin: number;
  /** First version with compact lengths, tagged fields and header version 2; Infinity for none. */
  readonly flexibleFrom: number;
}

/**
 * The versions we serve, all within what Kafka 4.3 accepts. Ends below Kafka's own: Fetch 18 and ListOffsets 10-11
 * belong to replication and tiered storage; InitProducerId 6 is not stable; OffsetCommit and OffsetFetch 10
 * identify topics by id; DescribeCluster 2 lists fenced brokers; DescribeLogDirs 5 serves cordoned directories.
 *
 * Produce below 3 is advertised and refused, as Kafka does (KAFKA-18659): librdkafka up to 2.x takes a minimum of 3
 * for "no message format with compression" and silently sends uncompressed batches.
 */
const RANGES: readonly (readonly [ApiName, number, number, number])[] = [
  ['Produce', 3, 13, 9],
  ['Fetch', 4, 17, 12],
  ['ListOffsets', 1, 9, 6],
  ['Metadata', 0, 13, 9],
  ['OffsetCommit', 2, 9, 8],
  ['OffsetFetch', 1, 9, 6],
  ['FindCoordinator', 0, 6, 3],
  ['JoinGroup', 0, 9, 6],
  ['Heartbeat', 0, 4, 4],
  ['LeaveGroup', 0, 5, 4],
  ['SyncGroup', 0, 5, 4],
  ['DescribeGroups', 0, 6, 5],
  ['ListGroups', 0, 5, 3],
  ['ApiVersions', 0, 4, 3],
  ['CreateTopics', 2, 7, 5],
  ['DeleteTopics', 1, 6, 4],
  ['DeleteRecords', 0, 2, 2],
  ['InitProducerId', 0, 5, 2],
  ['OffsetForLeaderEpoch', 2, 4, 4],
  ['DescribeConfigs', 1, 4, 4],
  ['AlterConfigs', 0, 2, 2],
  ['DescribeLogDirs', 1, 4, 2],
  ['CreatePartitions', 0, 3, 2],
  ['DeleteGroups', 0, 2, 2],
  ['ElectLeaders', 0, 2, 2],
  ['IncrementalAlterConfigs', 0, 1, 1],
  ['AlterPartitionReassignments', 0, 1, 0],
  ['ListPartitionReassignments', 0, 0, 0],
  ['OffsetDelete', 0, 0, Infinity],
  ['DescribeCluster', 0, 1, 0],
  ['DescribeTopicPartitions', 0, 0, 0],
];

const LOWEST_ADVERTISED_PRODUCE = 0;

export const API_VERSIONS: ReadonlyMap<number, ApiVersionRange> = new Map(
  RANGES.map(([name, min, max, flexibleFrom]) => [
    ApiKey[name],
    { name, min, max, flexibleFrom, advertisedMin: name === 'Produce' ? LOWEST_ADVERTISED_PRODUCE : min },
  ]),
);

/** The API of a key in requests, or undefined when this broker does not know it. */
export function apiOf(apiKey: number): ApiVersionRange | undefined {
  return API_VERSIONS.get(apiKey);
}

/** Whether requests of this version are served. */
export function isSupported(apiKey: number, apiVersion: number): boolean {
  const api = API_VERSIONS.get(apiKey);
  return api !== undefined && apiVersion >= api.min && apiVersion <= api.max;
}
