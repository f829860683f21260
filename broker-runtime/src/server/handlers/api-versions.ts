import { ApiKey, apiOf } from '../../wire/api-keys.ts';
import { Errors } from '../../wire/errors.ts';
import { ApiVersionsRequest, ApiVersionsResponse } from '../../wire/messages/api-versions.ts';
import { defineApi, type Api } from '../api.ts';

/** What a client may call itself and its version (KIP-511). */
const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

/** First version in which clients name themselves. */
const FIRST_NAMING_VERSION = 3;

/**
 * ApiVersions (KIP-35): what this broker serves. It lists exactly the APIs of its dispatcher, and itself.
 *
 * A version above ours is answered in the layout of version 0 with UNSUPPORTED_VERSION and the row of ApiVersions:
 * that is the one thing such a client can read, and where it finds the version to ask with.
 */
export function apiVersionsApi(others: readonly Api[]): Api {
  const own = row(ApiKey.ApiVersions);
  const rows = [...others.map((api) => row(api.key)), own].toSorted((a, b) => a.apiKey - b.apiKey);
  return defineApi({
    key: ApiKey.ApiVersions,
    request: ApiVersionsRequest,
    response: ApiVersionsResponse,
    requestMemory: 'decoded',
    handler: () => (request, context) => {
      const named = context.apiVersion >= FIRST_NAMING_VERSION;
      const { clientSoftwareName, clientSoftwareVersion } = request;
      if (named && !(SOFTWARE_NAME.test(clientSoftwareName) && SOFTWARE_NAME.test(clientSoftwareVersion))) {
        return { errorCode: Errors.INVALID_REQUEST, apiKeys: [] };
      }
      return { errorCode: Errors.NONE, apiKeys: rows };
    },
    failure: (errorCode) => ({
      errorCode,
      apiKeys: errorCode === Errors.UNSUPPORTED_VERSION ? [own] : [],
    }),
  });
}

function row(apiKey: number): {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
} {
  const versions = apiOf(apiKey);
  return { apiKey, minVersion: versions?.advertisedMin ?? 0, maxVersion: versions?.max ?? 0 };
}
