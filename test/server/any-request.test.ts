import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allApis } from '../../broker-runtime/src/server/apis.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import { ZERO_UUID } from '../../broker-runtime/src/wire/schema.ts';
import { messageArbitrary, type Limits, type Struct } from '../wire/arbitraries.ts';
import { Metadata, Produce, batchOf, produceTo, startBroker, type BrokerRig } from './broker-rig.ts';

const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;

const REQUESTS_PER_API = 200;
/** Parked requests are left after this. */
const PATIENCE_MS = 50;

/** Values that requests can have and nobody expects, beside those that lead somewhere. */
function limitsFor(topicId: string): Limits {
  const batch = { producerId: 5, producerEpoch: 0, baseSequence: 0 };
  const pools: Partial<Record<string, readonly unknown[]>> = {
    int8: [-128, -1, 0, 1, 2, 3, 4, 127],
    int16: [-32768, -1, 0, 1, 2, 32767],
    int32: [-(2 ** 31), -2, -1, -1, -1, 0, 0, 0, 1, 1, 2, 10_000, 10_000, 2 ** 31 - 1],
    int64: [-(2 ** 63), -5, -3, -2, -1, 0, 1, 2, 1_767_225_600_000, 2 ** 53 - 1, 2 ** 53, 2 ** 63],
    string: ['', '', '', ...'t t t c g g . a/b 1 2 consumer retention.ms compact'.split(' ')],
    uuid: [topicId, topicId, ZERO_UUID, 'BBBBBBBBBBBBBBBBBBBBBA'],
    bytes: [
      new Uint8Array(0),
      Buffer.from('00030000000100017400000000', 'hex'),
      Buffer.from('ffffffff', 'hex'),
    ],
    records: [batchOf(['a']), batchOf(['a'], batch), batchOf(['b', 'c'], { key: null }), new Uint8Array(70)],
  };
  return {
    elements: 3,
    textLength: 10,
    bytes: 10,
    scalar: (kind) => {
      const pool = pools[kind];
      return pool === undefined ? undefined : fc.constantFrom(...pool);
    },
  };
}

/** Sends one request on a connection of its own, for a while. @returns whether the broker closed the connection */
async function isCutOff(
  rig: BrokerRig,
  api: Parameters<BrokerRig['client']['call']>[0],
  version: number,
  body: Struct,
): Promise<boolean> {
  const client = await rig.connect();
  client.call(api, version, body).catch(() => undefined);
  await rig.env.clock.advance(PATIENCE_MS);
  const { isClosed } = client;
  client.destroy();
  await rig.env.clock.advance(1);
  return isClosed;
}

test.each(allApis().map((api) => [api.request.name, api] as const))(
  'property: whatever a %s says, no handler fails and the broker goes on',
  async (_name, { request, response, versions }) => {
    const rig = await startBroker({ 'group.initial.rebalance.delay.ms': '0' });
    const topicId = await rig.topic('t', { partitions: 2 });
    await rig.topic('c', { configs: { 'cleanup.policy': 'compact' } });
    await rig.run(rig.client.call(Produce, 9, produceTo('t', batchOf(['a', 'b']))));
    // Creates the topic of the groups, and has it loaded.
    await rig.run(rig.client.call(FindCoordinator, 4, { keyType: 0, coordinatorKeys: ['g'] }));
    await rig.env.clock.advance(100);
    const limits = limitsFor(topicId);
    const anyVersion = fc.integer({ min: versions.min, max: versions.max });
    const anyRequest = anyVersion.chain((version) =>
      messageArbitrary(request, version, limits).map((body) => ({ version, body })),
    );
    await fc.assert(
      fc.asyncProperty(anyRequest, async ({ version, body }) => {
        const isSilent = request.name === 'ProduceRequest' && body['acks'] === 0;
        expect((await isCutOff(rig, [request, response], version, body)) && !isSilent).toBe(false);
        expect(rig.env.events.named('server.request-failed')).toEqual([]);
      }),
      { numRuns: REQUESTS_PER_API, endOnFailure: true },
    );
    expect((await rig.run(rig.client.call(Metadata, 12, { topics: [] }))).brokers).toHaveLength(1);
    await rig.close();
  },
);
