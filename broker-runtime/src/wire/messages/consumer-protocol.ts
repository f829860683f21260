import { message, int32, string, bytes, array, type Decoded } from '../schema.ts';

/**
 * What consumers put into the opaque bytes of the classic protocol. The broker reads subscriptions for one
 * purpose: to refuse OffsetDelete of a topic that a member still subscribes to.
 */
export const ConsumerProtocolSubscription = message({
  name: 'ConsumerProtocolSubscription',
  versions: '0-3',
  flexible: 'none',
  fields: {
    topics: array('0+', 'string'),
    userData: bytes('0+', { nullable: '0+', default: null }),
    ownedPartitions: array(
      '1+',
      {
        topic: string('1+'),
        partitions: array('1+', 'int32'),
      },
      { ignorable: true },
    ),
    generationId: int32('2+', { default: -1, ignorable: true }),
    rackId: string('3+', { nullable: '3+', default: null, ignorable: true }),
  },
});
export type ConsumerProtocolSubscription = Decoded<typeof ConsumerProtocolSubscription>;

export const ConsumerProtocolAssignment = message({
  name: 'ConsumerProtocolAssignment',
  versions: '0-3',
  flexible: 'none',
  fields: {
    assignedPartitions: array('0+', {
      topic: string('0+'),
      partitions: array('0+', 'int32'),
    }),
    userData: bytes('0+', { nullable: '0+', default: null }),
  },
});
export type ConsumerProtocolAssignment = Decoded<typeof ConsumerProtocolAssignment>;
