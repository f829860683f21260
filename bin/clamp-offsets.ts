import { type Admin, Kafka, logLevel } from 'kafkajs';
import { messageOf, MillraceError } from '../broker-runtime/src/base/errors.ts';

const REQUEST_TIMEOUT_MS = 30_000;

export interface ClampOptions {
  readonly bootstrap: string;
  readonly plan: boolean;
  readonly json: boolean;
}

/** A group's offset behind the end of its partition. */
export interface Clamped {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly committed: number;
  /** One past the last record: what it is set to. */
  readonly end: number;
}

export class ClampError extends MillraceError {
  readonly code = 'CLAMP_OFFSETS';
}

/**
 * `millrace clamp-offsets`: after a promotion, a group may have committed further than its partition now reaches. Its
 * consumers would be told "offset out of range" and go to the beginning, or, by the time they start, past records
 * written meanwhile. Set to the end now, they read exactly what is new.
 * @returns the exit status: 1 when a group could not be changed
 */
export async function clampOffsets({ bootstrap, plan, json }: ClampOptions): Promise<number> {
  const kafka = new Kafka({
    clientId: 'millrace-clamp-offsets',
    brokers: bootstrap.split(','),
    requestTimeout: REQUEST_TIMEOUT_MS,
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
  } catch (error) {
    throw new ClampError(`${bootstrap} cannot be reached: ${messageOf(error)}; is a broker serving there?`, {
      cause: error,
    });
  }
  try {
    const found = await offsetsBehindTheEnd(admin);
    const failed = plan ? new Map<string, string>() : await setToEnd(admin, found);
    const groups = [...failed].map(([group, reason]) => ({ group, reason }));
    process.stdout.write(
      json
        ? `${JSON.stringify({ clamped: found, failed: groups, isPlan: plan })}\n`
        : render(found, failed, plan),
    );
    return failed.size > 0 ? 1 : 0;
  } finally {
    await admin.disconnect();
  }
}

async function offsetsBehindTheEnd(admin: Admin): Promise<readonly Clamped[]> {
  const { groups } = await admin.listGroups();
  const ends = new Map<string, ReadonlyMap<number, number>>();
  const found: Clamped[] = [];
  for (const { groupId: group } of groups) {
    for (const { topic, partitions } of await admin.fetchOffsets({ groupId: group })) {
      const known = ends.get(topic) ?? (await endsOf(admin, topic));
      ends.set(topic, known);
      for (const { partition, offset } of partitions) {
        const end = known.get(partition);
        const committed = Number(offset);
        if (end !== undefined && committed > end) found.push({ group, topic, partition, committed, end });
      }
    }
  }
  return found;
}

/** Nothing for a topic that was deleted: its groups' offsets stay as they are. */
async function endsOf(admin: Admin, topic: string): Promise<ReadonlyMap<number, number>> {
  const topics = await admin.listTopics();
  if (!topics.includes(topic)) return new Map();
  const rows = await admin.fetchTopicOffsets(topic);
  return new Map(rows.map(({ partition, high }) => [partition, Number(high)]));
}

/** @returns why it failed, by group */
async function setToEnd(admin: Admin, clamped: readonly Clamped[]): Promise<ReadonlyMap<string, string>> {
  const failed = new Map<string, string>();
  const byGroup = Map.groupBy(clamped, ({ group }) => group);
  for (const [group, rows] of byGroup) {
    for (const [topic, ofTopic] of Map.groupBy(rows, (row) => row.topic)) {
      const partitions = ofTopic.map(({ partition, end }) => ({ partition, offset: String(end) }));
      try {
        await admin.setOffsets({ groupId: group, topic, partitions });
      } catch (error) {
        failed.set(group, `${messageOf(error)}; stop its consumers and run this again`);
      }
    }
  }
  return failed;
}

function render(found: readonly Clamped[], failed: ReadonlyMap<string, string>, isPlan: boolean): string {
  if (found.length === 0) return 'No group has committed past the end of a partition.\n';
  const lines = found.map(
    ({ group, topic, partition, committed, end }) =>
      `${group}  ${topic} ${partition}: ${committed} -> ${end}`,
  );
  for (const [group, reason] of failed) lines.push(`not changed: ${group}: ${reason}`);
  if (isPlan) lines.push('Nothing was changed. Without --plan these are set.');
  return `${lines.join('\n')}\n`;
}
