import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { FindCoordinatorRequest, FindCoordinatorResponse } from '../../wire/messages/find-coordinator.ts';
import { defineApi, type ConnectionInfo } from '../api.ts';
import type { Services } from '../services.ts';

const KeyType = { group: 0, transaction: 1, share: 2 } as const;
/** First version that asks for many keys at once (KIP-699). */
const FIRST_BATCH_VERSION = 4;

interface Coordinator {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly errorCode: ErrorCode;
  readonly errorMessage: string | null;
}

/**
 * FindCoordinator: which broker to talk to about a group. Transactions and share groups are not offered, and say so
 * with an error that no client retries: a producer fails at once instead of looking for a minute.
 */
export const findCoordinatorApi = defineApi({
  key: ApiKey.FindCoordinator,
  request: FindCoordinatorRequest,
  response: FindCoordinatorResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request, context) => {
    if (context.apiVersion < FIRST_BATCH_VERSION) {
      return find(services, context.connection, request.keyType, request.key);
    }
    const keys = request.coordinatorKeys;
    if (keys.length > services.groups.config.maxGroupsPerRequest) {
      const error = nowhere(Errors.INVALID_REQUEST, `${keys.length} keys are too many for one request`);
      return { coordinators: keys.map((key) => ({ key, ...error })) };
    }
    const coordinators = keys.map(async (key) => ({
      key,
      ...(await find(services, context.connection, request.keyType, key)),
    }));
    return { coordinators: await Promise.all(coordinators) };
  },
  failure: (errorCode, request) =>
    request.coordinatorKeys.length === 0
      ? nowhere(errorCode, null)
      : { coordinators: request.coordinatorKeys.map((key) => ({ key, ...nowhere(errorCode, null) })) },
});

async function find(
  services: Services,
  connection: ConnectionInfo,
  keyType: number,
  key: string,
): Promise<Coordinator> {
  if (keyType === KeyType.transaction) {
    return nowhere(Errors.INVALID_REQUEST, 'this broker does not offer transactions');
  }
  if (keyType === KeyType.share)
    return nowhere(Errors.INVALID_REQUEST, 'this broker does not offer share groups');
  if (keyType !== KeyType.group) return nowhere(Errors.INVALID_REQUEST, `${keyType} is not a type of key`);
  // The empty group stores offsets of old clients; nobody can join it.
  const { error, nodeId } = await services.groups.coordinatorOf(key);
  if (error !== Errors.NONE) return nowhere(error, null);
  const broker = services.brokers.reachableFrom(connection.local).find(({ id }) => id === nodeId);
  if (broker === undefined) return nowhere(Errors.COORDINATOR_NOT_AVAILABLE, null);
  return { nodeId, host: broker.host, port: broker.port, errorCode: Errors.NONE, errorMessage: null };
}

function nowhere(errorCode: ErrorCode, errorMessage: string | null): Coordinator {
  return { nodeId: -1, host: '', port: -1, errorCode, errorMessage };
}
