import { MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { hexSha256, sha256 } from './conditional/entry.ts';
import { foundFloor, readFloor } from './conditional/floor.ts';
import { Images } from './conditional/images.ts';
import { snapshotKey } from './conditional/keys.ts';
import { RetryingStore } from './conditional/retrying-store.ts';
import { encodeSnapshot } from './conditional/snapshot.ts';
import type { LogPosition } from './conditional/chain.ts';
import type { Image } from './journal.ts';

/** The object that makes a store a cluster's. */
export { FLOOR_KEY } from './conditional/keys.ts';

/** The log that was to be begun is there already. */
export class LogExistsError extends MillraceError {
  readonly code = 'LOG_EXISTS';
}

export interface Seed {
  readonly clusterId: string;
  readonly writer: string;
  /** What the images stood at before they were changed. */
  readonly cut: LogPosition;
  /** Above that of the cut. */
  readonly sequence: number;
  readonly images: readonly Image[];
}

/**
 * Begins a log in an empty store with a state that has a past elsewhere: its snapshot first, then the floor, which makes
 * it a cluster in one step. A crash before that leaves an object that nothing names.
 *
 * The seed's place in the chain is the hash of the hash it was cut at: no entry has it.
 * @throws {LogExistsError} there is a log already; it is not touched
 */
export async function seedLog(env: Env, store: ObjectStore, seed: Seed, signal: AbortSignal): Promise<void> {
  const retrying = new RetryingStore(env, store, signal, 'promotion');
  await refuseIfThere(env, retrying);
  const { sequence, cut, clusterId, writer } = seed;
  const bytes = encodeSnapshot({
    sequence,
    writerEpoch: cut.writerEpoch,
    lastHash: sha256(cut.lastHash),
    state: new Images(seed.images).write(),
  });
  const snapshot = snapshotKey(sequence, hexSha256(bytes));
  await retrying.put(snapshot, bytes, { kind: 'absent' });
  const isOurs = await foundFloor(env, retrying, {
    clusterId,
    writer,
    epoch: cut.writerEpoch,
    sequence,
    snapshot,
  });
  if (!isOurs) await refuseIfThere(env, retrying);
}

async function refuseIfThere(env: Env, store: RetryingStore): Promise<void> {
  const there = await readFloor(env, store);
  if (there === undefined) return;
  const { clusterId, writer, sequence } = there.floor;
  throw new LogExistsError(
    `a log of cluster ${clusterId} is there already, at entry ${sequence} and last maintained by ${writer}`,
  );
}
