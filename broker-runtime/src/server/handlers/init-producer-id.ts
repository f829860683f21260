import { ApiKey } from '../../wire/api-keys.ts';
import { Errors } from '../../wire/errors.ts';
import { InitProducerIdRequest, InitProducerIdResponse } from '../../wire/messages/init-producer-id.ts';
import { defineApi } from '../api.ts';
import { ProducerIds } from '../producer-ids.ts';

/**
 * InitProducerId for idempotence: every call gets a fresh id with epoch 0 (KIP-98). Producers ask at their start, so
 * this must never fail for them: Java's are idempotent by default.
 *
 * A transactional id is refused with UNSUPPORTED_VERSION. Transactions need their coordinator, and of the codes clients
 * know here a retriable one (COORDINATOR_NOT_AVAILABLE) would make them try until a timeout that names no cause, while
 * this one ends `initTransactions` at once and says what is the matter.
 */
export const initProducerIdApi = defineApi({
  key: ApiKey.InitProducerId,
  request: InitProducerIdRequest,
  response: InitProducerIdResponse,
  requestMemory: 'decoded',
  handler: (services) => {
    const ids = new ProducerIds(services.metadata);
    return async (request) => {
      if (request.transactionalId !== null) {
        return { throttleTimeMs: 0, errorCode: Errors.UNSUPPORTED_VERSION, producerEpoch: -1 };
      }
      return { throttleTimeMs: 0, errorCode: Errors.NONE, producerId: await ids.next(), producerEpoch: 0 };
    };
  },
  failure: (errorCode) => ({ throttleTimeMs: 0, errorCode, producerEpoch: -1 }),
});
