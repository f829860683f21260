import { InvariantViolation, MillraceError } from '../base/errors.ts';
import { ApiKey, apiOf, isSupported } from '../wire/api-keys.ts';
import { DecodeError, MessageReader, decodeMessage } from '../wire/codec.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import { encodeResponse, readRequestHeader, type RequestHeader } from '../wire/headers.ts';
import type { EncodableFields, Fields } from '../wire/schema.ts';
import { UnanswerableError, type Api, type Handler } from './api.ts';
import { Exchange, type ExchangeOwner } from './exchange.ts';
import type { Frame } from './frame.ts';
import type { Services } from './services.ts';

/** A handler's exception: a fault of ours, not an answer. */
export interface Failure {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly error: unknown;
}

interface Route {
  readonly api: Api;
  readonly handle: Handler<unknown, unknown>;
}

/** Finds the handler of a request, and turns whatever it does into a reply or a fault of the exchange. */
export class Dispatcher {
  readonly #routes: ReadonlyMap<number, Route>;
  readonly #onFailure: (failure: Failure) => void;
  readonly #onFatal: (error: InvariantViolation) => void;

  constructor(
    apis: readonly Api[],
    services: Services,
    hooks: {
      readonly onFailure: (failure: Failure) => void;
      readonly onFatal: (error: InvariantViolation) => void;
    },
  ) {
    this.#routes = new Map(apis.map((api) => [api.key, { api, handle: api.handler(services) }]));
    this.#onFailure = hooks.onFailure;
    this.#onFatal = hooks.onFatal;
  }

  /**
   * Reads the header. Undefined, after the owner was told, for what has no answer: a header cut short, an API or a
   * version that is not served. Guessing a layout would be worse: clients take a close for "too old", bytes for truth.
   */
  open(frame: Frame, owner: ExchangeOwner): Exchange | undefined {
    const body = new MessageReader(frame.bytes);
    try {
      const header = readRequestHeader(body);
      const route = header === undefined ? undefined : this.#routes.get(header.apiKey);
      if (
        header !== undefined &&
        route !== undefined &&
        (isSupported(header.apiKey, header.apiVersion) || isApiVersionsTooNew(header))
      ) {
        return new Exchange(header, route.api, frame, body, owner);
      }
      const asked = header === undefined ? 'an unknown API' : `API ${header.apiKey} v${header.apiVersion}`;
      owner.onFault('unsupported-request', `${asked} is not served`);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      owner.onFault('malformed-request', error.message);
    }
    frame.release(true);
    return undefined;
  }

  /** Never throws; the exchange is answered now or later, or its connection is closed. */
  run(exchange: Exchange): void {
    const { api } = exchange;
    let request: unknown;
    try {
      if (!isSupported(exchange.apiKey, exchange.apiVersion)) {
        this.#answer(exchange, 0, api.failure?.(Errors.UNSUPPORTED_VERSION, undefined));
        return;
      }
      request = decodeMessage(api.request, exchange.apiVersion, exchange.body);
      if (api.requestMemory === 'decoded') exchange.releaseRequest();
      const response = this.#routes.get(api.key)?.handle(request, exchange);
      if (response instanceof Promise) void this.#answerLater(exchange, request, response);
      else this.#answer(exchange, exchange.apiVersion, response);
    } catch (error) {
      this.#fail(exchange, request, error);
    }
  }

  /** Never rejects. */
  async #answerLater(exchange: Exchange, request: unknown, response: Promise<unknown>): Promise<void> {
    try {
      this.#answer(exchange, exchange.apiVersion, await response);
    } catch (error) {
      this.#fail(exchange, request, error);
    }
  }

  #answer(exchange: Exchange, version: number, response: unknown): void {
    if (response === undefined) exchange.answer([]);
    else {
      const { api, correlationId } = exchange;
      // `defineApi` saw to it that this response belongs to this schema.
      const body = response as EncodableFields<Fields>;
      exchange.answer(encodeResponse(api.response, version, correlationId, body).pieces);
    }
  }

  #fail(exchange: Exchange, request: unknown, error: unknown): void {
    const { api, apiVersion } = exchange;
    if (error instanceof InvariantViolation) {
      this.#onFatal(error);
      exchange.fault('failed-request', error.code);
    } else if (error instanceof DecodeError) {
      exchange.fault('malformed-request', error.message);
    } else if (error instanceof UnanswerableError) {
      exchange.fault('unanswerable-error', error.message);
    } else {
      this.#onFailure({ apiKey: api.key, apiVersion, error });
      if (!this.#answerFailure(exchange, request, error)) exchange.fault('failed-request', describe(error));
    }
  }

  /** @returns false when the response has no place for an error, or cannot be encoded */
  #answerFailure(exchange: Exchange, request: unknown, error: unknown): boolean {
    const failure = exchange.api.failure;
    if (failure === undefined || request === undefined || exchange.reply !== undefined) return false;
    try {
      this.#answer(exchange, exchange.apiVersion, failure(errorCodeOf(error), request));
      return true;
    } catch {
      return false;
    }
  }
}

/** Clients send again after a timeout, and give up on what they do not know. */
function errorCodeOf(error: unknown): ErrorCode {
  const isUnreachable = error instanceof MillraceError && error.code === 'CONTROLLER_UNREACHABLE';
  return isUnreachable ? Errors.REQUEST_TIMED_OUT : Errors.UNKNOWN_SERVER_ERROR;
}

function describe(error: unknown): string {
  return error instanceof MillraceError ? error.code : String(error);
}

/** The one request that is answered at any version, in the layout of version 0: it is how versions are found. */
function isApiVersionsTooNew(header: RequestHeader): boolean {
  return header.apiKey === ApiKey.ApiVersions && header.apiVersion > (apiOf(header.apiKey)?.max ?? 0);
}
