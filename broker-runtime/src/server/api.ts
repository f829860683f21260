import type { Address } from '../ports/network.ts';
import type { Services } from './services.ts';

/** What a handler knows of the request besides its decoded body. */
export interface RequestContext {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  /** Chosen by the client: untrusted text, never part of a key or path. */
  readonly clientId: string | null;
  readonly connection: ConnectionInfo;
  /** Aborted when the connection is gone: long polls stop waiting, nothing more is sent. */
  readonly signal: AbortSignal;

  /**
   * Runs `release` exactly once: when the reply's bytes have left the process, or when it is clear that they never
   * will. The memory a reply refers to (cache slices) is freed here, not when the handler returns.
   */
  afterSent(release: () => void): void;

  /**
   * Lets the next request of this connection start before this one is answered. A connection runs its requests one
   * after another, as Kafka does, until the running one says that nothing a later request could observe or reorder
   * is still to come: Produce after its appends, Fetch when it parks. Replies keep arrival order in any case.
   */
  startNext(): void;

  /**
   * The handler has read the request's memory for the last time (see {@link ApiDefinition.requestMemory}); the frame
   * is recycled at once instead of with the reply.
   */
  releaseRequest(): void;
}

export interface ConnectionInfo {
  /** Unique in the life of the process. */
  readonly id: number;
  readonly remoteHost: string;
  /** Where the client reached us: chooses the address it is told to come back to. */
  readonly local: Address;
}

/**
 * Answers one request. `undefined` means that no reply is sent at all (Produce with acks=0). A handler answers
 * errors of the request in the response's own fields; what it throws is a fault of ours: it is logged, answered with
 * UNKNOWN_SERVER_ERROR where {@link ApiDefinition.failure} can say so, and the connection is closed otherwise.
 */
export type Handler<Request, Response> = (
  request: Request,
  context: RequestContext,
) => Response | undefined | Promise<Response | undefined>;

/** The shape both message schemas of the wire room have for this room: a codec of `T` by version. */
export interface MessageCodec<T> {
  readonly decoded?: T;
}

export interface ApiVersions {
  readonly min: number;
  readonly max: number;
  /**
   * Lowest version listed in ApiVersions when it is below `min`: Produce is listed from 0 and served from 3, because
   * librdkafka 2.0 turns compression off for brokers that list 3 (KAFKA-18659 does the same).
   */
  readonly advertisedMin?: number;
}

export interface ApiDefinition<Request, Response> {
  readonly key: number;
  readonly versions: ApiVersions;
  readonly request: MessageCodec<Request>;
  readonly response: MessageCodec<Response>;
  /** Called once at start. */
  readonly handler: (services: Services) => Handler<Request, Response>;
  /**
   * What becomes of the frame's memory:
   *   `kept`      (default) the handler may keep views of it for ever (group metadata): left to the garbage collector
   *   `borrowed`  views are used until `releaseRequest` or the answer, whichever is first: recycled then
   *   `decoded`   the decoded request has no views: recycled before the handler runs
   */
  readonly requestMemory?: 'kept' | 'borrowed' | 'decoded';
  /** The answer that carries `error` for the whole request, where the response has a place for it. */
  readonly failure?: (error: number, request: Request, context: RequestContext) => Response;
}

/** An API whose message types are known only to itself: what the dispatcher's table holds. */
export type AnyApi = ApiDefinition<unknown, unknown>;

/** Ties schemas and handler of one API together, checking that they speak of the same types. */
export function defineApi<Request, Response>(definition: ApiDefinition<Request, Response>): AnyApi {
  // The dispatcher decodes with `definition.request` before it calls the handler, so the types meet again there.
  return definition as unknown as AnyApi;
}
