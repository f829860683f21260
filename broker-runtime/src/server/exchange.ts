import { invariant } from '../base/errors.ts';
import type { MessageReader } from '../wire/codec.ts';
import type { RequestHeader } from '../wire/headers.ts';
import type { Api, ConnectionInfo, RequestContext } from './api.ts';
import type { CloseReason } from './close-reason.ts';
import type { Frame } from './frame.ts';

/** The connection, as its exchanges see it. */
export interface ExchangeOwner {
  readonly info: ConnectionInfo;
  readonly signal: AbortSignal;
  /** The exchange lets the next request start. Called once, at the latest with `onAnswered`, or never after `onEndConnection`. */
  onStartNext(): void;
  /** Nothing behind the exchange is started, and the connection ends with its answer. Called at most once. */
  onEndConnection(reason: CloseReason, detail: string): void;
  /** The exchange has its reply, or knows that it needs none. Called once. */
  onAnswered(): void;
  /** The exchange cannot be answered: the connection must go. */
  onFault(reason: CloseReason, detail: string): void;
}

/** One request and its place in the order of replies. */
export class Exchange implements RequestContext {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  readonly api: Api;
  /** Positioned behind the header. */
  readonly body: MessageReader;
  readonly #frame: Frame;
  readonly #owner: ExchangeOwner;
  #reply: readonly Uint8Array[] | undefined;
  #releases: (() => void)[] | undefined;
  #letNextStart = false;
  #settled = false;

  constructor(header: RequestHeader, api: Api, frame: Frame, body: MessageReader, owner: ExchangeOwner) {
    this.apiKey = header.apiKey;
    this.apiVersion = header.apiVersion;
    this.correlationId = header.correlationId;
    this.clientId = header.clientId;
    this.api = api;
    this.#frame = frame;
    this.body = body;
    this.#owner = owner;
  }

  get connection(): ConnectionInfo {
    return this.#owner.info;
  }

  get signal(): AbortSignal {
    return this.#owner.signal;
  }

  /** The pieces to send, none for a request without reply; undefined while it is being worked on. */
  get reply(): readonly Uint8Array[] | undefined {
    return this.#reply;
  }

  afterSent(release: () => void): void {
    if (this.#settled) release();
    else if (this.#releases === undefined) this.#releases = [release];
    else this.#releases.push(release);
  }

  startNext(): void {
    if (this.#letNextStart) return;
    this.#letNextStart = true;
    this.#owner.onStartNext();
  }

  endConnection(reason: CloseReason, detail: string): void {
    invariant(!this.#letNextStart, 'server', 'a request ends its connection before the next one starts', {
      api: this.apiKey,
      correlationId: this.correlationId,
    });
    this.#letNextStart = true;
    this.#owner.onEndConnection(reason, detail);
  }

  releaseRequest(): void {
    this.#frame.release(this.api.requestMemory !== 'kept');
  }

  answer(pieces: readonly Uint8Array[]): void {
    invariant(this.#reply === undefined, 'server', 'a request is answered once', {
      api: this.apiKey,
      correlationId: this.correlationId,
    });
    this.#reply = pieces;
    this.releaseRequest();
    this.startNext();
    this.#owner.onAnswered();
  }

  /** Gives up: no reply can be made, and the connection goes. */
  fault(reason: CloseReason, detail: string): void {
    this.#owner.onFault(reason, detail);
    if (this.#reply === undefined) this.answer([]);
  }

  /** The reply has left, or never will: runs what waits for that. Only after `answer`. */
  settle(): void {
    this.#settled = true;
    const releases = this.#releases;
    this.#releases = undefined;
    if (releases !== undefined) for (const release of releases) release();
  }
}
