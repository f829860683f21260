import { ByteReader, ByteWriter } from '../../broker-runtime/src/base/bytes.ts';
import type { Env } from '../../broker-runtime/src/ports/env.ts';
import { FollowedManifest } from '../../broker-runtime/src/store/followed-manifest.ts';
import { ManifestDecisions } from '../../broker-runtime/src/store/manifest-decisions.ts';
import { ManifestImage } from '../../broker-runtime/src/store/manifest-image.ts';
import type { ManifestChanges } from '../../broker-runtime/src/store/manifest.ts';
import type { Decision, Image, Journal, JournalRecord } from '../../broker-runtime/src/wal/journal.ts';

/** The same state in another image. */
export function copyImage<T extends Image>(from: T, to: T): T {
  const writer = new ByteWriter();
  from.writeSnapshot(writer);
  to.readSnapshot(new ByteReader(writer.finish()));
  return to;
}

/** Commits a decision and gives its records back, as whoever follows the log would get them. */
export function commitWithRecords<T>(
  journal: Journal,
  decide: (sequence: number) => Decision<T>,
): Promise<{ readonly result: T; readonly records: readonly JournalRecord[]; readonly sequence: number }> {
  return journal.commit((sequence) => {
    const { result, records } = decide(sequence);
    return { records, result: { result, records, sequence } };
  });
}

/**
 * A broker's manifest whose decisions are made in this process: its own image follows what is committed, the journal's
 * image is ahead of it while an entry is under way, as between a broker and the controller.
 */
export class LocalManifest extends FollowedManifest {
  readonly #commit: <T>(decide: () => Decision<T>) => Promise<T>;
  readonly #decisions: ManifestDecisions;

  constructor(env: Env, journal: Journal, journalImage: ManifestImage) {
    const decisions = new ManifestDecisions(env, journalImage);
    const followed = copyImage(journalImage, new ManifestImage());
    const commit = async <T>(decide: () => Decision<T>): Promise<T> => {
      const { result, records } = await commitWithRecords(journal, decide);
      for (const { bytes } of records) followed.apply(bytes);
      return result;
    };
    const changes: ManifestChanges = {
      prepareObjects: (...args) => commit(() => decisions.prepareObjects(...args)),
      commitObjects: (...args) => commit(() => decisions.commitObjects(...args)),
      replaceRanges: (...args) => commit(() => decisions.replaceRanges(...args)),
      trimStream: (...args) => commit(() => decisions.trimStream(...args)),
      expirePrepared: (...args) => commit(() => decisions.expirePrepared(...args)),
      removeObjects: (...args) => commit(() => decisions.removeObjects(...args)),
    };
    super(followed, changes);
    this.#commit = commit;
    this.#decisions = decisions;
  }

  createStreams(count: number): Promise<readonly number[]> {
    return this.#commit(() => this.#decisions.createStreams(count));
  }

  deleteStreams(streamIds: readonly number[]): Promise<void> {
    return this.#commit(() => this.#decisions.deleteStreams(streamIds));
  }
}
