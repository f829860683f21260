import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { MillraceError, messageOf } from '../broker-runtime/src/base/errors.ts';
import {
  type ControlCommands,
  type ControlName,
  type ListedBroker,
  TWIN_FILE,
  type TwinFile,
} from './control.ts';
import { checkBundle } from './bundle.ts';
import { OptionError } from './options.ts';
import type { SupervisedBroker } from './supervised-broker.ts';
import type { TwinCluster } from './twin-cluster.ts';

const HOST = '127.0.0.1';
const MAX_BODY_BYTES = 64 * 1024;
const KEY_BYTES = 24;

type Handlers = {
  readonly [N in ControlName]: (
    args: ControlCommands[N]['args'],
  ) => ControlCommands[N]['result'] | Promise<ControlCommands[N]['result']>;
};

/**
 * Lets another process of the same user look at the twin and break it on purpose. On loopback, where other users of the
 * machine are, too: the key is in a file that only the owner can read.
 */
export class ControlServer {
  readonly #cluster: TwinCluster;
  readonly #server: Server;
  readonly #key: string;
  readonly #file: string;
  readonly #handlers: Handlers;

  static async start(cluster: TwinCluster): Promise<ControlServer> {
    const server = createServer();
    server.listen(0, HOST);
    await once(server, 'listening');
    return new ControlServer(cluster, server);
  }

  private constructor(cluster: TwinCluster, server: Server) {
    this.#cluster = cluster;
    this.#server = server;
    this.#key = randomBytes(KEY_BYTES).toString('base64url');
    this.#file = path.join(cluster.dataDir, TWIN_FILE);
    this.#handlers = handlersOf(cluster);
    server.on('request', (request, response) => void this.#answer(request, response));
    this.writeFile();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Pids, ports and states, as they are now. */
  writeFile(): void {
    const { port } = this;
    const content: TwinFile = { ...listOf(this.#cluster), control: { host: HOST, port, key: this.#key } };
    const unfinished = `${this.#file}.next`;
    writeFileSync(unfinished, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
    renameSync(unfinished, this.#file);
  }

  close(): void {
    rmSync(this.#file, { force: true });
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reply = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    try {
      if (!this.#isAllowed(request)) {
        reply(403, { code: 'DENIED', message: `the key of ${TWIN_FILE} is needed` });
        return;
      }
      const name = (request.url ?? '').slice(1);
      if (request.method !== 'POST' || !Object.hasOwn(this.#handlers, name)) {
        const allowed = Object.keys(this.#handlers).join(', ');
        reply(404, { code: 'UNKNOWN_COMMAND', message: `got "${name}", allowed: POST of ${allowed}` });
        return;
      }
      const args = JSON.parse(await bodyOf(request)) as never;
      reply(200, await this.#handlers[name as ControlName](args));
    } catch (error) {
      const code = error instanceof MillraceError ? error.code : 'ERROR';
      reply(400, { code, message: messageOf(error) });
    }
  }

  #isAllowed(request: IncomingMessage): boolean {
    const given = Buffer.from(request.headers.authorization ?? '');
    const wanted = Buffer.from(`Bearer ${this.#key}`);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}

function handlersOf(cluster: TwinCluster): Handlers {
  const cut = (nodeId: number, isCutOff: boolean): null => {
    const broker = cluster.broker(nodeId);
    broker.setFaults({ ...broker.faults, isCutOff });
    return null;
  };
  return {
    list: () => listOf(cluster),
    kill: async ({ nodeId }) => {
      await cluster.broker(nodeId).kill();
      return null;
    },
    stop: async ({ nodeId }) => ({ status: await cluster.broker(nodeId).stop(true) }),
    start: async ({ nodeId }) => {
      await cluster.broker(nodeId).start();
      return null;
    },
    version: ({ nodeId, bundle }) => {
      if (bundle !== null) checkBundle(bundle);
      cluster.broker(nodeId).useBundle(bundle ?? undefined);
      return null;
    },
    pause: ({ nodeId }) => {
      cluster.broker(nodeId).pause();
      return null;
    },
    resume: ({ nodeId }) => {
      cluster.broker(nodeId).resume();
      return null;
    },
    'cut-off': ({ nodeId }) => cut(nodeId, true),
    restore: ({ nodeId }) => cut(nodeId, false),
    store: ({ isDown, delayMs }) => {
      cluster.setStoreFaults({ isStoreDown: isDown, storeDelayMs: delayMs });
      return null;
    },
    events: ({ after }) => cluster.eventsAfter(after),
  };
}

function listOf(cluster: TwinCluster): Omit<TwinFile, 'control'> {
  return {
    pid: process.pid,
    bootstrapServers: cluster.bootstrapServers,
    brokers: cluster.brokers.map(listed),
  };
}

export function listed(broker: SupervisedBroker): ListedBroker {
  const { nodeId, plan, state, pid, address, internalAddress, bundle, summary, faults } = broker;
  return {
    nodeId,
    zone: plan.zone,
    state,
    isCutOff: faults.isCutOff,
    ...(pid === undefined ? {} : { pid }),
    ...(address === undefined ? {} : { host: address.host, port: address.port }),
    ...(internalAddress === undefined ? {} : { internalPort: internalAddress.port }),
    folder: plan.config.dataDir,
    volume: plan.config.sharedVolumes?.[nodeId] ?? '',
    ...(bundle === undefined ? {} : { bundle }),
    ...(summary === undefined ? {} : { summary }),
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new OptionError(`the command has more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8') || '{}';
}
