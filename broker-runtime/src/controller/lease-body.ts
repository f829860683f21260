import { MillraceError } from '../base/errors.ts';

export const LEASE_KEY = 'lease/controller';

const FORMAT = 1;
/** A lease that is waited for longer than this is a mistake in somebody's settings, not a lease. */
const MAX_TTL_MS = 600_000;

/** A process that can hold the lease. */
export interface LeaseOwner {
  /** Survives a restart in place; null when the process has no such identity. */
  readonly id: string | null;
  /** Random UUID of this life of the process. */
  readonly incarnation: string;
  /** Where brokers reach it when it is the controller. */
  readonly host: string;
  readonly port: number;
}

/**
 * The object `lease/controller`: JSON, because a person must be able to read it, with these fields behind one
 * more, `format`. It has no checksum: it only keeps candidates apart, and whoever misread it is stopped by the etag of its
 * next write or by the log. `nonce` and `counter` make every body different, so an etag, even one that is a hash of
 * the body, never comes back (P6, R1).
 */
export interface LeaseBody {
  /** Null while the owner has not opened the cluster's log yet. */
  readonly clusterId: string | null;
  /** One more with every owner, never less (I22). */
  readonly epoch: number;
  readonly owner: LeaseOwner;
  /** Random UUID of this write. */
  readonly nonce: string;
  /** Writes so far. */
  readonly counter: number;
  /** How long the lease must be seen unchanged before another may take it. */
  readonly ttlMs: number;
  /** The owner gave it up: nobody needs to wait. */
  readonly released: boolean;
}

/** The lease object does not hold what a lease holds: damaged, of another release, or of another cluster. */
export class LeaseMalformedError extends MillraceError {
  readonly code = 'LEASE_MALFORMED';
}

export function encodeLease(body: LeaseBody): Uint8Array {
  const { clusterId, epoch, owner, nonce, counter, ttlMs, released } = body;
  const { id, incarnation, host, port } = owner;
  return new TextEncoder().encode(
    JSON.stringify({
      format: FORMAT,
      clusterId,
      epoch,
      owner: { id, incarnation, host, port },
      nonce,
      counter,
      ttlMs,
      released,
    }),
  );
}

/** @throws {LeaseMalformedError} */
export function decodeLease(bytes: Uint8Array): LeaseBody {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new LeaseMalformedError(
      `${LEASE_KEY} is not JSON: ${bytes.length} bytes; delete the object, the next controller makes a new one`,
      { cause: error },
    );
  }
  if (isLease(value)) return value;
  const got = JSON.stringify(value).slice(0, 300);
  throw new LeaseMalformedError(
    `${LEASE_KEY} does not have the fields of format ${FORMAT}: ${got}; if another release wrote it, start that ` +
      `release, otherwise delete the object: the next controller makes a new one`,
  );
}

function isLease(value: unknown): value is LeaseBody {
  if (!isFields(value)) return false;
  const { format, clusterId, epoch, owner, nonce, counter, ttlMs, released } = value;
  return (
    format === FORMAT &&
    (clusterId === null || typeof clusterId === 'string') &&
    isCount(epoch) &&
    isOwner(owner) &&
    typeof nonce === 'string' &&
    isCount(counter) &&
    isCount(ttlMs) &&
    ttlMs >= 1 &&
    ttlMs <= MAX_TTL_MS &&
    typeof released === 'boolean'
  );
}

function isOwner(value: unknown): boolean {
  if (!isFields(value)) return false;
  const { id, incarnation, host, port } = value;
  return (
    (id === null || typeof id === 'string') &&
    typeof incarnation === 'string' &&
    typeof host === 'string' &&
    isCount(port) &&
    port <= 65_535
  );
}

function isFields(
  value: unknown,
): value is Readonly<Partial<Record<'format' | keyof LeaseBody | keyof LeaseOwner, unknown>>> {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
