import { CorruptionError, MillraceError } from '../base/errors.ts';
import { MetadataImage } from '../metadata/metadata-image.ts';
import { ManifestImage } from '../store/manifest-image.ts';
import type { LogPosition, LogStart, ReplicatedLog } from '../wal/replicated-log.ts';
import { type PresentObjects, Wholeness } from './wholeness.ts';

/** Nothing in the bucket makes a whole cluster. */
export class NothingToPromoteError extends MillraceError {
  readonly code = 'NOTHING_TO_PROMOTE';
}

/** Both parts of the cluster's state, at one entry. */
export interface ClusterImages {
  readonly metadata: MetadataImage;
  readonly manifest: ManifestImage;
}

/** A moment of the cluster, and when it was by the clock that decided it; undefined: not known. */
export interface Moment {
  readonly sequence: number;
  readonly atWallMs: number | undefined;
}

export interface Cut {
  readonly position: LogPosition;
  readonly images: ClusterImages;
  readonly at: Moment;
  /** Where the readable log ends: what could be had if every object were there. */
  readonly readable: Moment;
  /** Why the log cannot be read further; undefined: it can, nothing newer arrived. */
  readonly cutShortBy: string | undefined;
  /** Ids of objects that the end of the readable log names and the bucket does not have. */
  readonly missing: readonly number[];
  /** Snapshots that could not be used, and why. */
  readonly skipped: readonly string[];
}

interface Segment {
  readonly start: LogStart;
  readonly readable: Moment;
  readonly cutShortBy: string | undefined;
  readonly missing: readonly number[];
  readonly newestWhole: number | undefined;
}

/**
 * The newest moment of the cluster at which the bucket has the whole log up to it and every object that it names
 * (protocol 3.9, cut A): everything of one moment, so that groups' offsets belong to the records they name.
 *
 * An object that was replaced and deleted later counts as long as its copy is there: looking back may find a whole
 * state where the newest one lacks its compacted objects.
 * `visit` is told the sequence of each entry that is looked at; what it throws ends the search.
 * @throws {NothingToPromoteError}
 */
export async function findCut(
  log: ReplicatedLog,
  present: PresentObjects,
  visit: (sequence: number) => void = () => undefined,
): Promise<Cut> {
  const skipped: string[] = [];
  let newest: Segment | undefined;
  let below = Infinity;
  for (const start of log.starts) {
    let segment: Segment;
    try {
      segment = await examine(log, start, present, below, visit);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      skipped.push(error.message);
      continue;
    }
    newest ??= segment;
    if (segment.newestWhole !== undefined) {
      const { cutShortBy, missing } = newest;
      const state = await stateAt(log, start, segment.newestWhole);
      const [at, readable] = [await dated(log, state.at), await dated(log, newest.readable)];
      return { ...state, at, readable, cutShortBy, missing, skipped };
    }
    below = start.sequence;
  }
  throw new NothingToPromoteError(
    log.starts.length === 0
      ? `nothing of cluster ${log.clusterId} can be read: neither a snapshot nor the first entry of its log was replicated`
      : `no state of cluster ${log.clusterId} is whole: ${[
          ...skipped,
          ...(newest === undefined
            ? []
            : [
                `${newest.missing.length} data objects of the newest one are missing, and some of every earlier one`,
              ]),
        ].join('; ')}`,
  );
}

/** Walks the log from `start` on, to its end or to entry `below`, exclusive. */
async function examine(
  log: ReplicatedLog,
  start: LogStart,
  present: PresentObjects,
  below: number,
  visit: (sequence: number) => void,
): Promise<Segment> {
  const { manifest, all } = newImages();
  let wholeness: Wholeness | undefined;
  let missing: readonly number[] = [];
  let newestWhole: number | undefined;
  const { end, cutShortBy } = await log.replay(start, all, (sequence) => {
    visit(sequence);
    wholeness ??= new Wholeness(manifest, present);
    missing = wholeness.missing();
    if (missing.length === 0) newestWhole = sequence;
    return sequence + 1 < below;
  });
  const readable = { sequence: end.sequence, atWallMs: manifest.decidedAtWallMs };
  return { start, readable, cutShortBy, missing, newestWhole };
}

async function stateAt(
  log: ReplicatedLog,
  start: LogStart,
  sequence: number,
): Promise<Pick<Cut, 'position' | 'images' | 'at'>> {
  const { metadata, manifest, all } = newImages();
  const { end: position } = await log.replay(start, all, (reached) => reached < sequence);
  const at = { sequence: position.sequence, atWallMs: manifest.decidedAtWallMs };
  return { position, images: { metadata, manifest }, at };
}

/** A snapshot does not say when it was; an entry before it does, if one that is dated is still there. */
async function dated(log: ReplicatedLog, moment: Moment): Promise<Moment> {
  if (moment.atWallMs !== undefined) return moment;
  for (const start of log.starts) {
    if (start.sequence >= moment.sequence) continue;
    try {
      const { position, at } = await stateAt(log, start, moment.sequence);
      if (position.sequence === moment.sequence && at.atWallMs !== undefined) return at;
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
    }
  }
  return moment;
}

function newImages(): ClusterImages & { readonly all: readonly [ManifestImage, MetadataImage] } {
  const manifest = new ManifestImage();
  const metadata = new MetadataImage();
  return { manifest, metadata, all: [manifest, metadata] };
}
