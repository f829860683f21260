import { type CostLine, formatAmount, totalOf } from './cost-line.ts';
import type { CostEstimate } from './estimate.ts';
import { DAYS, type Load } from './load.ts';

/** The estimate as text: two tables, what the WAL's IOPS do to the bill, and where the prices are from. */
export function costTable(name: string, region: string, load: Load, estimate: CostEstimate): string {
  const { lines, totalUsd, kafkaLines, kafkaTotalUsd, walChoices } = estimate;
  const sources = [...new Set([...lines, ...kafkaLines].map(({ source }) => source))];
  const heading =
    `Estimate for ${name} (${region}), a month of ${DAYS} days: ${formatAmount(load.writeMiBPerSecond)} MiB/s written, ` +
    `read ${formatAmount(load.fanout)} times, kept ${formatAmount(load.retentionDays)} days`;
  const choices = walChoices.map(
    ({ iops, monthlyUsd }) => `  ${formatAmount(iops).padStart(7)} IOPS a slot  ${usd(monthlyUsd)}`,
  );
  return [
    heading,
    '',
    ...table(lines, sources),
    ...totalRow('Millrace', totalUsd),
    ...secondRegion(lines),
    '',
    'The same on Apache Kafka, three replicas on gp3, in one region:',
    ...table(kafkaLines, sources),
    ...totalRow('Kafka', kafkaTotalUsd),
    ...(choices.length === 0 ? [] : ['', 'All WAL volumes with other IOPS:', ...choices]),
    '',
    'Prices (us-east-1; no taxes, support or savings plans):',
    ...sources.map((source, at) => `  [${at + 1}] ${source}`),
  ].join('\n');
}

/** A cluster in one region alone, as Kafka's is below, has no such lines. */
function secondRegion(lines: readonly CostLine[]): string[] {
  const part = totalOf(lines.filter(({ item }) => /^replica/.test(item)));
  return part === 0 ? [] : [`  ${'of which for the second region'.padEnd(ITEM_WIDTH)} ${usd(part)}`];
}

const ITEM_WIDTH = 42;
const USD_WIDTH = 11;

function table(lines: readonly CostLine[], sources: readonly string[]): string[] {
  return lines.map(
    ({ item, formula, unitPrice, source, monthlyUsd }) =>
      `  ${item.padEnd(ITEM_WIDTH)} ${usd(monthlyUsd)}  ${formula}, ${unitPrice} [${sources.indexOf(source) + 1}]`,
  );
}

function totalRow(item: string, total: number): string[] {
  return [`  ${'-'.repeat(ITEM_WIDTH + 1 + USD_WIDTH)}`, `  ${item.padEnd(ITEM_WIDTH)} ${usd(total)}`];
}

function usd(amount: number): string {
  return `$${amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`.padStart(
    USD_WIDTH,
  );
}
