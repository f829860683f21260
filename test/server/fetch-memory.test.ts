import { expect, test } from '@jest/globals';
import { FetchRequest } from '../../broker-runtime/src/wire/messages/fetch.ts';
import {
  Fetch,
  MIB,
  Produce,
  batchOf,
  fetchFrom,
  fetchedRow,
  produceTo,
  producedRow,
  recordsIn,
  startBroker,
} from './broker-rig.ts';

const READERS = 40;

test('readers that never drain take the memory for fetches only until their deadline', async () => {
  const rig = await startBroker();
  await rig.topic('history');
  for (let n = 0; n < 20; n += 1) {
    const produced = await rig.run(
      rig.client.call(Produce, 9, produceTo('history', batchOf(['x'.repeat(100_000)]))),
    );
    expect(producedRow(produced).errorCode).toBe(0);
  }
  const stuck = await Promise.all(Array.from({ length: READERS }, () => rig.connect()));
  for (const reader of stuck) {
    reader.pause();
    reader.send(FetchRequest, 12, fetchFrom('history', 0, {}, { partitionMaxBytes: 2 * MIB }));
  }
  await rig.env.clock.advance(5000);

  // Producing is not their business.
  const produced = await rig.run(rig.client.call(Produce, 9, produceTo('history', batchOf(['after']))));
  expect(producedRow(produced).baseOffset).toBe(20);

  let servedAtMs = 0;
  const well = await rig.connect();
  const fromMs = rig.env.clock.monotonicMs();
  const served = well.call(Fetch, 12, fetchFrom('history', 0, {}, { partitionMaxBytes: 2 * MIB }));
  void served.then(() => (servedAtMs = rig.env.clock.monotonicMs()));
  await rig.env.clock.advance(5000);
  expect(servedAtMs).toBe(0);

  expect(recordsIn(fetchedRow(await rig.run(served)).records).length).toBeGreaterThan(0);
  // Three waves of sixteen, ten seconds each, instead of a minute each.
  expect(servedAtMs - fromMs).toBeLessThan(35_000);
  expect(rig.broker.status().server.closes.get('send-deadline')).toBeGreaterThan(0);
  await rig.close();
});
