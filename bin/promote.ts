import { hostname, userInfo } from 'node:os';
import { type PromotionOutcome, runPromotion } from '../broker-runtime/src/main/run-promotion.ts';
import { OptionError, storeConfig, type StoreOptions } from '../twin/options.ts';

/** More lines than that tell a person nothing. */
const SHOWN_MAX = 20;

export interface PromoteOptions extends StoreOptions {
  readonly plan: boolean;
  readonly acceptLoss: boolean;
  readonly json: boolean;
}

/** `millrace promote`: makes a cluster of a copy of its bucket, or shows what it would be. */
export async function promoteCommand(options: PromoteOptions): Promise<void> {
  if (options.store === undefined) {
    throw new OptionError('got no --store, allowed: --store s3://BUCKET/PREFIX or a folder: the copy');
  }
  const stop = new AbortController();
  process.once('SIGINT', () => {
    stop.abort(
      new OptionError('interrupted; nothing was promoted, or all of it was: run it with --plan to see'),
    );
  });
  const outcome = await runPromotion({
    store: storeConfig(options, ''),
    writer: `millrace promote, ${userInfo().username}@${hostname()}`,
    isPlan: options.plan,
    acceptLoss: options.acceptLoss,
    signal: stop.signal,
    heard: process.stderr.isTTY
      ? (progress) => process.stderr.write(`\r\u001b[K${progress}`)
      : () => undefined,
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  process.stdout.write(options.json ? `${JSON.stringify(outcome)}\n` : render(outcome, options.plan));
}

export function render(outcome: PromotionOutcome, isPlan: boolean): string {
  const { clusterId, cutSequence, cutAtWallMs, partitions, missingObjects, missingKeys, generation } =
    outcome;
  const topics = new Set(partitions.map(({ topic }) => topic)).size;
  const lines = [
    `cluster   ${clusterId}`,
    `cut       entry ${cutSequence} of the metadata log, ${timeOf(cutAtWallMs) ?? 'at a time that nothing tells'}`,
    `kept      ${topics} topics with ${partitions.length} partitions; each goes on at:`,
    ...shown(partitions, ({ topic, partition, endOffset }) => `${topic} ${partition}: ${endOffset}`),
    `given up  ${givenUp(outcome)}`,
    ...shown(missingKeys, (key) => `missing: ${key}`, missingObjects),
    ...outcome.skippedSnapshots.map((why) => `          not usable: ${why}`),
    `lost      ${unsaved(outcome)}`,
    '',
    isPlan
      ? 'Nothing was changed. Without --plan this becomes the cluster.'
      : `Promoted. Start every broker on this bucket with generation ${generation} (millrace up --generation ${generation});\n` +
        'then, before consumers start: millrace clamp-offsets --bootstrap HOST:PORT',
  ];
  return `${lines.join('\n')}\n`;
}

function givenUp({
  givenUpMs,
  readableSequence,
  cutSequence,
  readableAtWallMs,
  newestSequence,
  ...rest
}: PromotionOutcome) {
  const behind = [
    ...(readableSequence > cutSequence
      ? [
          `${givenUpMs === null ? 'an unknown time' : `${(givenUpMs / 1_000).toFixed(1)} s`} up to ` +
            `${timeOf(readableAtWallMs) ?? 'the end of the log'}, because ${rest.missingObjects} data objects are not there`,
        ]
      : []),
    ...(newestSequence > readableSequence
      ? [`log entries ${readableSequence + 1} to ${newestSequence}: ${rest.cutShortBy ?? 'not readable'}`]
      : []),
  ];
  return behind.length === 0 ? 'nothing of what was replicated' : behind.join('; ');
}

function timeOf(wallMs: number | null): string | undefined {
  return wallMs === null ? undefined : new Date(wallMs).toISOString();
}

function unsaved({ brokersWithLogs }: PromotionOutcome): string {
  if (brokersWithLogs.length === 0) return 'nothing else: every broker had left in order';
  const brokers = brokersWithLogs.map(({ nodeId }) => nodeId).join(', ');
  return `what brokers ${brokers} had acknowledged and not uploaded at the cut; it is in no bucket`;
}

function shown<T>(rows: readonly T[], line: (row: T) => string, count = rows.length): readonly string[] {
  const lines = rows.slice(0, SHOWN_MAX).map((row) => `          ${line(row)}`);
  return count > lines.length
    ? [...lines, `          and ${count - lines.length} more (--json shows more)`]
    : lines;
}
