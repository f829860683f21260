import { once } from 'node:events';
import {
  Agent,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the object store misbehaves, and for which share of the requests (0 to 1). */
export type Misbehaviour =
  /** 503 SlowDown; the request had no effect. */
  | { readonly kind: 'unavailable'; readonly share: number }
  /** No answer, ever; the request had no effect. */
  | { readonly kind: 'silent'; readonly share: number }
  /** The request takes effect, and the connection breaks before the answer: what every retry loop fears. */
  | { readonly kind: 'answer-lost'; readonly share: number }
  /** The connection breaks in the middle of the request's body. */
  | { readonly kind: 'reset'; readonly share: number }
  /** The answer comes this much later. */
  | { readonly kind: 'slow'; readonly share: number; readonly delayMs: number };

const SLOW_DOWN =
  '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>';
const MAX_SOCKETS = 256;

/** Stands in front of a real S3 server. What it forwards it does not touch: signatures stay valid. */
export class S3Proxy {
  /** Requests that were hit, by kind. */
  readonly hits = new Map<Misbehaviour['kind'], number>();
  readonly #server: Server;
  readonly #upstream: URL;
  readonly #random: () => number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  readonly #silent = new Set<ServerResponse>();
  #mode: Misbehaviour | undefined;

  /** `random`: 0 up to 1, who is hit. */
  static async start(host: string, upstream: string, random: () => number): Promise<S3Proxy> {
    const server = createServer();
    server.listen(0, host);
    await once(server, 'listening');
    return new S3Proxy(server, new URL(upstream), random);
  }

  private constructor(server: Server, upstream: URL, random: () => number) {
    this.#server = server;
    this.#upstream = upstream;
    this.#random = random;
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#take(request, response),
    );
  }

  get endpoint(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  misbehave(mode: Misbehaviour | undefined): void {
    this.#mode = mode;
    if (mode?.kind === 'silent') return;
    for (const response of this.#silent) response.destroy();
    this.#silent.clear();
  }

  async close(): Promise<void> {
    this.misbehave(undefined);
    this.#agent.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => response.destroy());
    response.on('error', () => undefined);
    const mode = this.#mode !== undefined && this.#random() < this.#mode.share ? this.#mode : undefined;
    if (mode !== undefined) this.hits.set(mode.kind, (this.hits.get(mode.kind) ?? 0) + 1);
    switch (mode?.kind) {
      case 'unavailable':
        request.resume();
        request.once('end', () => {
          response.writeHead(503, { 'content-type': 'application/xml' }).end(SLOW_DOWN);
        });
        return;
      case 'silent':
        request.resume();
        this.#silent.add(response);
        return;
      case 'reset':
        request.once('data', () => request.socket.destroy());
        request.once('end', () => request.socket.destroy());
        return;
      case 'slow':
        setTimeout(() => this.#forward(request, response, false), mode.delayMs);
        return;
      case 'answer-lost':
      case undefined:
        this.#forward(request, response, mode !== undefined);
    }
  }

  #forward(request: IncomingMessage, response: ServerResponse, isAnswerLost: boolean): void {
    const { hostname, port } = this.#upstream;
    const { method, url, headers } = request;
    const onward = httpRequest(
      { hostname, port, method, path: url, headers, agent: this.#agent },
      (answer) => {
        answer.on('error', () => response.destroy());
        if (isAnswerLost) {
          answer.resume();
          answer.once('end', () => request.socket.destroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }
}
