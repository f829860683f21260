import { describe, expect, test } from '@jest/globals';
import { NothingToPromoteError } from '../../broker-runtime/src/promotion/cut.ts';
import { LossNotAcceptedError } from '../../broker-runtime/src/promotion/promote.ts';
import { objectKey } from '../../broker-runtime/src/store/object-key.ts';
import { logKey, sequenceOf } from '../../broker-runtime/src/wal/conditional/keys.ts';
import { LogExistsError } from '../../broker-runtime/src/wal/seed-log.ts';
import { SimRandom } from '../simulation/world/sim-random.ts';
import { newestWhole, Replica, SourceCluster, TOPIC } from './replicated-world.ts';

/** Seeds of the property: each a life, and a replica of it in which a random share has arrived. */
const SEEDS = Array.from({ length: 60 }, (_, n) => n + 1);

async function lifeOf(uploads: number): Promise<SourceCluster> {
  const source = await SourceCluster.start(1);
  for (let n = 0; n < uploads; n++) await source.upload();
  return source;
}

describe('the promotion of a replica', () => {
  test('goes on from the newest entry when everything has arrived', async () => {
    const source = await lifeOf(5);
    await source.lose();
    const replica = new Replica(source.env, source.puts);
    const report = await replica.promote();
    expect(report).toMatchObject({
      clusterId: source.clusterId,
      cutSequence: source.end,
      givenUpMs: 0,
      missingObjects: 0,
      cutShortBy: null,
      partitions: [{ topic: TOPIC, partition: 0, startOffset: 0, endOffset: 50 }],
      brokersWithLogs: [{ nodeId: 3, zone: 'a' }],
    });
    const { manifest, metadata, journal } = await replica.open();
    expect(journal.clusterId).toBe(source.clusterId);
    expect(manifest.streams.get(1)?.committedOffset).toBe(50);
    expect(metadata.brokers.get(3)).toMatchObject({ state: 'clean', logNeeded: false });
  });

  test('begins ids and epochs behind all that the lost cluster can have given out', async () => {
    const source = await lifeOf(3);
    await source.lose();
    const replica = new Replica(source.env, source.puts);
    await replica.promote();
    const { manifest, metadata, journal } = await replica.open();
    expect(manifest.nextObjectId).toBeGreaterThan(1e9);
    expect(metadata.nextProducerId).toBeGreaterThan(1e9);
    expect(metadata.topicByName(TOPIC)?.partitions[0]?.leaderEpoch).toBeGreaterThanOrEqual(1_000);
    // The next registration's node epoch.
    expect(journal.committedSequence).toBeGreaterThan(1e8);
  });

  test('looks back to the newest moment of which every object is there, and says what that gives up', async () => {
    const source = await lifeOf(4);
    const before = source.end;
    await source.upload();
    const late = source.puts.filter(({ key }) => key.startsWith('data/')).at(-1);
    await source.upload();
    await source.lose();
    const replica = new Replica(
      source.env,
      source.puts.filter((put) => put !== late),
    );
    const report = await replica.promote({ isPlan: true });
    // The entry that prepared the missing object names nothing yet.
    expect(report.cutSequence).toBe(before + 1);
    expect(report).toMatchObject({
      readableSequence: source.end,
      missingObjects: 1,
      missingKeys: [late?.key],
    });
    expect(report.givenUpMs).toBeGreaterThan(0);
    expect(report.partitions[0]?.endOffset).toBe(40);
  });

  test('finds a whole state before a compaction whose object has not arrived', async () => {
    const source = await lifeOf(2);
    await source.compact();
    const compacted = source.puts.filter(({ key }) => key.startsWith('data/')).at(-1);
    await source.lose();
    const replica = new Replica(
      source.env,
      source.puts.filter((put) => put !== compacted),
    );
    const report = await replica.promote();
    expect(report.partitions[0]?.endOffset).toBe(20);
    const { manifest } = await replica.open();
    expect([...(manifest.streams.get(1)?.ranges ?? [])]).toHaveLength(2);
  });

  test('reads no further than to the first entry that has not arrived', async () => {
    const source = await lifeOf(5);
    await source.lose();
    const key = logKey(source.end - 1);
    const isLater = (snapshot: string): boolean =>
      snapshot.startsWith('meta/snap/') && sequenceOf(snapshot) >= source.end - 1;
    const arrived = source.puts.filter((put) => put.key !== key && !isLater(put.key));
    const replica = new Replica(source.env, arrived);
    const report = await replica.promote();
    expect(report).toMatchObject({
      cutSequence: source.end - 2,
      newestSequence: source.end,
      cutShortBy: `${key} has not been replicated`,
    });
  });

  test('does not give up more than a minute unasked, and changes nothing then', async () => {
    const source = await lifeOf(1);
    await source.upload();
    const late = source.puts.filter(({ key }) => key.startsWith('data/')).at(-1);
    await source.env.clock.advance(100_000);
    await source.upload();
    await source.lose();
    const replica = new Replica(
      source.env,
      source.puts.filter((put) => put !== late),
    );
    const keys = [...replica.bucket.objects.keys()];
    await expect(replica.promote({ acceptLoss: false })).rejects.toThrow(LossNotAcceptedError);
    expect([...replica.bucket.objects.keys()]).toEqual(keys);
    expect((await replica.promote()).partitions[0]?.endOffset).toBe(10);
  });

  test('is done once: a second one changes nothing', async () => {
    const source = await lifeOf(2);
    await source.lose();
    const replica = new Replica(source.env, source.puts);
    await replica.promote();
    await expect(replica.promote()).rejects.toThrow(LogExistsError);
  });

  test('takes an object of another size for missing', async () => {
    const source = await lifeOf(3);
    await source.lose();
    const replica = new Replica(source.env, source.puts);
    const last = source.puts.filter(({ key }) => key.startsWith('data/')).at(-1);
    replica.arrive([{ key: last?.key ?? '', body: new Uint8Array(7) }]);
    expect((await replica.promote()).partitions[0]?.endOffset).toBe(20);
  });

  test('says so when nothing can be promoted', async () => {
    const source = await lifeOf(3);
    await source.lose();
    await expect(new Replica(source.env, []).promote()).rejects.toThrow(/no meta\/floor/);
    const floors = source.puts.filter(({ key }) => key === 'meta/floor');
    await expect(new Replica(source.env, floors).promote()).rejects.toThrow(
      /neither a snapshot nor the first entry/,
    );
  });

  test.each(SEEDS)(
    'I40: whatever has arrived, the newest whole state and no later drip (seed %i)',
    async (seed) => {
      const random = new SimRandom(seed);
      const source = await SourceCluster.start(seed);
      for (let step = 0; step < 12; step++) {
        if (random.below(4) === 0) await source.compact();
        else await source.upload();
      }
      await source.lose();
      const sharePercent = [50, 80, 90, 97][random.below(4)] ?? 0;
      const arrived = source.puts.filter(
        ({ key }) => key === 'meta/floor' || random.below(100) < sharePercent,
      );
      const late = source.puts.filter((put) => !arrived.includes(put));
      const replica = new Replica(source.env, arrived);
      const expected = newestWhole(replica.bucket, source.truth);
      if (expected === undefined) {
        await expect(replica.promote()).rejects.toThrow(NothingToPromoteError);
        return;
      }
      const report = await replica.promote();
      const truth = source.truth.get(expected);
      expect(report.cutSequence).toBe(expected);
      const kept = truth?.manifest.streams.get(1);
      if (kept !== undefined) expect(report.partitions[0]?.endOffset).toBe(kept.committedOffset);

      // Objects of the lost cluster still arrive, in its places; none of the promoted cluster's is among them.
      replica.arrive(late);
      const { manifest, metadata, journal } = await replica.open();
      expect([...(manifest.streams.get(1)?.ranges ?? [])]).toEqual([...(kept?.ranges ?? [])]);
      for (const { objectId, state, sizeBytes } of manifest.objects()) {
        if (state === 'committed')
          expect(replica.bucket.objects.get(objectKey(objectId))?.body).toHaveLength(sizeBytes);
      }
      expect([...metadata.brokers.values()].every(({ state }) => state === 'clean')).toBe(true);
      const free = await replica
        .store()
        .put(objectKey(manifest.nextObjectId), [new Uint8Array(1)], { kind: 'absent' });
      expect(free.outcome).toBe('committed');
      await source.env.clock.run(journal.close());
    },
  );
});
