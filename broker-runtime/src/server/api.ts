import { MillraceError, invariant } from '../base/errors.ts';
import type { CloseReason } from './close-reason.ts';
import type { Address } from '../ports/network.ts';
import { apiOf, type ApiVersionRange } from '../wire/api-keys.ts';
import type { ErrorCode } from '../wire/errors.ts';
import type { DecodedFields, EncodableFields, Fields, Message } from '../wire/schema.ts';
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
   * This request's answer is the connection's last: whatever the client sent behind it is dropped unseen, as if it
   * had been lost with the connection, and the client sends it again in its order. Called before `startNext`.
   */
  endConnection(reason: CloseReason, detail: string): void;

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

/** A request failed and wants no reply: its connection is closed, which is all there is to tell. */
export class UnanswerableError extends MillraceError {
  readonly code = 'UNANSWERABLE';
}

export interface ApiDefinition<Request extends Fields, Response extends Fields> {
  /** Of `ApiKey`; the versions served are those of `wire/api-keys`. */
  readonly key: number;
  readonly request: Message<Request>;
  readonly response: Message<Response>;
  /** Called once at start. */
  readonly handler: (services: Services) => Handler<DecodedFields<Request>, EncodableFields<Response>>;
  /**
   * What becomes of the frame's memory:
   *   `kept`      (default) the handler may keep views of it for ever (group metadata): left to the garbage collector
   *   `borrowed`  views are used until `releaseRequest` or the answer, whichever is first: recycled then
   *   `decoded`   the decoded request has no views: recycled before the handler runs
   */
  readonly requestMemory?: 'kept' | 'borrowed' | 'decoded';
  /** The answer that carries `error` for the whole request, where the response has a place for it. */
  readonly failure?: (error: ErrorCode, request: DecodedFields<Request>) => EncodableFields<Response>;
}

/** An API without its message types: what the dispatcher's table holds. */
export interface Api {
  readonly key: number;
  readonly versions: ApiVersionRange;
  readonly request: Message;
  readonly response: Message;
  readonly handler: (services: Services) => Handler<unknown, unknown>;
  readonly requestMemory: 'kept' | 'borrowed' | 'decoded';
  readonly failure: ((error: ErrorCode, request: unknown) => unknown) | undefined;
}

/**
 * Ties schemas and handler of one API together: the compiler checks here that they speak of the same types. Behind it
 * the types are gone, because a table of APIs has no common one; the dispatcher decodes and encodes with the very
 * schemas of the definition, so the values have them again.
 */
export function defineApi<Request extends Fields, Response extends Fields>(
  definition: ApiDefinition<Request, Response>,
): Api {
  const versions = apiOf(definition.key);
  invariant(versions !== undefined, 'server', 'an API is in the table of versions', { key: definition.key });
  const erased = definition as unknown as Pick<Api, 'handler' | 'failure'>;
  return {
    key: definition.key,
    versions,
    request: definition.request,
    response: definition.response,
    handler: erased.handler,
    requestMemory: definition.requestMemory ?? 'kept',
    failure: erased.failure,
  };
}
