import type { ManifestImage } from './manifest-image.ts';
import type { StreamEntry } from './manifest/snapshot.ts';
import type { ManifestView, ObjectRecord } from './manifest.ts';
import { UnknownStreamError } from './stream.ts';
import type { StreamRange } from './stream.ts';

/** The manifest as an image shows it. */
export class ImageManifest implements ManifestView {
  protected readonly image: ManifestImage;

  constructor(image: ManifestImage) {
    this.image = image;
  }

  streamIds(): Iterable<number> {
    return this.image.streams.keys();
  }

  hasStream(streamId: number): boolean {
    return this.image.streams.has(streamId);
  }

  startOffset(streamId: number): number {
    return this.#stream(streamId).startOffset;
  }

  committedOffset(streamId: number): number {
    return this.#stream(streamId).committedOffset;
  }

  ranges(streamId: number): readonly StreamRange[] {
    return [...this.#stream(streamId).ranges];
  }

  rangeAt(streamId: number, offset: number): StreamRange | undefined {
    return this.#stream(streamId).ranges.endingAbove(offset);
  }

  object(objectId: number): ObjectRecord | undefined {
    return this.image.object(objectId);
  }

  destroyedObjects(beforeWallMs: number): readonly ObjectRecord[] {
    return this.image.destroyed(beforeWallMs);
  }

  expiredObjects(nowWallMs: number): readonly number[] {
    return this.image.expired(nowWallMs);
  }

  #stream(streamId: number): StreamEntry {
    const stream = this.image.streams.get(streamId);
    if (stream === undefined)
      throw new UnknownStreamError(`there is no stream ${streamId}; it was deleted or never created`);
    return stream;
  }
}
