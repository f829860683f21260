const LOOK_EVERY_MS = 50;

export interface Patience {
  /** Default: 30 seconds. */
  readonly limitMs?: number;
  /** What whoever looks for the reason wants to read. */
  readonly told?: () => string;
}

/** Looks until it is so. @throws {Error} it is not in time */
export async function until(
  what: string,
  isSo: () => boolean,
  { limitMs = 30_000, told }: Patience = {},
): Promise<void> {
  const untilMs = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > untilMs) {
      throw new Error(`not within ${limitMs} ms: ${what}${told === undefined ? '' : `\n${told()}`}`);
    }
    await new Promise((next) => setTimeout(next, LOOK_EVERY_MS));
  }
}
