import { RpcFaultError } from './errors.ts';
import { FRAME_LENGTH_BYTES, FRAME_MIN_BYTES } from './frame.ts';

/** Memory of a frame is taken in steps as it arrives: an announced length alone costs no more than this. */
const FIRST_STEP_BYTES = 64 * 1024;

export interface FrameReaderListener {
  /** A complete frame, length field included; its memory is the listener's. Called within `received`. */
  onFrame(frame: Uint8Array): void;
  /** The stream cannot be read on. Called within `received`, at most once. */
  onFault(error: RpcFaultError): void;
}

/**
 * Cuts a byte stream into frames. Reads land in a buffer that connections share, and are copied into frames from
 * there; the rest of a frame that was cut off is received straight into its own memory, which doubles until it holds
 * the whole frame. So a peer has to send what it wants us to hold.
 */
export class RpcFrameReader {
  readonly #frameMaxBytes: number;
  readonly #readBuffer: Uint8Array;
  readonly #listener: FrameReaderListener;
  readonly #lengthField = new Uint8Array(FRAME_LENGTH_BYTES);
  #lengthFieldBytes = 0;
  /** Memory of the frame that is cut off, of `#frameBytes` in the end. */
  #memory: Uint8Array | undefined;
  #frameBytes = 0;
  #filledBytes = 0;
  #target: Uint8Array;
  #intoFrame = false;
  #isClosed = false;

  constructor(frameMaxBytes: number, readBuffer: Uint8Array, listener: FrameReaderListener) {
    this.#frameMaxBytes = frameMaxBytes;
    this.#readBuffer = readBuffer;
    this.#listener = listener;
    this.#target = readBuffer;
  }

  /** A frame began to arrive and is not complete. */
  get isPartial(): boolean {
    return this.#lengthFieldBytes > 0;
  }

  /** Memory held for the frame that is not complete. */
  get memoryBytes(): number {
    return this.#memory?.length ?? 0;
  }

  /** Where the next bytes shall land; see `ports/network`. */
  buffer(): Uint8Array {
    this.#intoFrame = this.#memory !== undefined;
    this.#target = this.#memory?.subarray(this.#filledBytes) ?? this.#readBuffer;
    return this.#target;
  }

  received(length: number): void {
    if (this.#isClosed) return;
    if (this.#intoFrame) {
      this.#filledBytes += length;
      this.#growOrDeliver();
      return;
    }
    this.#parse(this.#target.subarray(0, length));
  }

  /** Nothing is delivered afterwards. */
  close(): void {
    this.#isClosed = true;
    this.#memory = undefined;
    this.#lengthFieldBytes = 0;
  }

  #parse(chunk: Uint8Array): void {
    let at = 0;
    // A listener may close us within.
    while (at < chunk.length && !this.#isClosed) {
      at = this.#memory === undefined ? this.#readLength(chunk, at) : this.#fill(this.#memory, chunk, at);
    }
  }

  /** @returns where the frame's content begins, or the end of the chunk */
  #readLength(chunk: Uint8Array, from: number): number {
    const taken = chunk.subarray(from, from + FRAME_LENGTH_BYTES - this.#lengthFieldBytes);
    this.#lengthField.set(taken, this.#lengthFieldBytes);
    this.#lengthFieldBytes += taken.length;
    if (this.#lengthFieldBytes === FRAME_LENGTH_BYTES) this.#begin();
    return from + taken.length;
  }

  #begin(): void {
    const length = new DataView(this.#lengthField.buffer).getUint32(0);
    if (length < FRAME_MIN_BYTES || length > this.#frameMaxBytes) {
      this.close();
      const allowed = `${FRAME_MIN_BYTES} to ${this.#frameMaxBytes} are allowed`;
      this.#listener.onFault(
        new RpcFaultError('frame-length', `a frame of ${length} bytes was announced, ${allowed}`),
      );
      return;
    }
    this.#frameBytes = FRAME_LENGTH_BYTES + length;
    this.#memory = new Uint8Array(Math.min(this.#frameBytes, FIRST_STEP_BYTES));
    this.#memory.set(this.#lengthField);
    this.#filledBytes = FRAME_LENGTH_BYTES;
  }

  #fill(memory: Uint8Array, chunk: Uint8Array, from: number): number {
    const taken = chunk.subarray(from, from + memory.length - this.#filledBytes);
    memory.set(taken, this.#filledBytes);
    this.#filledBytes += taken.length;
    this.#growOrDeliver();
    return from + taken.length;
  }

  #growOrDeliver(): void {
    const memory = this.#memory;
    if (memory === undefined || this.#filledBytes < memory.length) return;
    if (memory.length < this.#frameBytes) {
      this.#memory = new Uint8Array(Math.min(this.#frameBytes, memory.length * 2));
      this.#memory.set(memory);
      return;
    }
    this.#memory = undefined;
    this.#lengthFieldBytes = 0;
    this.#listener.onFrame(memory);
  }
}
