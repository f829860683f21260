import { decodeMessage, DecodeError, MessageReader } from '../wire/codec.ts';
import { ConsumerProtocolSubscription } from '../wire/messages/consumer-protocol.ts';
import type { Group } from './group.ts';

const CONSUMER_PROTOCOL_TYPE = 'consumer';

/** Connect, Schema Registry and others use groups too, with metadata of their own. */
export function isConsumerGroup(group: Group): boolean {
  return group.rebalance.protocolType === CONSUMER_PROTOCOL_TYPE;
}

/**
 * The topics that members of a consumer group subscribe to. The one place that looks into member metadata; undefined
 * when it cannot be told: another protocol type, no protocol chosen yet, or metadata that is none.
 */
export function subscribedTopics(group: Group): ReadonlySet<string> | undefined {
  const { protocolName } = group.rebalance;
  if (!isConsumerGroup(group) || (protocolName === undefined && group.members.size > 0)) return undefined;
  const topics = new Set<string>();
  for (const member of group.members.all()) {
    try {
      const subscription = readSubscription(member.metadataOf(protocolName));
      for (const topic of subscription.topics) topics.add(topic);
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  }
  return topics;
}

/**
 * Every version begins with the fields of version 0, and those are read whatever the version says: kafkajs writes
 * version 1 and leaves out the partitions that belong to it.
 */
function readSubscription(metadata: Uint8Array): ConsumerProtocolSubscription {
  const reader = new MessageReader(metadata);
  reader.int16();
  return decodeMessage(ConsumerProtocolSubscription, 0, reader);
}
