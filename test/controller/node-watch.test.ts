import { expect, test } from '@jest/globals';
import { NodeWatch } from '../../broker-runtime/src/controller/node-watch.ts';
import type { RegisteredBroker } from '../../broker-runtime/src/metadata/cluster-metadata.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

const SESSION_MS = 6_000;

const node = (nodeId: number, nodeEpoch: number): RegisteredBroker => ({
  nodeId,
  nodeEpoch,
  state: 'active',
  incarnationId: 'i',
  walKind: 'block-shared',
  zone: 'zone-a',
  previous: undefined,
  logNeeded: false,
});

test('failure class: a life that registers late in a term, before its first heartbeat, is not taken for dead', async () => {
  const clock = new SimClock();
  const watch = new NodeWatch(clock, SESSION_MS);
  expect(watch.overdue([node(1, 1)])).toEqual([]);
  watch.heard(node(1, 1));
  await clock.advance(10 * SESSION_MS);
  const reborn = node(1, 50);
  expect(watch.overdue([reborn])).toEqual([]);
  await clock.advance(SESSION_MS);
  expect(watch.overdue([reborn])).toEqual([]);
  await clock.advance(1);
  expect(watch.overdue([reborn])).toEqual([reborn]);
});

test('a node that never says anything in a term is missed one session after the term began (T22)', async () => {
  const clock = new SimClock();
  const watch = new NodeWatch(clock, SESSION_MS);
  expect(watch.overdue([node(1, 1)])).toEqual([]);
  await clock.advance(SESSION_MS + 1);
  expect(watch.overdue([node(1, 1)])).toHaveLength(1);
  watch.heard(node(1, 1));
  expect(watch.overdue([node(1, 1)])).toEqual([]);
});

test('taken-for-dead-while-searching: who was not heard of yet has the time of finding the controller on top, once', async () => {
  const clock = new SimClock();
  const watch = new NodeWatch(clock, SESSION_MS, 4_000);
  expect(watch.overdue([node(1, 1), node(2, 1)])).toEqual([]);
  await clock.advance(SESSION_MS + 3_000);
  expect(watch.overdue([node(1, 1), node(2, 1)])).toEqual([]);
  watch.heard(node(1, 1));
  await clock.advance(SESSION_MS);
  expect(watch.overdue([node(1, 1), node(2, 1)])).toEqual([node(2, 1)]);
  await clock.advance(1);
  expect(watch.overdue([node(1, 1), node(2, 1)])).toEqual([node(1, 1), node(2, 1)]);
});
