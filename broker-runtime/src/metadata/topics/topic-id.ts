import type { Random } from '../../ports/random.ts';

/** What stands for "no id" in requests and for the topic of a validation. */
export const ZERO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA';

/** Kafka's id of its own metadata topic: a UUID of 1. */
const METADATA_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAQ';

/** A random UUID as Kafka prints it; never a reserved one, and never with a leading '-', which command lines take for an option. */
export function newTopicId(random: Random, isTaken: (topicId: string) => boolean): string {
  for (;;) {
    const id = Buffer.from(random.uuid().replaceAll('-', ''), 'hex').toString('base64url');
    if (!id.startsWith('-') && id !== ZERO_TOPIC_ID && id !== METADATA_TOPIC_ID && !isTaken(id)) return id;
  }
}
