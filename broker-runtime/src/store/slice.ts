import { invariant } from '../base/errors.ts';
import type { WalGroup } from '../wal/wal.ts';
import type { Block } from './object-format/block.ts';
import type { StreamEntry, StreamSlice } from './stream.ts';

/** Memory a slice looks at; given back when the slice is released. */
export interface Pin {
  release(): void;
}

type Run = { readonly block: Block; readonly from: number; readonly until: number } | StreamEntry;

/**
 * Collects what one read returns: whole entries while they fit, neighbouring memory as one piece, and every pin
 * that keeps the memory alive (I34: bytes under a reader are never reused).
 */
export class SliceBuilder {
  readonly #maxBytes: number;
  readonly #untilOffset: number;
  readonly #pieces: Uint8Array[] = [];
  readonly #runs: Run[] = [];
  readonly #pins: Pin[] = [];
  #lastGroup: WalGroup | undefined;
  #sizeBytes = 0;
  #nextOffset: number;
  /** The piece that still grows: a view is made when it ends, not per entry. */
  #openPiece: Uint8Array | undefined;
  #openLength = 0;

  constructor(fromOffset: number, untilOffset: number, maxBytes: number) {
    this.#nextOffset = fromOffset;
    this.#untilOffset = untilOffset;
    this.#maxBytes = maxBytes;
  }

  get nextOffset(): number {
    return this.#nextOffset;
  }

  hasEntries(): boolean {
    return this.#runs.length > 0;
  }

  /** Adds a cached entry of the WAL unless the slice is full or complete: then false. */
  addCached(entry: StreamEntry, group: WalGroup): boolean {
    if (entry.baseOffset >= this.#untilOffset || !this.#fits(entry.bytes.length)) return false;
    if (group !== this.#lastGroup) {
      group.retain();
      this.#pins.push(group);
      this.#lastGroup = group;
    }
    this.#runs.push(entry);
    this.#addPiece(entry.bytes);
    this.#nextOffset = entry.baseOffset + entry.count;
    return true;
  }

  /**
   * Adds entries of a block from the reading position on, and keeps the pin. False: the slice is full or complete.
   * The pin is taken over in any case.
   */
  addBlock(block: Block, pin: Pin): boolean {
    this.#pins.push(pin);
    const from = block.firstEntryAfter(this.#nextOffset);
    let until = from;
    while (until < block.entryCount && block.baseOffset(until) < this.#untilOffset) {
      const runBytes = block.payloadAt(until + 1) - block.payloadAt(from);
      if (!this.#fits(runBytes, until > from || this.hasEntries())) break;
      until++;
    }
    if (until > from) {
      this.#runs.push({ block, from, until });
      this.#addPiece(block.bytes.subarray(block.payloadAt(from), block.payloadAt(until)));
      this.#nextOffset = block.endOffset(until - 1);
    }
    return until === block.entryCount;
  }

  /** Nothing is stored up to here: a gap that compaction left. */
  skipTo(offset: number): void {
    if (offset > this.#nextOffset) this.#nextOffset = offset;
  }

  finish(): StreamSlice {
    this.#closePiece();
    return new BuiltSlice(this.#runs, this.#pieces, this.#sizeBytes, this.#nextOffset, this.#pins);
  }

  /** Gives everything back when no slice will be made. */
  abandon(): void {
    for (const pin of this.#pins) pin.release();
  }

  #fits(bytes: number, hasEntry = this.hasEntries()): boolean {
    return !hasEntry || this.#sizeBytes + bytes <= this.#maxBytes;
  }

  #addPiece(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    const open = this.#openPiece;
    if (
      open !== undefined &&
      open.buffer === bytes.buffer &&
      open.byteOffset + this.#openLength === bytes.byteOffset
    ) {
      this.#openLength += bytes.length;
      return;
    }
    this.#closePiece();
    this.#openPiece = bytes;
    this.#openLength = bytes.length;
  }

  #closePiece(): void {
    const open = this.#openPiece;
    if (open === undefined) return;
    const isOne = open.length === this.#openLength;
    this.#pieces.push(isOne ? open : new Uint8Array(open.buffer, open.byteOffset, this.#openLength));
    this.#openPiece = undefined;
  }
}

class BuiltSlice implements StreamSlice {
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly nextOffset: number;
  readonly #runs: readonly Run[];
  readonly #pins: readonly Pin[];
  #entries: readonly StreamEntry[] | undefined;
  #isReleased = false;

  constructor(
    runs: readonly Run[],
    pieces: readonly Uint8Array[],
    sizeBytes: number,
    nextOffset: number,
    pins: readonly Pin[],
  ) {
    this.#runs = runs;
    this.pieces = pieces;
    this.sizeBytes = sizeBytes;
    this.nextOffset = nextOffset;
    this.#pins = pins;
  }

  /** Made when asked for: a fetch needs only the pieces. */
  get entries(): readonly StreamEntry[] {
    this.#entries ??= this.#runs.flatMap((run) => ('block' in run ? entriesOf(run) : [run]));
    return this.#entries;
  }

  release(): void {
    invariant(!this.#isReleased, 'I34', 'a slice was released twice', { nextOffset: this.nextOffset });
    this.#isReleased = true;
    for (const pin of this.#pins) pin.release();
  }
}

function entriesOf(run: {
  readonly block: Block;
  readonly from: number;
  readonly until: number;
}): StreamEntry[] {
  return Array.from({ length: run.until - run.from }, (_, n) => run.block.entry(run.from + n));
}
