/** Kafka's limit: a name, a dash and a partition number must fit a file name of 255 bytes. */
const MAX_TOPIC_NAME_LENGTH = 249;
const TOPIC_NAME = /^[a-zA-Z0-9._-]+$/;

/** Topics of the coordinators, known to clients as internal (`Topic.hasInternal` in Kafka). */
const INTERNAL_TOPICS: ReadonlySet<string> = new Set([
  '__consumer_offsets',
  '__transaction_state',
  '__share_group_state',
]);

/** Why this cannot be the name of a topic, or undefined. */
export function topicNameProblem(name: string): string | undefined {
  if (name.length === 0) return 'Topic name is invalid: the empty string is not allowed';
  if (name === '.' || name === '..') return `Topic name is invalid: '${name}' is not allowed`;
  if (name.length > MAX_TOPIC_NAME_LENGTH) {
    return `Topic name is invalid: it has ${name.length} characters, at most ${MAX_TOPIC_NAME_LENGTH} are allowed`;
  }
  if (!TOPIC_NAME.test(name)) {
    return `Topic name is invalid: '${name}' has characters other than ASCII letters, digits, '.', '_' and '-'`;
  }
  return undefined;
}

export function isInternalTopic(name: string): boolean {
  return INTERNAL_TOPICS.has(name);
}

/** Names with the same key are confused in metric names, where Kafka writes '_' for '.': only one of them may exist. */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_');
}
