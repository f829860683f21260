import { request } from 'node:http';
import {
  CloudError,
  type InstanceIdentity,
  type InstanceMetadata,
  type LeaveNotice,
} from '../ports/cloud.ts';
import type { Clock } from '../ports/clock.ts';

/** The same on every instance (EC2: instance metadata). */
const DEFAULT_ENDPOINT = 'http://169.254.169.254';
const TOKEN_TTL_S = 21_600;
/** Asked for anew before the service forgets it. */
const TOKEN_REFRESH_MS = (TOKEN_TTL_S * 1000) / 2;
const TIMEOUT_MS = 1_000;
const ATTEMPTS = 4;
const PAUSE_MS = 200;
const ANSWER_MAX_BYTES = 16 * 1024;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** The instance metadata service, version 2: a token first, then every question with it. */
export class Imds implements InstanceMetadata {
  readonly #clock: Clock;
  readonly #endpoint: string;
  #token: { readonly value: string; readonly untilMs: number } | undefined;

  constructor(clock: Clock, endpoint = DEFAULT_ENDPOINT) {
    this.#clock = clock;
    this.#endpoint = endpoint;
  }

  async identity(): Promise<InstanceIdentity> {
    return {
      instanceId: await this.#required('instance-id'),
      zone: await this.#required('placement/availability-zone'),
      privateIp: await this.#required('local-ipv4'),
    };
  }

  /** Each is 404 until it is there (EC2: spot instance interruption notices; EC2 Auto Scaling: target lifecycle state). */
  async notice(): Promise<LeaveNotice | undefined> {
    if ((await this.#get('spot/instance-action')) !== undefined) return 'spot-interruption';
    if ((await this.#get('autoscaling/target-lifecycle-state')) === 'Terminated') return 'terminating';
    if ((await this.#get('events/recommendations/rebalance')) !== undefined) return 'rebalance';
    return undefined;
  }

  async #required(what: string): Promise<string> {
    const value = await this.#get(what);
    if (value !== undefined && value !== '') return value;
    throw new CloudError('DENIED', `the metadata service knows no ${what}; is this an EC2 instance?`);
  }

  async #get(what: string): Promise<string | undefined> {
    let why = '';
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) await this.#clock.sleep(PAUSE_MS * 2 ** attempt);
      try {
        const headers = { 'x-aws-ec2-metadata-token': await this.#currentToken() };
        const { status, text } = await this.#ask('GET', `/latest/meta-data/${what}`, headers);
        if (status === 200) return text.trim();
        if (status === 404) return undefined;
        // 401: the token was forgotten, as after a stop of the instance.
        if (status === 401) this.#token = undefined;
        why = `status ${status}`;
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
    }
    throw new CloudError(
      'UNAVAILABLE',
      `the metadata service did not tell ${what} in ${ATTEMPTS} attempts: ${why}`,
    );
  }

  async #currentToken(): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#token !== undefined && nowMs < this.#token.untilMs) return this.#token.value;
    const { status, text } = await this.#ask('PUT', '/latest/api/token', {
      'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_TTL_S),
    });
    if (status !== 200) throw new Error(`no token: status ${status}`);
    this.#token = { value: text, untilMs: nowMs + TOKEN_REFRESH_MS };
    return text;
  }

  #ask(method: string, path: string, headers: Record<string, string>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request(
        `${this.#endpoint}${path}`,
        { method, headers, timeout: TIMEOUT_MS },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => {
            text += chunk;
            if (text.length > ANSWER_MAX_BYTES) asked.destroy(new Error('an answer that is too long'));
          });
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
      asked.on('error', reject);
      asked.end();
    });
  }
}
