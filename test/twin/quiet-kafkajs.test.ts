import { expect, test } from '@jest/globals';
import { quietKafkajs } from '../../bin/quiet-kafkajs.ts';

test("kafkajs' timer of minus 56 years is not told, every other warning is", () => {
  const told: unknown[][] = [];
  const target = { emitWarning: (...args: unknown[]): void => void told.push(args) };
  quietKafkajs(target);
  const timer = (ms: number) => [
    `${ms} is a negative number.\nTimeout duration was set to 1.`,
    'TimeoutNegativeWarning',
  ];
  target.emitWarning(...timer(-1 - Date.now()));
  expect(told).toEqual([]);
  const others = [timer(-466), ['-1795799443319 is a negative number', 'Other'], [new Error('x')]];
  for (const other of others) target.emitWarning(...other);
  expect(told).toEqual(others);
});
