import type { ManifestImage } from '../store/manifest-image.ts';

/** Size in bytes by object id, of the data objects that are in the bucket. */
export type PresentObjects = ReadonlyMap<number, number>;

/**
 * Tells whether every object that the manifest names is in the bucket, again and again while entries are applied. Looks
 * at all objects once and then only at those that are new or were missing.
 */
export class Wholeness {
  readonly #manifest: ManifestImage;
  readonly #present: PresentObjects;
  /** Not committed yet when looked at last, or committed and missing. */
  #open: number[] = [];
  #nextObjectId: number;

  constructor(manifest: ManifestImage, present: PresentObjects) {
    this.#manifest = manifest;
    this.#present = present;
    for (const { objectId } of manifest.objects()) this.#open.push(objectId);
    this.#nextObjectId = manifest.nextObjectId;
  }

  /** Ids of committed objects that are not there as the manifest has them. */
  missing(): readonly number[] {
    for (; this.#nextObjectId < this.#manifest.nextObjectId; this.#nextObjectId++) {
      this.#open.push(this.#nextObjectId);
    }
    this.#open = this.#open.filter((objectId) => this.#isOpen(objectId));
    return this.#open.filter((objectId) => this.#manifest.object(objectId)?.state === 'committed');
  }

  #isOpen(objectId: number): boolean {
    const object = this.#manifest.object(objectId);
    if (object === undefined || object.state === 'destroyed') return false;
    return object.state === 'prepared' || this.#present.get(objectId) !== object.sizeBytes;
  }
}
