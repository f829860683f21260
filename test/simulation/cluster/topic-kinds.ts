/** What happens to the records of a topic while it is written and read. */
export type TopicKind = 'kept' | 'trimmed' | 'retained' | 'compacted';

/** So few bytes that a partition goes beyond them within a run. */
export const RETAINED_BYTES = 3_000;
/** So few keys that most records are superseded. */
const KEYS = 5;

const CONFIGS: Readonly<Record<TopicKind, Readonly<Record<string, string>>>> = {
  kept: {},
  trimmed: {},
  retained: { 'retention.bytes': String(RETAINED_BYTES) },
  compacted: {
    'cleanup.policy': 'compact',
    'min.cleanable.dirty.ratio': '0.01',
    'segment.ms': '1000',
  },
};

export function configsOf(kind: TopicKind): { readonly name: string; readonly value: string }[] {
  return Object.entries(CONFIGS[kind]).map(([name, value]) => ({ name, value }));
}

/** A value says who it is, so that bytes in the wrong place betray themselves (I34). */
export function valueOf(topic: string, partition: number, producer: string, counter: number): string {
  return [topic, partition, producer, counter].join('|');
}

/** The key follows from the value: producers of a topic share the keys. */
export function keyOf(value: string): string {
  return `k${Number(value.slice(value.lastIndexOf('|') + 1)) % KEYS}`;
}
