import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { CorruptionError, invariant } from '../../base/errors.ts';
import { readUvarint, writeUvarint } from '../../base/varint.ts';
import type { Image, JournalRecord } from '../journal.ts';

/** The images of one journal as the one state that its log describes. */
export class Images {
  readonly #byKind: ReadonlyMap<number, Image>;

  constructor(images: readonly Image[]) {
    this.#byKind = new Map(images.map((image) => [image.kind, image]));
    invariant(this.#byKind.size === images.length, 'journal', 'every image has a kind of its own');
  }

  /** @throws {CorruptionError} for a kind that no image has: the log is read completely or not at all (T23) */
  image(kind: number): Image {
    const image = this.#byKind.get(kind);
    if (image === undefined) {
      throw new CorruptionError(
        `the log holds records of kind ${kind}, this program knows ${[...this.#byKind.keys()].join(', ')}: they ` +
          `were written by another release; start a release that knows them`,
      );
    }
    return image;
  }

  apply(record: JournalRecord, sequence: number): void {
    this.image(record.kind).apply(record.bytes, sequence);
  }

  clear(): void {
    for (const image of this.#byKind.values()) image.clear();
  }

  /*
   * The state in a snapshot: count uvarint, then for each image, in ascending order of kinds
   *   kind u8, length u32, bytes
   */
  write(): Uint8Array {
    const writer = new ByteWriter(64 * 1024);
    const kinds = [...this.#byKind.keys()].sort((a, b) => a - b);
    writeUvarint(writer, kinds.length);
    for (const kind of kinds) {
      writer.uint8(kind);
      const lengthAt = writer.skip(4);
      this.image(kind).writeSnapshot(writer);
      writer.patchUint32(lengthAt, writer.length - lengthAt - 4);
    }
    return writer.finish();
  }

  /** @throws {CorruptionError} */
  read(state: Uint8Array): void {
    // A room that came with a later release has nothing in an older snapshot.
    this.clear();
    const reader = new ByteReader(state);
    for (let left = readUvarint(reader); left > 0; left--) {
      const image = this.image(reader.uint8());
      const part = new ByteReader(reader.slice(reader.uint32()));
      image.readSnapshot(part);
      if (part.remaining > 0) {
        throw new CorruptionError(`image ${image.kind} left ${part.remaining} bytes of its snapshot unread`);
      }
    }
  }
}
