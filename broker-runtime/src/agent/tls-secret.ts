import { MillraceError } from '../base/errors.ts';
import type { Secrets } from '../ports/cloud.ts';
import type { PeerCredentials, TlsCredentials } from '../ports/network.ts';
import type { PeerTlsConfig, TlsConfig } from './instance-config.ts';

/** The secret is not what a listener needs. */
export class TlsSecretError extends MillraceError {
  readonly code = 'TLS_SECRET';
}

/**
 * The credentials of the client listener, from the secret that the environment names. What is wrong with them is told
 * without a word of their content.
 *
 * @throws {TlsSecretError} a field is missing or no text
 * @throws {CloudError} the secret cannot be read
 */
export async function tlsCredentials(
  secrets: Secrets,
  config: TlsConfig | undefined,
): Promise<TlsCredentials | undefined> {
  if (config === undefined) return undefined;
  const { secretId, clientCertificates } = config;
  const field = await readSecret(secrets, secretId, ['certificate', 'privateKey', 'clientAuthorities']);
  return {
    certificate: field('certificate'),
    privateKey: field('privateKey'),
    ...(clientCertificates === 'required' ? { clientAuthorities: field('clientAuthorities') } : {}),
  };
}

/** Those that brokers show each other; as {@link tlsCredentials}. */
export async function peerCredentials(
  secrets: Secrets,
  config: PeerTlsConfig | undefined,
): Promise<PeerCredentials | undefined> {
  if (config === undefined) return undefined;
  const { secretId, name } = config;
  const field = await readSecret(secrets, secretId, ['certificate', 'privateKey', 'authorities']);
  return {
    certificate: field('certificate'),
    privateKey: field('privateKey'),
    authorities: field('authorities'),
    name,
  };
}

/** @returns how to get at one of its fields */
async function readSecret<Field extends string>(
  secrets: Secrets,
  secretId: string,
  names: readonly Field[],
): Promise<(name: Field) => string> {
  const allowed = `PEM texts ${names.join(', ')}; put a new version of it`;
  const fields = fieldsOf(await secrets.read(secretId));
  if (fields === undefined) {
    throw new TlsSecretError(`secret ${secretId} is not a JSON object, allowed ${allowed}`);
  }
  return (name) => {
    const value = fields[name];
    if (typeof value === 'string' && value !== '') return value;
    throw new TlsSecretError(
      `secret ${secretId}: ${name} is ${value === undefined ? 'missing' : 'no text'}, allowed a JSON object of ${allowed}`,
    );
  };
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined;
  } catch {
    // The parser's own message would quote the secret.
    return undefined;
  }
}
