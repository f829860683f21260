import { expect, test } from '@jest/globals';
import { CreateTopics, joinBroker, Metadata, startBroker } from './broker-rig.ts';

const LOOK_AGAIN_MS = 5;
const LATE_TOPICS = 3;

test('partitions that a broker is given while it leaves have another leader before it stops serving', async () => {
  const rig = await startBroker();
  const leaving = await joinBroker(rig, 2);
  const atTwo = (name: string) => ({
    name,
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [{ partitionIndex: 0, brokerIds: [2] }],
    configs: [],
  });
  const create = async (name: string): Promise<void> => {
    const { topics } = await rig.run(rig.client.call(CreateTopics, 7, { topics: [atTwo(name)] }));
    expect(topics[0]?.errorCode).toBe(0);
  };
  const leaderOf = async (name: string): Promise<number | undefined> => {
    const { topics } = await rig.run(rig.client.call(Metadata, 12, { topics: [{ name }] }));
    return topics[0]?.partitions[0]?.leaderId;
  };
  await create('early');

  const isServing = (): boolean => !leaving.client.isClosed;
  const left = leaving.broker.close();
  let made = 0;
  let seenWhileServing: readonly (number | undefined)[] = [];
  while (isServing()) {
    // One more at each look.
    if (made < LATE_TOPICS) await create(`late-${made++}`);
    const seen: (number | undefined)[] = [];
    for (let n = 0; n < made; n++) seen.push(await leaderOf(`late-${n}`));
    if (isServing()) seenWhileServing = seen;
    await rig.run(rig.env.clock.sleep(LOOK_AGAIN_MS));
  }
  await rig.run(left);
  expect(seenWhileServing).toEqual([1, 1, 1]);
  await rig.close();
});
