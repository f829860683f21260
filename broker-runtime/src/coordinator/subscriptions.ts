import { decodeVersioned, DecodeError } from '../wire/codec.ts';
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
      const metadata = member.metadataOf(protocolName);
      const subscription = decodeVersioned(ConsumerProtocolSubscription, metadata, { newestAtMost: true });
      for (const topic of subscription.topics) topics.add(topic);
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  }
  return topics;
}
