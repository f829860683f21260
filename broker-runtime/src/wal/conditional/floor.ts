import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, invariant } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import { FLOOR_KEY, LOG_PREFIX } from './keys.ts';
import type { RetryingStore } from './retrying-store.ts';

const FORMAT = 1;
/** Losing a compare-and-swap this often in a row means two processes maintain one cluster (P8). */
const MAX_LOST_SWAPS = 8;
/** Reads of bytes that do not pass their checksum, before they count as damaged (protocol 3.7). */
const READ_ATTEMPTS = 3;

/**
 * Where readers start: the one mutable object of the log, changed by compare-and-swap only. JSON, because a
 * person must be able to read it, with one more field `crc32c` over the others as written. `uuid` and `counter` make every body different, so equal etags mean equal
 * writes (P6, R1). It is created together with the cluster and is what gives the cluster its id.
 */
export interface Floor {
  readonly format: number;
  readonly clusterId: string;
  readonly writer: string;
  readonly epoch: number;
  readonly uuid: string;
  readonly counter: number;
  /** Entries up to this one are in the snapshot; 0 while there is none. */
  readonly sequence: number;
  readonly snapshot: string | null;
  /** Where the floor stood in the past: what decides when older entries may be deleted. Oldest first. */
  readonly moves: readonly FloorMove[];
}

/** Moves close in time count as one at the time of the last, so the list stays short. */
export interface FloorMove {
  readonly sequence: number;
  readonly firstWallMs: number;
  readonly lastWallMs: number;
}

export interface StoredFloor {
  readonly floor: Floor;
  readonly etag: string;
}

/** Reads again when the bytes are damaged: the fault may be on the way and not in the object. @throws {CorruptionError} */
export async function readFloor(env: Env, store: RetryingStore): Promise<StoredFloor | undefined> {
  for (let attempt = 1; ; attempt++) {
    const stored = await store.get(FLOOR_KEY);
    if (stored === undefined) return undefined;
    try {
      return { floor: decodeFloor(stored.body), etag: stored.etag };
    } catch (error) {
      if (!(error instanceof CorruptionError) || attempt >= READ_ATTEMPTS) throw error;
      env.events.warn('journal.read-again', { key: FLOOR_KEY, attempt, cause: error.message });
    }
  }
}

/** Reads the floor; undefined when there is no cluster yet. @throws {CorruptionError} when a log has lost its floor */
export async function findFloor(env: Env, store: RetryingStore): Promise<Floor | undefined> {
  const found = await readFloor(env, store);
  if (found !== undefined) return found.floor;
  const orphans = await store.list(LOG_PREFIX, { limit: 1 });
  if (orphans.objects.length === 0) return undefined;
  // Floor and first entry may have been created between the two requests.
  const created = await readFloor(env, store);
  if (created !== undefined) return created.floor;
  throw new CorruptionError(
    `${FLOOR_KEY} is missing although ${LOG_PREFIX} has entries: it was deleted by hand, or the prefix is ` +
      `not this cluster's; restore the object from a bucket version, never start from entry 1`,
  );
}

/** Reads the floor, or creates it and with it a new cluster. @throws {CorruptionError} when a log has lost its floor */
export async function openFloor(env: Env, store: RetryingStore, writer: string): Promise<Floor> {
  const found = await findFloor(env, store);
  if (found !== undefined) return found;
  // Another process, or an earlier try of this put, may have created it: read what is there.
  await foundFloor(env, store, {
    clusterId: newClusterId(env),
    writer,
    epoch: 0,
    sequence: 0,
    snapshot: null,
  });
  const created = await findFloor(env, store);
  if (created === undefined) throw vanished();
  return created;
}

/** Creates the floor and with it a cluster. @returns false when another one was there before */
export async function foundFloor(
  env: Env,
  store: RetryingStore,
  first: Pick<Floor, 'clusterId' | 'writer' | 'epoch' | 'sequence' | 'snapshot'>,
): Promise<boolean> {
  const { clusterId, writer, epoch, sequence, snapshot } = first;
  const uuid = env.random.uuid();
  const named = { format: FORMAT, clusterId, writer, epoch, uuid };
  const floor: Floor = { ...named, counter: 0, sequence, snapshot, moves: [] };
  const { outcome } = await store.put(FLOOR_KEY, encodeFloor(floor), { kind: 'absent' });
  if (outcome === 'committed') return true;
  // Our own uuid there: only the answer to an earlier try was lost (P1).
  return (await readFloor(env, store))?.floor.uuid === uuid;
}

/**
 * Moves the floor up to `sequence`. Already further on is a success: another writer did the work (I22).
 * @returns the floor as it stands afterwards
 */
