import type { Address, Connection, Network, Receiver } from '../../../broker-runtime/src/ports/network.ts';
import { joinPieces } from '../../../broker-runtime/src/wire/codec.ts';
import { FRAME_SIZE_BYTES, decodeResponse, encodeRequest } from '../../../broker-runtime/src/wire/headers.ts';
import type {
  DecodedFields,
  EncodableFields,
  Fields,
  Message,
} from '../../../broker-runtime/src/wire/schema.ts';

export class ConnectionClosedError extends Error {
  override readonly name = 'ConnectionClosedError';
}

interface Waiting {
  readonly resolve: (frame: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

const READ_BYTES = 64 * 1024;

/**
 * A Kafka client of one connection: requests out, replies in, matched by position as Java and franz-go do. A reply
 * with another correlation id than its request is a fault of the broker and fails the call.
 */
export class KafkaClient implements Receiver {
  readonly #clientId: string | null;
  readonly #buffer = new Uint8Array(READ_BYTES);
  readonly #waiting: Waiting[] = [];
  readonly #unread: Uint8Array[] = [];
  readonly #gone = Promise.withResolvers<Error | undefined>();
  #transport: Connection | undefined;
  #received = new Uint8Array(0);
  #nextCorrelationId = 1;
  #isClosed = false;

  private constructor(clientId: string | null) {
    this.#clientId = clientId;
  }

  static async connect(
    network: Network,
    address: Address,
    clientId: string | null = 'test',
  ): Promise<KafkaClient> {
    const client = new KafkaClient(clientId);
    client.#transport = await network.connect(address, () => client);
    return client;
  }

  /** Resolves when the connection is over. */
  get gone(): Promise<Error | undefined> {
    return this.#gone.promise;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes we sent that the broker's side has not taken. */
  get unsentBytes(): number {
    return this.#transport?.unsentBytes ?? 0;
  }

  /** Sends a request and resolves with the body of its reply. @throws {ConnectionClosedError} (rejects) */
  async call<Req extends Fields, Res extends Fields>(
    [request, response]: readonly [Message<Req>, Message<Res>],
    version: number,
    body: EncodableFields<Req>,
  ): Promise<DecodedFields<Res>> {
    const correlationId = this.send(request, version, body);
    const reply = decodeResponse(response, version, await this.nextFrame());
    if (reply.correlationId !== correlationId) {
      throw new Error(`reply ${reply.correlationId} came where ${correlationId} was due`);
    }
    return reply.body;
  }

  /** Sends a request without waiting for anything. @returns its correlation id */
  send<Req extends Fields>(request: Message<Req>, version: number, body: EncodableFields<Req>): number {
    const correlationId = this.#nextCorrelationId++;
    this.sendBytes(this.frame(request, version, body, correlationId));
    return correlationId;
  }

  /** A request as it goes over the wire, its length in front. */
  frame<Req extends Fields>(
    request: Message<Req>,
    version: number,
    body: EncodableFields<Req>,
    correlationId = this.#nextCorrelationId++,
  ): Uint8Array {
    const header = { correlationId, clientId: this.#clientId };
    const { pieces, sizeBytes } = encodeRequest(request, version, header, body);
    return joinPieces(pieces, sizeBytes);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#transport?.send([bytes]);
  }

  /** The next reply, without its length, for whom decodes it himself. */
  nextFrame(): Promise<Uint8Array> {
    const frame = this.#unread.shift();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#isClosed) return Promise.reject(new ConnectionClosedError('the connection is closed'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Stops taking replies. */
  pause(): void {
    this.#transport?.pause();
  }

  resume(): void {
    this.#transport?.resume();
  }

  /** Closes without waiting for replies. */
  destroy(): void {
    this.#transport?.destroy();
  }

  buffer(): Uint8Array {
    return this.#buffer;
  }

  received(length: number): void {
    const bytes = new Uint8Array(this.#received.length + length);
    bytes.set(this.#received);
    bytes.set(this.#buffer.subarray(0, length), this.#received.length);
    this.#received = bytes;
    for (let frame = this.#takeFrame(); frame !== undefined; frame = this.#takeFrame()) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#unread.push(frame);
      else waiting.resolve(frame);
    }
  }

  drained(): void {
    return;
  }

  closed(error?: Error): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new ConnectionClosedError('the connection was closed', { cause: error }));
    }
    this.#gone.resolve(error);
  }

  #takeFrame(): Uint8Array | undefined {
    const bytes = this.#received;
    if (bytes.length < FRAME_SIZE_BYTES) return undefined;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0);
    const end = FRAME_SIZE_BYTES + length;
    if (bytes.length < end) return undefined;
    this.#received = bytes.slice(end);
    return bytes.slice(FRAME_SIZE_BYTES, end);
  }
}
