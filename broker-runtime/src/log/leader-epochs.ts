import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invariant } from '../base/errors.ts';

/** Entries kept of one partition; the oldest go first. A client asking below them is told where the oldest begins. */
const MAX_EPOCHS = 1000;

export interface EpochEnd {
  readonly leaderEpoch: number;
  readonly endOffset: number;
}

/** Where each leader epoch began: what lets a consumer find out that its position was truncated away (KIP-320). */
export class LeaderEpochs {
  /** Epochs and start offsets, both ascending, at equal positions. */
  readonly #epochs: number[] = [];
  readonly #startOffsets: number[] = [];

  get latest(): number {
    return this.#epochs.at(-1) ?? -1;
  }

  /** Notes that records from `startOffset` on belong to `leaderEpoch`; does nothing when that is known. */
  assign(leaderEpoch: number, startOffset: number): void {
    if (leaderEpoch === this.latest) return;
    invariant(leaderEpoch > this.latest, 'I5', 'leader epochs never go back', {
      leaderEpoch,
      latest: this.latest,
    });
    // An epoch in which nothing was appended began where the new one begins: it leaves no trace.
    while ((this.#startOffsets.at(-1) ?? -1) >= startOffset) this.#pop();
    this.#epochs.push(leaderEpoch);
    this.#startOffsets.push(startOffset);
    if (this.#epochs.length > MAX_EPOCHS) this.#shift();
  }

  /** The largest known epoch ≤ `requested` and one past its last offset; -1 and -1 when `requested` is in the future. */
  endOffset(requested: number, logEndOffset: number): EpochEnd {
    if (requested < 0 || requested > this.latest) return { leaderEpoch: -1, endOffset: -1 };
    if (requested === this.latest) return { leaderEpoch: requested, endOffset: logEndOffset };
    const next = this.#epochs.findIndex((epoch) => epoch > requested);
    return { leaderEpoch: this.#epochs[next - 1] ?? requested, endOffset: this.#startOffsets[next] ?? -1 };
  }

  /** The epoch of the record at `offset`, or of the one to be appended there; -1 when it is no longer known. */
  at(offset: number): number {
    const next = this.#startOffsets.findIndex((startOffset) => startOffset > offset);
    return (next < 0 ? this.latest : this.#epochs[next - 1]) ?? -1;
  }

  /** Forgets epochs that ended at or below `logStartOffset`. */
  trim(logStartOffset: number): void {
    while ((this.#startOffsets[1] ?? Infinity) <= logStartOffset) this.#shift();
    if ((this.#startOffsets[0] ?? Infinity) < logStartOffset) this.#startOffsets[0] = logStartOffset;
  }

  // Count (4), then for each: epoch (4), start offset (8).
  write(writer: ByteWriter): void {
    writer.uint32(this.#epochs.length);
    this.#epochs.forEach((epoch, at) => {
      writer.int32(epoch);
      writer.safeInt64(this.#startOffsets[at] ?? 0);
    });
  }

  read(reader: ByteReader): void {
    const count = reader.uint32();
    for (let entry = 0; entry < count; entry++) {
      this.#epochs.push(reader.int32());
      this.#startOffsets.push(reader.safeInt64());
    }
  }

  #pop(): void {
    this.#epochs.pop();
    this.#startOffsets.pop();
  }

  #shift(): void {
    this.#epochs.shift();
    this.#startOffsets.shift();
  }
}
