import type { Topic } from '../../metadata/cluster-metadata.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors } from '../../wire/errors.ts';
import { DescribeClusterRequest, DescribeClusterResponse } from '../../wire/messages/describe-cluster.ts';
import { DescribeLogDirsRequest, DescribeLogDirsResponse } from '../../wire/messages/describe-log-dirs.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { ALL_CLUSTER_OPERATIONS, OPERATIONS_OMITTED } from './authorized-operations.ts';
import { openPartition } from './partition-access.ts';

const BROKERS = 1;
const CONTROLLERS = 2;

/** Who is there (KIP-700). Controllers have no endpoint of their own: every broker can be asked everything. */
export const describeClusterApi = defineApi({
  key: ApiKey.DescribeCluster,
  request: DescribeClusterRequest,
  response: DescribeClusterResponse,
  requestMemory: 'decoded',
  handler: (services) => (request, context) => {
    const { endpointType } = request;
    const { clusterId } = services.metadata;
    if (endpointType !== BROKERS) {
      const errorCode =
        endpointType === CONTROLLERS ? Errors.MISMATCHED_ENDPOINT_TYPE : Errors.UNSUPPORTED_ENDPOINT_TYPE;
      const errorMessage = `endpoint type ${endpointType} was asked for, this endpoint is of type ${BROKERS}`;
      return { throttleTimeMs: 0, errorCode, errorMessage, endpointType, clusterId, brokers: [] };
    }
    const brokers = services.brokers.reachableFrom(context.connection.local);
    return {
      throttleTimeMs: 0,
      errorCode: Errors.NONE,
      clusterId,
      controllerId: services.brokers.controllerId,
      brokers: brokers.map(({ id, ...address }) => ({ brokerId: id, ...address })),
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
        ? ALL_CLUSTER_OPERATIONS
        : OPERATIONS_OMITTED,
    };
  },
});

/** The one "directory" that tools see: partitions live in streams, not in files. */
const LOG_DIR = 'stream-store';

/** Sizes of partitions (KIP-113), for the tools that add them up. Total and usable space of a bucket are unknown: -1. */
export const describeLogDirsApi = defineApi({
  key: ApiKey.DescribeLogDirs,
  request: DescribeLogDirsRequest,
  response: DescribeLogDirsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) => {
    const asked =
      request.topics === null
        ? Array.from(services.metadata.topics(), (topic) => ({ topic, partitions: indexesOf(topic) }))
        : request.topics.flatMap(({ topic: name, partitions }) => {
            const topic = services.metadata.topicByName(name);
            return topic === undefined ? [] : [{ topic, partitions }];
          });
    const topics = await Promise.all(
      asked.map(async ({ topic, partitions }) => ({
        name: topic.name,
        partitions: (
          await Promise.all(partitions.map((index) => partitionSize(services, topic, index)))
        ).flat(),
      })),
    );
    const found = topics.filter(({ partitions }) => partitions.length > 0);
    return { throttleTimeMs: 0, results: [{ errorCode: Errors.NONE, logDir: LOG_DIR, topics: found }] };
  },
});

function indexesOf(topic: Topic): readonly number[] {
  return topic.partitions.map(({ index }) => index);
}

interface PartitionSize {
  readonly partitionIndex: number;
  readonly partitionSize: number;
  readonly offsetLag: number;
  readonly isFutureKey: boolean;
}

/** Empty for a partition that is not here, as Kafka leaves out what is not in a directory. */
async function partitionSize(services: Services, topic: Topic, index: number): Promise<PartitionSize[]> {
  const log = await openPartition(services, topic, index);
  if (typeof log === 'number') return [];
  return [{ partitionIndex: index, partitionSize: log.sizeBytes, offsetLag: 0, isFutureKey: false }];
}
