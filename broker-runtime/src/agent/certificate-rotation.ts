import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../base/errors.ts';
import type { BrokerCredentials, BrokerProcess, BrokerProcesses } from '../ports/broker-process.ts';
import type { Secrets } from '../ports/cloud.ts';
import type { Env } from '../ports/env.ts';
import type { InstanceConfig } from './instance-config.ts';
import { peerCredentials, tlsCredentials } from './tls-secret.ts';

/** Two calls an instance: 0.05 USD a month. Of a new version brokers hear within this; the old one is good for days yet. */
const LOOK_INTERVAL_MS = 10 * 60_000;

export interface RotationWorld {
  readonly env: Env;
  readonly secrets: Secrets;
  readonly brokers: BrokerProcesses;
}

/** The credentials of one instance's broker: read from the secrets that the environment names, and read again. */
export class CertificateRotation {
  readonly #world: RotationWorld;
  readonly #config: Pick<InstanceConfig, 'tls' | 'peerTls'>;
  #current: BrokerCredentials;

  private constructor(world: RotationWorld, config: InstanceConfig, current: BrokerCredentials) {
    this.#world = world;
    this.#config = config;
    this.#current = current;
  }

  /** @throws {TlsSecretError | CloudError} */
  static async read(world: RotationWorld, config: InstanceConfig): Promise<CertificateRotation> {
    return new CertificateRotation(world, config, await readCredentials(world.secrets, config));
  }

  /** What a broker that starts now is given: the newest that was found good. */
  get current(): BrokerCredentials {
    return this.#current;
  }

  /** Gives the broker every new version of the secrets, until `over`. A version that is no good is told each time. */
  async keepCurrent(broker: BrokerProcess, over: AbortSignal): Promise<void> {
    const { env, secrets, brokers } = this.#world;
    const { tls, peerTls } = this.#config;
    if (tls === undefined && peerTls === undefined) return;
    for (;;) {
      const isOver = await env.clock.sleep(LOOK_INTERVAL_MS, over).then(
        () => false,
        () => true,
      );
      if (isOver) return;
      try {
        const next = await readCredentials(secrets, this.#config);
        if (over.aborted) return;
        if (isDeepStrictEqual(next, this.#current)) continue;
        // A broker that started with what is no good would not serve; this one does.
        brokers.checkRenewal(next);
        this.#current = next;
        broker.renew(next);
        env.events.info('agent.certificates-renewed');
      } catch (error) {
        env.events.warn('agent.certificates-not-renewed', { reason: messageOf(error) });
      }
    }
  }
}

async function readCredentials(
  secrets: Secrets,
  config: Pick<InstanceConfig, 'tls' | 'peerTls'>,
): Promise<BrokerCredentials> {
  const tls = await tlsCredentials(secrets, config.tls);
  const peerTls = await peerCredentials(secrets, config.peerTls);
  return { ...(tls === undefined ? {} : { tls }), ...(peerTls === undefined ? {} : { peerTls }) };
}
