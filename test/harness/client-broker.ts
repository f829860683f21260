import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CertificateAndKey } from './certificates.ts';
import { MillraceProcess } from './millrace-process.ts';
import { TempDir } from './temp-dir.ts';

const FOLDER = path.resolve(import.meta.dirname, '..', '..', '.cache', 'compatibility');

/** Mutual TLS: what the broker shows, and the authorities whose clients it lets in. */
export interface ClientBrokerTls extends CertificateAndKey {
  readonly clientAuthorities: string;
}

/**
 * A broker for one client's suite. At the end it keeps which APIs and versions the client used: the raw material of
 * docs/compatibility.md.
 */
export class ClientBroker {
  readonly #client: string;
  readonly #dir: TempDir;
  readonly #process: MillraceProcess;

  private constructor(client: string, dir: TempDir, process: MillraceProcess) {
    this.#client = client;
    this.#dir = dir;
    this.#process = process;
  }

  static async start(
    client: string,
    settings: Readonly<Record<string, string>> = {},
    { tls }: { readonly tls?: ClientBrokerTls } = {},
  ): Promise<ClientBroker> {
    const dir = new TempDir();
    const all = { 'group.initial.rebalance.delay.ms': '0', ...settings };
    const process = await MillraceProcess.start({
      dataDir: dir.join('data'),
      args: [
        ...Object.entries(all).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
        ...(tls === undefined ? [] : tlsArgs(dir, tls)),
      ],
    });
    return new ClientBroker(client, dir, process);
  }

  get bootstrapServers(): string {
    return this.#process.bootstrapServers;
  }

  get process(): MillraceProcess {
    return this.#process;
  }

  async stop(): Promise<void> {
    const status = await this.#process.stop();
    const served = this.#process.lastEvent('stopped')?.['served'];
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(
      path.join(FOLDER, `${this.#client}.json`),
      JSON.stringify({ client: this.#client, served }, null, 2),
    );
    this.#dir.remove();
    if (status !== 0)
      throw new Error(`Millrace stopped with ${status}\n${this.#process.stderr.slice(-30).join('\n')}`);
  }
}

function tlsArgs(dir: TempDir, { certificate, privateKey, clientAuthorities }: ClientBrokerTls): string[] {
  const files = { cert: certificate, key: privateKey, 'client-ca': clientAuthorities };
  return Object.entries(files).flatMap(([name, pem]) => {
    const file = dir.join(`${name}.pem`);
    writeFileSync(file, pem);
    return [`--tls-${name}`, file];
  });
}
