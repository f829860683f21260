import { expect, test } from '@jest/globals';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
import { Metadata, joinBroker, startBroker, type BrokerRig } from './broker-rig.ts';

async function ledBy(rig: BrokerRig, client: KafkaClient): Promise<Record<number, number>> {
  const { topics } = await rig.run(client.call(Metadata, 12, { topics: null }));
  const led: Record<number, number> = {};
  for (const { partitions } of topics) {
    for (const { leaderId } of partitions) led[leaderId] = (led[leaderId] ?? 0) + 1;
  }
  return led;
}

test('a broker that joins leads its part within 10 s', async () => {
  const rig = await startBroker();
  await rig.topic('a', { partitions: 12 });
  await rig.topic('b', { partitions: 8 });
  const two = await joinBroker(rig, 2);
  await rig.run(rig.env.clock.sleep(10_000));
  expect(await ledBy(rig, rig.client)).toEqual({ 1: 10, 2: 10 });
  const three = await joinBroker(rig, 3);
  await rig.run(rig.env.clock.sleep(10_000));
  const led = await ledBy(rig, three.client);
  expect(Object.values(led).sort()).toEqual([6, 7, 7]);
  await three.close();
  await two.close();
  await rig.close();
});

test('auto.leader.rebalance.enable=false leaves everything where it is', async () => {
  const rig = await startBroker({ 'auto.leader.rebalance.enable': 'false' });
  await rig.topic('a', { partitions: 6 });
  const two = await joinBroker(rig, 2);
  await rig.run(rig.env.clock.sleep(10_000));
  expect(await ledBy(rig, rig.client)).toEqual({ 1: 6 });
  await two.close();
  await rig.close();
});
