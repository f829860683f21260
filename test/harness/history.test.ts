import { describe, expect, test } from '@jest/globals';
import { checkDrain, type Observation } from './history.ts';

const good: Observation[] = Array.from({ length: 60 }, (_, n) => ({
  value: `p${n % 2}.${n}`,
  partition: n % 3,
  offset: Math.floor(n / 3),
}));
const clean = { lost: [], duplicated: [], inconsistent: [], gaps: [], reordered: [] };

/** The checker is only worth what it catches: every kind of damage, at every place of a good history. */
describe('checkDrain', () => {
  test('finds nothing in a good history, also when some answers were lost', () => {
    expect(checkDrain(good, good)).toMatchObject(clean);
    expect(checkDrain(good.slice(5), good)).toMatchObject(clean);
  });

  test.each(good.map((record, at) => ({ record, at })))('catches damage to record $at', ({ record, at }) => {
    const without = good.filter((_, n) => n !== at);
    expect(checkDrain(good, without).lost).toEqual([record]);

    const end = good.filter((other) => other.partition === record.partition).length;
    const twice = [...good, { ...record, offset: end }];
    expect(checkDrain(good, twice).duplicated).toHaveLength(1);

    const moved = good.map((other) => (other === record ? { ...other, offset: other.offset + 100 } : other));
    expect(checkDrain(good, moved).inconsistent).toEqual([record]);
    expect(checkDrain(good, moved).gaps.length).toBeGreaterThan(0);

    const replaced = good.map((other) => (other === record ? { ...other, value: 'x.0' } : other));
    expect(checkDrain(good, replaced).lost).toEqual([record]);
  });

  test('catches two records of one producer that changed places', () => {
    const [first, second] = good.filter((record) => record.partition === 0 && record.value.startsWith('p0'));
    if (first === undefined || second === undefined) throw new Error('the history is too short');
    const swapped = good.map((record) =>
      record === first
        ? { ...first, value: second.value }
        : record === second
          ? { ...second, value: first.value }
          : record,
    );
    expect(checkDrain(good, swapped).reordered).toHaveLength(1);
  });
});
