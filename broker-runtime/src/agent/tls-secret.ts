import { MillraceError } from '../base/errors.ts';
import type { Secrets } from '../ports/cloud.ts';
import type { TlsCredentials } from '../ports/network.ts';
import type { TlsConfig } from './instance-config.ts';

/** The secret is not what a listener needs. */
export class TlsSecretError extends MillraceError {
  readonly code = 'TLS_SECRET';
}

const FIELDS = ['certificate', 'privateKey', 'clientAuthorities'] as const;

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
  const fields = fieldsOf(await secrets.read(secretId), secretId);
  const field = (name: (typeof FIELDS)[number]): string => {
    const value = fields[name];
    if (typeof value === 'string' && value !== '') return value;
    throw new TlsSecretError(
      `secret ${secretId}: ${name} is ${value === undefined ? 'missing' : 'no text'}, allowed a JSON object of PEM texts ` +
        `${FIELDS.join(', ')}; put a new version of it`,
    );
  };
  return {
    certificate: field('certificate'),
    privateKey: field('privateKey'),
    ...(clientCertificates === 'required' ? { clientAuthorities: field('clientAuthorities') } : {}),
  };
}

function fieldsOf(text: string, secretId: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed };
  } catch {
    // Told below: the parser's own message would quote the secret.
  }
  throw new TlsSecretError(
    `secret ${secretId} is not a JSON object, allowed PEM texts ${FIELDS.join(', ')}; put a new version of it`,
  );
}
