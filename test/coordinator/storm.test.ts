import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CoordinatorWorld, GROUP, stateOf } from './coordinator-world.ts';
import { StormClient, StormLog } from './storm-client.ts';

const CLIENTS = 5;
/** How often each happens; most of the time clients do what clients do. */
const WEIGHTS = {
  /** Every client does its next step: without such rounds a generation would hardly ever get far. */
  round: 25,
  step: 20,
  wait: 6,
  fsync: 5,
  die: 3,
  reconnect: 3,
  subscribe: 3,
  leave: 3,
  hold: 2,
  admit: 3,
  crash: 1,
};
type Action = keyof typeof WEIGHTS;
const ACTIONS = Object.keys(WEIGHTS) as Action[];

interface Event {
  readonly action: Action;
  readonly client: number;
  readonly ms: number;
}

const event: fc.Arbitrary<Event> = fc.record({
  action: fc.oneof(...ACTIONS.map((action) => ({ weight: WEIGHTS[action], arbitrary: fc.constant(action) }))),
  client: fc.nat(CLIENTS - 1),
  ms: fc.oneof({ weight: 4, arbitrary: fc.nat(2000) }, { weight: 1, arbitrary: fc.nat(30_000) }),
});

class Storm {
  readonly log = new StormLog();
  readonly clients: readonly StormClient[];
  world: CoordinatorWorld;
  #lives = 0;

  constructor(world: CoordinatorWorld) {
    this.world = world;
    this.clients = Array.from(
      { length: CLIENTS },
      (_, at) => new StormClient(`client-${at}`, at % 2 === 1, this.log),
    );
    this.#stopSyncing();
  }

  async happen({ action, client: at, ms }: Event): Promise<void> {
    const client = this.clients[at];
    if (client === undefined) return;
    if (action === 'round') await this.#round();
    else if (action === 'step') client.step(this.world, this.#lives);
    else if (action === 'die') client.die();
    else if (action === 'reconnect') client.reconnect();
    else if (action === 'subscribe') client.changeSubscription(this.world, this.#lives);
    else if (action === 'leave') client.leave(this.world);
    else if (action === 'hold') this.world.hold();
    else if (action === 'admit') await this.world.admit();
    else if (action === 'fsync') await this.world.makeDurable();
    else if (action === 'crash') await this.crash(at);
    else await this.world.advance(ms);
    await this.world.settle();
  }

  /** The coordinator dies and starts again with what was durable and the first `keepGroups` writes that were not. */
  async crash(keepGroups: number): Promise<void> {
    await this.world.admit();
    this.world = await this.world.crash(keepGroups);
    this.#lives++;
    this.#stopSyncing();
  }

  /** No more faults: within the longest timeout there is, everyone must be in one stable generation. */
  async heal(): Promise<void> {
    await this.world.admit();
    for (let second = 0; second < 400; second++) {
      await this.world.makeDurable();
      for (const client of this.clients) client.step(this.world, this.#lives);
      await this.world.advance(1000);
      if (this.clients.every((client) => client.isStable) && second > 310) return;
    }
  }

  async #round(): Promise<void> {
    for (const client of this.clients) client.step(this.world, this.#lives);
    await this.world.advance(1);
  }

  #stopSyncing(): void {
    for (const stream of this.world.streams.values()) stream.autoSettle = false;
  }
}

describe('a storm of joins, leaves, deaths, slow disks and coordinator crashes', () => {
  test('one leader and one holder a share in every generation; generations grow; all are answered; it ends well', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1_000_000),
        fc.array(event, { minLength: 10, maxLength: 120 }),
        async (seed, events) => {
          const storm = new Storm(
            await CoordinatorWorld.start({ seed, config: { initialRebalanceDelayMs: 500 } }),
          );
          for (const happening of events) await storm.happen(happening);
          await storm.heal();
          expect(storm.log.violations).toEqual([]);
          // I37: nobody waits for ever, and everyone has a share of one generation.
          expect(storm.log.unanswered).toBe(0);
          expect(stateOf(storm.world)).toBe('Stable');
          expect(new Set(storm.clients.map((client) => client.generationId)).size).toBe(1);
          const described = storm.world.coordinator.describe(GROUP);
          const members =
            typeof described === 'number' ? [] : described.members.map(({ memberId }) => memberId);
          expect(members.toSorted()).toEqual(storm.clients.map(({ memberId }) => memberId).toSorted());
        },
      ),
      { numRuns: 80, endOnFailure: false },
    );
  }, 60_000);
});
