import { BlankWalError } from '../../broker-runtime/src/broker/block-logs.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from '../../broker-runtime/src/wire/messages/create-topics.ts';
import {
  FindCoordinatorRequest,
  FindCoordinatorResponse,
} from '../../broker-runtime/src/wire/messages/find-coordinator.ts';
import { JoinGroupRequest, JoinGroupResponse } from '../../broker-runtime/src/wire/messages/join-group.ts';
import type { KafkaClient } from '../simulation/world/kafka-client.ts';
import { BrokerLives } from '../simulation/broker-lives.ts';
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
} from './broker-rig.ts';

const CreateTopics = [CreateTopicsRequest, CreateTopicsResponse] as const;
const FindCoordinator = [FindCoordinatorRequest, FindCoordinatorResponse] as const;
const JoinGroup = [JoinGroupRequest, JoinGroupResponse] as const;

/** An orchestrator gives 90 s (systemd) before it kills. */
const STOP_LIMIT_MS = 60_000;

describe('how a broker stops', () => {
  let lives: BrokerLives;
  let client: KafkaClient;

  beforeEach(async () => {
    lives = new BrokerLives(7);
    await lives.run(lives.start());
    client = await lives.run(lives.connect());
    const topics = [{ name: 'log', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }];
    await lives.run(client.call(CreateTopics, 7, { topics, timeoutMs: 30_000 }));
  });

  afterEach(() => {
    if (lives.isUp) lives.crash();
  });

  const produce = async (value: string): Promise<number> =>
    producedRow(await client.call(Produce, 9, produceTo('log', batchOf([value])))).errorCode;

  const readAll = async (): Promise<readonly string[]> => {
    const reader = await lives.connect();
    return recordsIn(fetchedRow(await reader.call(Fetch, 11, fetchFrom('log', 0))).records);
  };

  test('members parked in a rebalance do not hold it up', async () => {
    const join = (): Promise<number | string> =>
      client
        .call(JoinGroup, 5, {
          groupId: 'group',
          sessionTimeoutMs: 45_000,
          rebalanceTimeoutMs: 300_000,
          memberId: '',
          groupInstanceId: 'static',
          protocolType: 'consumer',
          protocols: [{ name: 'range', metadata: new Uint8Array(0) }],
        })
        .then(
          ({ errorCode }) => errorCode,
          () => 'closed',
        );
    // Makes the coordinator's topic; the first to join are refused until it is loaded.
    await lives.run(client.call(FindCoordinator, 4, { key: '', keyType: 0, coordinatorKeys: ['group'] }));
    const answers: (number | string)[] = [];
    let parked = join();
    for (let tries = 1; tries <= 20; tries++) {
      void parked.then((code) => answers.push(code));
      await lives.clock.advance(1_000);
      if (answers.length < tries) break;
      parked = join();
    }
    expect(answers.length).toBeLessThan(20);
    expect(await lives.run(lives.stop())).toBeLessThan(500);
    expect(await lives.run(parked)).not.toBe(0);
  });

  test('with the object store down it stops in time, and the next start replays the WAL', async () => {
    lives.unavailable = true;
    expect(await lives.run(produce('one'))).toBe(0);
    expect(await lives.run(lives.stop())).toBeLessThan(STOP_LIMIT_MS);
    lives.unavailable = false;
    await lives.run(lives.start());
    expect(await lives.run(readAll())).toEqual(['0:one']);
  });

  test('failure class: a stop that vouches for what it could not upload', async () => {
    const rig = await startBroker();
    await rig.topic('t');
    expect(
      producedRow(await rig.run(rig.client.call(Produce, 9, produceTo('t', batchOf(['one']))))).errorCode,
    ).toBe(0);
    rig.objects.unavailable = true;
    expect(await rig.run(rig.broker.close())).toBe(false);
    const other = await startBroker();
    await other.topic('t');
    expect(
      producedRow(await other.run(other.client.call(Produce, 9, produceTo('t', batchOf(['one']))))).errorCode,
    ).toBe(0);
    expect(await other.run(other.broker.close())).toBe(true);
  });

  test('with a write of the WAL that never ends it stops in time, and what was acknowledged is there', async () => {
    expect(await lives.run(produce('one'))).toBe(0);
    lives.disk.isHeld = true;
    const pending = produce('two').catch(() => 'closed');
    await lives.clock.advance(1_000);
    expect(await lives.run(lives.stop())).toBeLessThan(STOP_LIMIT_MS);
    expect(await lives.run(pending)).not.toBe(0);
    lives.disk.crash();
    lives.disk.isHeld = false;
    await lives.run(lives.start());
    expect((await lives.run(readAll()))[0]).toBe('0:one');
  });

  test('bug: a broker that had lived before began on a blank WAL in silence', async () => {
    lives.crash();
    lives.disk.bytes.fill(0);
    await expect(lives.run(lives.start())).rejects.toThrow(BlankWalError);
    lives.disk.crash();
    lives.acceptWalLoss = true;
    await lives.run(lives.start());
    expect(lives.events.named('broker.wal-loss-accepted')).toHaveLength(1);
    lives.acceptWalLoss = false;
    await lives.run(lives.stop());
    // After a clean stop nothing was on it that is needed.
    lives.disk.bytes.fill(0);
    await lives.run(lives.start());
  });
});
