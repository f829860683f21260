import { systemErrorCode } from './system-error.ts';

/**
 * What a failed request to S3 means, whatever the request was:
 *   absent        404: no such key
 *   precondition  412: the condition of a write does not hold
 *   conflict      409: nothing was stored, a concurrent operation got in the way
 *   range         416: the range starts past the end
 *   denied        misconfiguration, which no repetition heals: permissions, bucket, region, request not understood
 *   unavailable   everything else: the request may have been carried out or not, and may be repeated
 */
export type S3Failure = 'absent' | 'precondition' | 'conflict' | 'range' | 'denied' | 'unavailable';

/** Names that mean the same as "try again", although their status says the request was wrong. */
const TRANSIENT_NAMES: ReadonlySet<string> = new Set([
  'RequestTimeout',
  'BadDigest',
  'XAmzContentChecksumMismatch',
]);

/** 409 has other meanings on some servers, which repeating does not change. */
const CONFLICT_NAMES: ReadonlySet<string> = new Set(['ConditionalRequestConflict', 'OperationAborted']);

/** The bucket is missing, not the key; and no credentials were found, so nothing was sent. */
const DENIED_NAMES: ReadonlySet<string> = new Set(['NoSuchBucket', 'CredentialsProviderError']);

/** Reads status and name, because the SDK has no classes for most answers (S3 conditional-writes page). */
export function classifyS3Failure(error: unknown): S3Failure {
  const { name, status } = describeS3Error(error);
  if (DENIED_NAMES.has(name)) return 'denied';
  if (TRANSIENT_NAMES.has(name)) return 'unavailable';
  switch (status) {
    case 404:
      return 'absent';
    case 412:
      return 'precondition';
    case 409:
      return CONFLICT_NAMES.has(name) ? 'conflict' : 'denied';
    case 416:
      return 'range';
    case undefined:
    case 408:
    case 429:
      return 'unavailable';
    default:
      // 301 and 307 name another region; 3xx and 4xx come back the same however often they are sent.
      return status >= 300 && status < 500 ? 'denied' : 'unavailable';
  }
}

export function describeS3Error(error: unknown): {
  readonly name: string;
  readonly status: number | undefined;
  readonly text: string;
} {
  if (typeof error !== 'object' || error === null)
    return { name: '', status: undefined, text: String(error) };
  const name = 'name' in error && typeof error.name === 'string' ? error.name : '';
  const message = 'message' in error && typeof error.message === 'string' ? error.message : '';
  const status = statusOf(error);
  const code = status === undefined ? systemErrorCode(error) : String(status);
  return {
    name,
    status,
    text: [code, name, message].filter((part) => part !== undefined && part !== '').join(' '),
  };
}

function statusOf(error: object): number | undefined {
  if (!('$metadata' in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}
