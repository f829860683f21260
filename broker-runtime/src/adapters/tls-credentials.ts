import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { PeerCredentials, TlsCredentials } from '../ports/network.ts';

/** Certificate, key and authorities do not make a server. */
export class TlsCredentialsError extends MillraceError {
  readonly code = 'TLS_CREDENTIALS';
}

/** A peer has a certificate of our authorities, and not of this cluster. */
export class PeerIdentityError extends MillraceError {
  readonly code = 'PEER_IDENTITY';
}

/**
 * For a server with TLS 1.2 and later, and for clients of it that show a certificate.
 * @throws {TlsCredentialsError} no PEM, or certificate and key are not each other's
 */
export function contextOf({ certificate, privateKey, clientAuthorities }: TlsCredentials): tls.TlsOptions {
  const options: tls.TlsOptions = {
    cert: certificate,
    key: privateKey,
    minVersion: 'TLSv1.2',
    ...(clientAuthorities === undefined
      ? {}
      : { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true }),
  };
  for (const [name, pem] of [
    ['certificate', certificate],
    ['private key', privateKey],
    ['client authorities', clientAuthorities],
  ] as const) {
    if (pem !== undefined && !pem.includes('-----BEGIN')) {
      throw new TlsCredentialsError(`TLS: the ${name} is not PEM, which begins with -----BEGIN`);
    }
  }
  try {
    tls.createSecureContext(options);
  } catch (error) {
    throw new TlsCredentialsError(
      `TLS: certificate and key do not make a server: ${messageOf(error)}; are they each other's?`,
      { cause: error },
    );
  }
  return options;
}

/**
 * What takes the place of credentials that work is held to more than what a broker starts with: nobody is there to see it.
 * @throws {TlsCredentialsError | PeerIdentityError} they do not fit together, are not of today, or not of this cluster
 */
export function checkRenewal(credentials: TlsCredentials | PeerCredentials, nowMs: number): void {
  const isPeer = 'authorities' in credentials;
  contextOf(isPeer ? { ...credentials, clientAuthorities: credentials.authorities } : credentials);
  const { subject, notBeforeMs, notAfterMs, names } = describeCertificate(credentials.certificate);
  if (nowMs >= notAfterMs || nowMs < notBeforeMs) {
    const dates = `${new Date(notBeforeMs).toISOString()} to ${new Date(notAfterMs).toISOString()}`;
    throw new TlsCredentialsError(`TLS: the certificate of ${subject} is good from ${dates}, not today`);
  }
  if (!isPeer) return;
  const foreign = foreignTo(credentials.name, names);
  if (foreign !== undefined) throw foreign;
  if (!isSignedBy(credentials.certificate, credentials.authorities)) {
    throw new TlsCredentialsError(
      `TLS: none of the authorities signed the certificate of ${subject}: other brokers would refuse it`,
    );
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Whether a chain, its own certificate first, leads to one of the authorities. */
function isSignedBy(chain: string, authorities: string): boolean {
  const parse = (pem: string) => (pem.match(PEM_CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
  const signed = (one: X509Certificate) => (by: X509Certificate) =>
    one.checkIssued(by) && one.verify(by.publicKey);
  const roots = parse(authorities);
  const links = parse(chain);
  let link = links.shift();
  while (link !== undefined) {
    if (roots.some(signed(link))) return true;
    const next = links.findIndex(signed(link));
    link = next < 0 ? undefined : links.splice(next, 1)[0];
  }
  return false;
}

/**
 * Why a certificate of our authorities is not one of this cluster's brokers. Stricter than what names of servers are held
 * to: a common name does not count, and a wildcard would be good for every cluster of the authority.
 * @param names as OpenSSL prints them: `DNS:one, DNS:two, IP Address:127.0.0.1`
 */
export function foreignTo(name: string, names: string | undefined): PeerIdentityError | undefined {
  if (names?.split(', ').includes(`DNS:${name}`) === true) return undefined;
  return new PeerIdentityError(
    `its certificate is not one of this cluster's brokers: it carries ${names ?? 'no name'}, not DNS:${name}`,
  );
}

export interface CertificateDescription {
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly names: string | undefined;
}

/** Of the first certificate of a chain, the server's own. @throws {TlsCredentialsError} */
export function describeCertificate(certificate: string): CertificateDescription {
  try {
    const { subject, subjectAltName, validFromDate, validToDate } = new X509Certificate(certificate);
    return {
      subject: subject.replaceAll('\n', ', '),
      notBeforeMs: validFromDate.getTime(),
      notAfterMs: validToDate.getTime(),
      names: subjectAltName,
    };
  } catch (error) {
    throw new TlsCredentialsError(`TLS: the certificate cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
