import { describe, expect, test } from '@jest/globals';
import {
  peerCredentials,
  TlsSecretError,
  tlsCredentials,
} from '../../broker-runtime/src/agent/tls-secret.ts';

const PEMS = { certificate: 'CERTIFICATE', privateKey: 'PRIVATE', clientAuthorities: 'AUTHORITIES' };

const read = (text: string, clientCertificates: 'required' | 'none' = 'required') =>
  tlsCredentials({ read: () => Promise.resolve(text) }, { secretId: 'arn:secret', clientCertificates });

describe('the secret of the client listener', () => {
  test('has certificate, key and the authorities of clients', async () => {
    expect(await read(JSON.stringify(PEMS))).toEqual(PEMS);
  });

  test('its authorities are left out when clients show no certificate', async () => {
    const { certificate, privateKey } = PEMS;
    expect(await read(JSON.stringify(PEMS), 'none')).toEqual({ certificate, privateKey });
  });

  test('that of brokers among themselves has authorities of its own', async () => {
    const secrets = { read: () => Promise.resolve(JSON.stringify(PEMS)) };
    const reading = peerCredentials(secrets, { secretId: 'arn:peers', name: 'n' });
    await expect(reading).rejects.toThrow(/secret arn:peers: authorities is missing/);
  });

  test('is not asked for when the environment has none', async () => {
    const never = { read: () => Promise.reject(new Error('asked')) };
    expect(await tlsCredentials(never, undefined)).toBeUndefined();
  });

  test.each<[string, string, RegExp]>([
    ['no JSON', 'PRIVATE', /is not a JSON object, allowed PEM texts/],
    ['a list', '["PRIVATE"]', /certificate is missing/],
    [
      'no authorities',
      JSON.stringify({ ...PEMS, clientAuthorities: undefined }),
      /clientAuthorities is missing/,
    ],
    ['a key that is no text', JSON.stringify({ ...PEMS, privateKey: 7 }), /privateKey is no text/],
  ])('%s: an error that names the secret and not its content', async (_, text, message) => {
    const error: unknown = await read(text).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TlsSecretError);
    expect(String(error)).toMatch(message);
    expect(String(error)).toContain('arn:secret');
    expect(String(error)).not.toMatch(/PRIVATE|CERTIFICATE/);
  });
});
