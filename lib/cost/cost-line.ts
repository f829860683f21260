import type { Price } from './prices.ts';

/** One line of the estimate. */
export interface CostLine {
  readonly item: string;
  /** The quantity as a product, such as `6 slots x 500 IOPS`. */
  readonly formula: string;
  /** Such as `$0.065 / IOPS-month`. */
  readonly unitPrice: string;
  /** Page and date. */
  readonly source: string;
  readonly monthlyUsd: number;
}

/** A factor of a quantity and its unit. */
export type Factor = readonly [amount: number, unit: string];

/** The formula is written from the very factors that are multiplied. */
export function costLine(item: string, price: Price, ...factors: readonly Factor[]): CostLine {
  const quantity = factors.reduce((product, [amount]) => product * amount, 1);
  return {
    item,
    formula: factors.map(([amount, unit]) => `${formatAmount(amount)} ${unit}`).join(' x '),
    unitPrice: `$${formatUsd(price.usd)} / ${price.unit}`,
    source: price.source,
    monthlyUsd: quantity * price.usd,
  };
}

export function totalOf(lines: readonly CostLine[]): number {
  return lines.reduce((sum, { monthlyUsd }) => sum + monthlyUsd, 0);
}

export function formatAmount(amount: number): string {
  const digits = amount >= 100 || Number.isInteger(amount) ? 0 : 2;
  return amount.toLocaleString('en-US', { maximumFractionDigits: digits });
}

/** A unit price: every digit that AWS quotes, none of the binary fraction's. */
function formatUsd(usd: number): string {
  return Number(usd.toPrecision(5)).toLocaleString('en-US', { maximumFractionDigits: 9 });
}
