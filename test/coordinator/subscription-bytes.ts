import { encodeVersioned } from '../../broker-runtime/src/wire/codec.ts';
import { ConsumerProtocolSubscription } from '../../broker-runtime/src/wire/messages/consumer-protocol.ts';

/** A subscription as the Java consumer encodes it; the version grows with the assignor's needs. */
export function subscriptionBytes(options: {
  readonly topics: readonly string[];
  readonly version?: number;
}): Uint8Array {
  const version = options.version ?? 1;
  return encodeVersioned(ConsumerProtocolSubscription, version, {
    topics: options.topics,
    userData: null,
    ...(version >= 1 ? { ownedPartitions: [{ topic: options.topics[0] ?? 't', partitions: [0, 1] }] } : {}),
    ...(version >= 2 ? { generationId: 4 } : {}),
    ...(version >= 3 ? { rackId: 'euc1-az1' } : {}),
  });
}