export async function moveFloor(
  env: Env,
  store: RetryingStore,
  by: { readonly writer: string; readonly epoch: number },
  to: { readonly sequence: number; readonly snapshot: string },
  mergeWithinMs: number,
): Promise<Floor> {
  for (let losses = 0; losses < MAX_LOST_SWAPS; losses++) {
    const current = await readFloor(env, store);
    if (current === undefined) throw vanished();
    const { floor, etag } = current;
    if (floor.sequence >= to.sequence) return floor;
    const next: Floor = {
      ...floor,
      writer: by.writer,
      epoch: Math.max(by.epoch, floor.epoch),
      uuid: env.random.uuid(),
      counter: floor.counter + 1,
      sequence: to.sequence,
      snapshot: to.snapshot,
      moves: withMove(floor.moves, to.sequence, env.clock.wallMs(), mergeWithinMs),
    };
    const answer = await store.put(FLOOR_KEY, encodeFloor(next), { kind: 'etag', etag });
    if (answer.outcome === 'committed') return next;
    if (answer.reason === 'missing') throw vanished();
    // Our own uuid there: an earlier try of this very put landed and only its answer was lost (P1).
    const occupant = await readFloor(env, store);
    if (occupant?.floor.uuid === next.uuid) return next;
  }
  throw new CorruptionError(
    `${FLOOR_KEY} was changed by others ${MAX_LOST_SWAPS} times in a row: another process writes this cluster`,
  );
}

/** The newest floor that has stood for the whole grace period: what lies below it may be deleted. */
export function deletableBelow(floor: Floor, nowWallMs: number, gracePeriodMs: number): number {
  let below = 0;
  for (const move of floor.moves) {
    if (move.lastWallMs + gracePeriodMs <= nowWallMs) below = Math.max(below, move.sequence);
  }
  invariant(below <= floor.sequence, 'I24', 'nothing at or above the floor is deleted', {
    below,
    floor: floor.sequence,
  });
  return below;
}

function withMove(
  moves: readonly FloorMove[],
  sequence: number,
  nowWallMs: number,
  mergeWithinMs: number,
): readonly FloorMove[] {
  const last = moves.at(-1);
  const merges = last !== undefined && Math.abs(nowWallMs - last.firstWallMs) < mergeWithinMs;
  // 24 of these span the grace period; the ones before have done their work with the next clean-up.
  const kept = (merges ? moves.slice(0, -1) : moves).slice(-30);
  return [
    ...kept,
    merges
      ? { sequence, firstWallMs: last.firstWallMs, lastWallMs: Math.max(nowWallMs, last.lastWallMs) }
      : { sequence, firstWallMs: nowWallMs, lastWallMs: nowWallMs },
  ];
}

/** As Kafka prints a cluster id: a random UUID in base64url, 22 characters; a leading '-' trips command lines. */
function newClusterId(env: Env): string {
  for (;;) {
    const id = Buffer.from(env.random.uuid().replaceAll('-', ''), 'hex').toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

function vanished(): CorruptionError {
  return new CorruptionError(
    `${FLOOR_KEY} vanished while the cluster was running: nobody deletes it on purpose; restore it from a bucket version`,
  );
}

export function encodeFloor(floor: Floor): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ ...floor, crc32c: checksumOf(floor) }));
}

function checksumOf(floor: object): number {
  return crc32c(new TextEncoder().encode(JSON.stringify(floor)));
}

/** @throws {CorruptionError} */
export function decodeFloor(body: Uint8Array): Floor {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw new CorruptionError(`${FLOOR_KEY} is not JSON`, { cause: error });
  }
  if (!isFloor(value)) {
    throw new CorruptionError(
      `${FLOOR_KEY} does not have the fields of format ${FORMAT}: ${JSON.stringify(value).slice(0, 200)}`,
    );
  }
  const { crc32c: checksum, ...floor } = value;
  if (checksum !== checksumOf(floor)) {
    throw new CorruptionError(`${FLOOR_KEY} does not match its checksum ${String(checksum)}`);
  }
  return floor;
}

function isFloor(value: unknown): value is Floor & { readonly crc32c?: unknown } {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  const texts = ['clusterId', 'writer', 'uuid'].every((name) => typeof fields[name] === 'string');
  const counts = ['epoch', 'counter', 'sequence'].every((name) => isCount(fields[name]));
  const snapshot = fields['snapshot'];
  const moves = fields['moves'];
  return (
    fields['format'] === FORMAT &&
    texts &&
    counts &&
    (fields['sequence'] === 0 ? snapshot === null : typeof snapshot === 'string') &&
    Array.isArray(moves) &&
    moves.every(isMove)
  );
}

function isMove(value: unknown): value is FloorMove {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return ['sequence', 'firstWallMs', 'lastWallMs'].every((name) => isCount(fields[name]));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
