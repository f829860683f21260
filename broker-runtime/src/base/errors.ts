/**
 * The root of every error this project throws on purpose. `code` is stable: tests, operators and alarms may
 * match on it; the message is for people and says what, got, allowed and the likely fix.
 */
export abstract class MillraceError extends Error {
  abstract readonly code: string;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A broken assertion of `protocol.md` 2.5. Rule R10: the process stops and the WAL is kept. */
export class InvariantViolation extends MillraceError {
  readonly code = 'INVARIANT_VIOLATION';
  readonly invariant: string;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(invariant: string, what: string, context: Readonly<Record<string, unknown>> = {}) {
    const details = Object.entries(context).map(([key, value]) => `${key}=${String(value)}`);
    super(`invariant ${invariant} is broken: ${what}${details.length > 0 ? ` (${details.join(', ')})` : ''}`);
    this.invariant = invariant;
    this.context = context;
  }
}

/** Throws {@link InvariantViolation} unless `condition` holds. `invariant` names a row of protocol 2.5, or the room. */
export function invariant(
  condition: boolean,
  name: string,
  what: string,
  context?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new InvariantViolation(name, what, context);
}

/** Stored bytes that do not say what they should: bad magic, checksum, length or position. Never served, never skipped. */
export class CorruptionError extends MillraceError {
  readonly code = 'CORRUPTION';
}

/** The component was closed while, or before, the call was made. */
export class ClosedError extends MillraceError {
  readonly code = 'CLOSED';
}

/** What a caught value says, for an event or another error's text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The stack, for an event about a fault of ours. */
export function stackOf(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : messageOf(error);
}
