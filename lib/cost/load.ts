/** What clients do, evenly over the month. */
export interface Load {
  /** Compressed, as it travels. */
  readonly writeMiBPerSecond: number;
  /** How many times each byte is read. */
  readonly fanout: number;
  readonly retentionDays: number;
}

/** Of the month that everything is reckoned for. */
export const DAYS = 30;
export const HOURS = DAYS * 24;
export const SECONDS = HOURS * 3_600;
const MIB_PER_GB = 1_024;

/** AWS bills a GB as 2^30 bytes. */
export function traffic({ writeMiBPerSecond }: Load): { perDayGb: number; perMonthGb: number } {
  const perMonthGb = (writeMiBPerSecond * SECONDS) / MIB_PER_GB;
  return { perMonthGb, perDayGb: perMonthGb / DAYS };
}
