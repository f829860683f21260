/** What `millrace doctor` found. */
export interface Finding {
  /** `problem`: a deployment fails or loses something. `warning`: it works, and you should know. */
  readonly level: 'ok' | 'warning' | 'problem';
  readonly check: string;
  /** What was found, and the fix where there is something to fix. */
  readonly says: string;
}

/** Of one question. */
export type Answer = readonly [level: Finding['level'], says: string];
