import type { CloseReason } from './close-reason.ts';

/** Counters since start, for the status line; written by the connections. */
export class ServerStatus {
  bytesIn = 0;
  bytesOut = 0;
  /** Handings-over to sockets: fewer than replies when they leave together. */
  sends = 0;
  requests = 0;
  /** Requests that ended in a fault of ours. */
  failures = 0;
  /** Open now. */
  connections = 0;
  connectionsAccepted = 0;
  readonly #closes = new Map<CloseReason, number>();

  /** How often the server itself closed a connection, by reason. */
  get closes(): ReadonlyMap<CloseReason, number> {
    return this.#closes;
  }

  countClose(reason: CloseReason): void {
    this.#closes.set(reason, (this.#closes.get(reason) ?? 0) + 1);
  }
}
