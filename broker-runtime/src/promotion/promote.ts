import { MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { DATA_PREFIX, objectIdOfKey } from '../store/object-key.ts';
import { ReplicatedLog } from '../wal/replicated-log.ts';
import { seedLog } from '../wal/seed-log.ts';
import { findCut, NothingToPromoteError } from './cut.ts';
import { type PromotionReport, reportOf } from './report.ts';
import type { PresentObjects } from './wholeness.ts';

/** A cut that gives up more of the readable log than this is a person's decision (protocol 3.9). */
export const ACCEPTED_LOSS_MS = 60_000;

/**
 * How far everything that is given out in order begins behind the cut: further than the lost cluster can have come
 * unseen. Node epochs are sequences of the log.
 */
const GAPS = {
  sequences: 100_000_000,
  objectIds: 1_000_000_000,
  producerIds: 1_000_000_000,
  leaderEpochs: 1_000,
};

/** The cut would give up more than may be given up unasked. */
export class LossNotAcceptedError extends MillraceError {
  readonly code = 'LOSS_NOT_ACCEPTED';
}

export interface PromotionOptions {
  /** For people who read the bucket. */
  readonly writer: string;
  /** Only say what would be kept. */
  readonly isPlan: boolean;
  /** Give up what the cut gives up, however much that is. */
  readonly acceptLoss: boolean;
  readonly signal: AbortSignal;
  /** Is told what is being done, for people who wait. */
  readonly heard: (progress: string) => void;
}

/**
 * Makes a cluster of a copy of its bucket: finds the newest whole state (see {@link findCut}) and begins a new log with
 * it in `target`. The replicated log is never appended to, because late objects of it still arrive. The new cluster has
 * the id, topics, settings, groups and records of the old one up to the cut, and none of its brokers.
 *
 * @param source the replicated log, and the data objects
 * @param target where the new log begins; shares the data objects with `source`
 * @throws {NothingToPromoteError} {LossNotAcceptedError} {LogExistsError} {CorruptionError} {ObjectStoreError}
 */
export async function promote(
  env: Env,
  source: ObjectStore,
  target: ObjectStore,
  { writer, isPlan, acceptLoss, signal, heard }: PromotionOptions,
): Promise<PromotionReport> {
  const log = await ReplicatedLog.survey(env, source, signal);
  if (log === undefined) {
    throw new NothingToPromoteError(
      'there is no meta/floor: nothing of a cluster was replicated to this bucket and prefix; check both',
    );
  }
  const present = await listDataObjects(source, signal, heard);
  const cut = await findCut(log, present, (sequence) => {
    signal.throwIfAborted();
    heard(`reading the metadata log: entry ${sequence}`);
  });
  const report = reportOf(log.clusterId, log.newestSequence, cut);
  if (isPlan) return report;
  if (!acceptLoss) refuseUnlessSmall(report);
  const { metadata, manifest } = cut.images;
  metadata.promote(GAPS);
  manifest.skipObjectIds(GAPS.objectIds);
  const sequence = cut.position.sequence + GAPS.sequences;
  const images = [manifest, metadata];
  const seed = { clusterId: log.clusterId, writer, cut: cut.position, sequence, images };
  await seedLog(env, target, seed, signal);
  env.events.info('promotion.done', { cutSequence: cut.position.sequence, sequence });
  return report;
}

function refuseUnlessSmall({ givenUpMs, missingObjects }: PromotionReport): void {
  if (givenUpMs !== null && givenUpMs <= ACCEPTED_LOSS_MS) return;
  const span = givenUpMs === null ? 'of an unknown age' : `${Math.ceil(givenUpMs / 1_000)} s older`;
  throw new LossNotAcceptedError(
    `${missingObjects} data objects that the newest metadata names have not been replicated, and the newest whole state is ` +
      `${span}; ${ACCEPTED_LOSS_MS / 1_000} s are given up without asking. While objects may still arrive, wait and look ` +
      'again with --plan; else repeat with --accept-loss',
  );
}

async function listDataObjects(
  store: ObjectStore,
  signal: AbortSignal,
  heard: (progress: string) => void,
): Promise<PresentObjects> {
  const sizes = new Map<number, number>();
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    heard(`listing data objects: ${sizes.size}`);
    const page = await store.list(DATA_PREFIX, after === undefined ? {} : { after });
    for (const { key, sizeBytes } of page.objects) {
      const objectId = objectIdOfKey(key);
      if (objectId !== undefined) sizes.set(objectId, sizeBytes);
    }
    after = page.next;
  } while (after !== undefined);
  return sizes;
}
