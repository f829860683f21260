import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, invariant, MillraceError } from '../../base/errors.ts';

const FORMAT = 1;

/**
 * The object `walfence/<node>`: who may write the node's log, and where the log begins. Changed by compare-and-swap
 * only. JSON, because a person must be able to read it, with one more field `crc32c` over the others as written. `nonce`
 * and `counter` make every body different, so equal etags mean equal writes (P6, R1).
 */
export interface FenceRecord {
  readonly format: number;
  readonly clusterId: string;
  readonly nodeId: number;
  /** Never goes back (I22). */
  readonly epoch: number;
  /** SELF: the node of that epoch writes. FENCED: nobody does, `recoverer` reads. */
  readonly state: 'SELF' | 'FENCED';
  /** Node id, and the number the controller gave the attempt; null and 0 while SELF. */
  readonly recoverer: number | null;
  readonly attempt: number;
  /**
   * The epoch that wrote the log there is; 0 while there is none. Not `epoch`: a node may be fenced after it was
   * registered and before it claimed its log, and what then has to be recovered is the log of an earlier epoch.
   */
  readonly logEpoch: number;
  /** Hex; drawn by the claim. */
  readonly logId: string;
  /**
   * Groups up to this one are in committed objects; recovery begins behind it. Stands here before the first of them
   * is deleted, so a hole that a delete cut short leaves never looks like the end of the log.
   */
  readonly trimmedUpTo: number;
  /** Newest group acknowledged when this was written: if it is missing, it was lost. */
  readonly ackedUpTo: number;
  readonly nonce: string;
  readonly counter: number;
}

/** The fence is not where its caller left it: somebody of a higher epoch, or a later attempt, has it. */
export class WalFenceLostError extends MillraceError {
  readonly code = 'WAL_FENCE_LOST';
}

/** I22, and that nobody takes a fence down but the next epoch. */
export function checkStep(before: FenceRecord | undefined, after: FenceRecord): void {
  if (before === undefined) return;
  const context = { node: after.nodeId, from: describeFence(before), to: describeFence(after) };
  invariant(after.epoch >= before.epoch, 'I22', 'the epoch of a fence never goes back', context);
  invariant(
    after.epoch > before.epoch || before.state === 'SELF' || after.state === 'FENCED',
    'I22',
    'a fenced epoch stays fenced',
    context,
  );
  invariant(
    after.trimmedUpTo >= before.trimmedUpTo && after.ackedUpTo >= after.trimmedUpTo,
    'I27',
    'a log is trimmed forward, and only what was acknowledged',
    context,
  );
}

export function describeFence(fence: FenceRecord): string {
  const by = fence.state === 'FENCED' ? ` by ${String(fence.recoverer)}, attempt ${fence.attempt}` : '';
  return `epoch ${fence.epoch} ${fence.state}${by}`;
}

export function encodeFence(fence: FenceRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ ...fence, crc32c: checksumOf(fence) }));
}

/** @throws {CorruptionError} */
export function decodeFence(body: Uint8Array, key: string): FenceRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw new CorruptionError(`${key} is not JSON`, { cause: error });
  }
  if (!isFence(value)) {
    throw new CorruptionError(
      `${key} does not have the fields of format ${FORMAT}: ${JSON.stringify(value).slice(0, 200)}; if a newer ` +
        'release wrote it, start that release',
    );
  }
  const { crc32c: checksum, ...fence } = value;
  if (checksum !== checksumOf(fence)) {
    throw new CorruptionError(`${key} does not match its checksum ${String(checksum)}`);
  }
  return fence;
}

export const FENCE_FORMAT = FORMAT;

function checksumOf(fence: object): number {
  return crc32c(new TextEncoder().encode(JSON.stringify(fence)));
}

function isFence(value: unknown): value is FenceRecord & { readonly crc32c?: unknown } {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  const texts = ['clusterId', 'logId', 'nonce'].every((name) => typeof fields[name] === 'string');
  const counts = ['nodeId', 'epoch', 'attempt', 'logEpoch', 'trimmedUpTo', 'ackedUpTo', 'counter'];
  const { format, state, recoverer } = fields;
  return (
    format === FORMAT &&
    texts &&
    counts.every((name) => isCount(fields[name])) &&
    (state === 'SELF' ? recoverer === null : state === 'FENCED' && isCount(recoverer))
  );
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
