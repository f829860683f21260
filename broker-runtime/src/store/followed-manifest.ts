import { ImageManifest } from './image-manifest.ts';
import type { ManifestImage } from './manifest-image.ts';
import type { CommittedObject, Manifest, ManifestChanges, StreamRangeRef } from './manifest.ts';

/**
 * The manifest of a broker: it reads from an image that follows the log, and sends its changes to whoever decides them.
 * A change resolves when the image shows it.
 */
export class FollowedManifest extends ImageManifest implements Manifest {
  readonly #changes: ManifestChanges;

  constructor(image: ManifestImage, changes: ManifestChanges) {
    super(image);
    this.#changes = changes;
  }

  prepareObjects(count: number, deadlineWallMs: number): Promise<readonly number[]> {
    return this.#changes.prepareObjects(count, deadlineWallMs);
  }

  commitObjects(objects: readonly CommittedObject[]): Promise<void> {
    return this.#changes.commitObjects(objects);
  }

  replaceRanges(objects: readonly CommittedObject[], replaced: readonly StreamRangeRef[]): Promise<void> {
    return this.#changes.replaceRanges(objects, replaced);
  }

  trimStream(streamId: number, newStartOffset: number): Promise<void> {
    return this.#changes.trimStream(streamId, newStartOffset);
  }

  /** Asks nobody while nothing is due: it is called in every round of garbage collection. */
  async expirePrepared(nowWallMs: number): Promise<void> {
    if (this.expiredObjects(nowWallMs).length > 0) await this.#changes.expirePrepared(nowWallMs);
  }

  removeObjects(objectIds: readonly number[]): Promise<void> {
    return this.#changes.removeObjects(objectIds);
  }
}
