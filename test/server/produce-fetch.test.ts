import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  Fetch,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  produceTo,
  producedRow,
  recordsIn,
  startBroker,
  type BrokerRig,
} from './broker-rig.ts';

describe('what is produced can be fetched', () => {
  let rig: BrokerRig;
  beforeAll(async () => {
    rig = await startBroker();
  });
  afterAll(() => rig.close());

  test('a batch comes back at the offset of its answer', async () => {
    await rig.topic('orders');
    const produced = await rig.run(rig.client.call(Produce, 9, produceTo('orders', batchOf(['a', 'b']))));
    expect(producedRow(produced)).toMatchObject({
      errorCode: 0,
      baseOffset: 0,
      logStartOffset: 0,
      logAppendTimeMs: -1,
    });
    const again = await rig.run(rig.client.call(Produce, 9, produceTo('orders', batchOf(['c']))));
    expect(producedRow(again).baseOffset).toBe(2);

    const fetched = await rig.run(rig.client.call(Fetch, 12, fetchFrom('orders', 0)));
    const row = fetchedRow(fetched);
    expect(row).toMatchObject({ errorCode: 0, highWatermark: 3, lastStableOffset: 3, logStartOffset: 0 });
    expect(recordsIn(row.records)).toEqual(['0:a', '1:b', '2:c']);
  });
});
