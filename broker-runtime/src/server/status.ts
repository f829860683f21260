import type { CloseReason } from './close-reason.ts';

/** No API has more versions; above it there is only an ApiVersions request that is answered with an error. */
const VERSIONS_MAX = 64;

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
  /** By API key, then by version. */
  readonly #served = new Map<number, number[]>();

  /** How often the server itself closed a connection, by reason. */
  get closes(): ReadonlyMap<CloseReason, number> {
    return this.#closes;
  }

  /** How often each version of each API was asked for; the index in a list is the version. */
  get served(): ReadonlyMap<number, readonly number[]> {
    return this.#served;
  }

  countServed(apiKey: number, apiVersion: number): void {
    if (apiVersion >= VERSIONS_MAX) return;
    let versions = this.#served.get(apiKey);
    if (versions === undefined) {
      versions = [];
      this.#served.set(apiKey, versions);
    }
    while (versions.length <= apiVersion) versions.push(0);
    versions[apiVersion] = (versions[apiVersion] ?? 0) + 1;
  }

  countClose(reason: CloseReason): void {
    this.#closes.set(reason, (this.#closes.get(reason) ?? 0) + 1);
  }
}
