import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { ElectLeadersRequest, ElectLeadersResponse } from '../../wire/messages/elect-leaders.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';

type TopicRow = Encodable<typeof ElectLeadersResponse>['replicaElectionResults'][number];
type PartitionRow = TopicRow['partitionResult'][number];

const PREFERRED = 0;
const UNCLEAN = 1;

/**
 * ElectLeaders. A partition has one replica, which leads it: there is nobody else to elect, and tools take
 * ELECTION_NOT_NEEDED for success. A leader that is gone is replaced by the controller, not on request.
 */
export const electLeadersApi = defineApi({
  key: ApiKey.ElectLeaders,
  request: ElectLeadersRequest,
  response: ElectLeadersResponse,
  requestMemory: 'decoded',
  handler:
    (services) =>
    ({ electionType, topicPartitions }, context) => {
      if (electionType !== PREFERRED && electionType !== UNCLEAN) {
        return { throttleTimeMs: 0, errorCode: Errors.INVALID_REQUEST, replicaElectionResults: [] };
      }
      const unavailable =
        electionType === PREFERRED
          ? Errors.PREFERRED_LEADER_NOT_AVAILABLE
          : Errors.ELIGIBLE_LEADERS_NOT_AVAILABLE;
      const live = new Set(services.brokers.reachableFrom(context.connection.local).map(({ id }) => id));
      const elect = (topic: string, index: number): PartitionRow => {
        const { error, message } = outcome(services, topic, index, live, unavailable);
        return { partitionId: index, errorCode: error, errorMessage: message };
      };
      const replicaElectionResults =
        topicPartitions === null
          ? electEverywhere(services, elect)
          : topicPartitions.map(({ topic, partitions }) => ({
              topic,
              partitionResult: partitions.map((index) => elect(topic, index)),
            }));
      return { throttleTimeMs: 0, errorCode: Errors.NONE, replicaElectionResults };
    },
});

/** Asked for all partitions, only those are told of that have no leader as they should. */
function electEverywhere(
  services: Services,
  elect: (topic: string, index: number) => PartitionRow,
): readonly TopicRow[] {
  return Array.from(services.metadata.topics(), ({ name, partitions }) => ({
    topic: name,
    partitionResult: partitions
      .map(({ index }) => elect(name, index))
      .filter(({ errorCode }) => errorCode !== Errors.ELECTION_NOT_NEEDED),
  })).filter(({ partitionResult }) => partitionResult.length > 0);
}

function outcome(
  services: Services,
  name: string,
  index: number,
  live: ReadonlySet<number>,
  unavailable: ErrorCode,
): { readonly error: ErrorCode; readonly message: string } {
  const topic = services.metadata.topicByName(name);
  if (topic === undefined) {
    return { error: Errors.UNKNOWN_TOPIC_OR_PARTITION, message: `No such topic as ${name}` };
  }
  const partition = topic.partitions[index];
  if (partition === undefined) {
    return { error: Errors.UNKNOWN_TOPIC_OR_PARTITION, message: `No such partition as ${name}-${index}` };
  }
  if (live.has(partition.leaderId)) {
    return {
      error: Errors.ELECTION_NOT_NEEDED,
      message: 'Leader election not needed for topic partition.',
    };
  }
  return {
    error: unavailable,
    message: `The only replica of the partition, broker ${partition.leaderId}, is not alive.`,
  };
}
