import { describe, expect, test } from '@jest/globals';
import { openMetadata } from './metadata-world.ts';

describe('producer ids', () => {
  test('small requests share a block: one journal entry for a thousand ids', async () => {
    const { metadata, journal } = await openMetadata();
    const before = journal.committedSequence;
    const ids = await Promise.all(Array.from({ length: 1_000 }, () => metadata.allocateProducerIds(1)));
    expect(ids).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(journal.committedSequence).toBe(before + 1);
    expect(await metadata.allocateProducerIds(1)).toBe(1_000);
    expect(journal.committedSequence).toBe(before + 2);
  });

  test('blocks never overlap, however they are asked for', async () => {
    const { metadata } = await openMetadata();
    const counts = [1, 999, 2, 1_000, 600, 5_000, 600, 1];
    const firsts = await Promise.all(counts.map((count) => metadata.allocateProducerIds(count)));
    const taken = firsts
      .map((first, n) => ({ first, end: first + (counts[n] ?? 0) }))
      .sort((a, b) => a.first - b.first);
    taken.forEach(({ first }, n) => expect(first).toBeGreaterThanOrEqual(taken[n - 1]?.end ?? 0));
  });

  test('are never given out again after a crash, although the block was not used up', async () => {
    const world = await openMetadata();
    const last = await world.metadata.allocateProducerIds(1);
    const after = await openMetadata({}, world);
    expect(await after.metadata.allocateProducerIds(1)).toBeGreaterThan(last);
  });

  test('none or half of one cannot be asked for', async () => {
    const { metadata } = await openMetadata();
    for (const count of [0, -1, 0.5])
      await expect(metadata.allocateProducerIds(count)).rejects.toThrow(RangeError);
  });
});
