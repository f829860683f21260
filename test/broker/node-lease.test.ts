import { beforeEach, describe, expect, test } from '@jest/globals';
import {
  NodeLease,
  VOLUME_WORD_MS,
  VOLUME_WORD_WAIT_MS,
} from '../../broker-runtime/src/broker/node-lease.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

const SESSION_MS = 6_000;
/** The session without the margin. */
const VALID_MS = 5_400;

let clock: SimClock;
let lease: NodeLease;

beforeEach(() => {
  clock = new SimClock();
  lease = new NodeLease(clock, SESSION_MS);
});

describe('the lease of a node (protocol 3.4)', () => {
  test('is not valid before the first answer, and counts from the send of the heartbeat, not from its answer (R8)', async () => {
    expect(lease.isValid()).toBe(false);
    const sent = lease.moment();
    await clock.advance(1_000);
    lease.renew(sent);
    await clock.advance(VALID_MS - 1_001);
    expect(lease.isValid()).toBe(true);
    await clock.advance(1);
    expect(lease.isValid()).toBe(false);
  });

  test('an answer that overtook a later one does not shorten it', async () => {
    const first = lease.moment();
    await clock.advance(2_000);
    lease.renew(lease.moment());
    lease.renew(first);
    await clock.advance(VALID_MS - 1);
    expect(lease.isValid()).toBe(true);
  });

  test('acknowledgements that wait go on with the next answer, and end with the life of the node', async () => {
    const waiting = lease.proof();
    expect(waiting).toBeInstanceOf(Promise);
    lease.renew(lease.moment());
    await waiting;
    expect(lease.proof()).toBe(true);
    await clock.advance(VALID_MS);
    const inVain = lease.proof();
    lease.end(new Error('fenced'));
    await expect(inVain).rejects.toThrow('fenced');
    lease.renew(lease.moment());
    expect(lease.isValid()).toBe(false);
  });

  test('lasts while the bucket is out of reach, from question to question, and not after it answers again', async () => {
    lease.renew(lease.moment());
    await clock.advance(VALID_MS);
    expect(lease.isValid()).toBe(false);
    lease.bucketLost(lease.moment());
    await clock.advance(VALID_MS - 1);
    expect(lease.isValid()).toBe(true);
    lease.bucketLost(undefined);
    expect(lease.isValid()).toBe(false);
  });

  test('answers readers while the bucket is out of reach only as long as the volume just said that it is ours (I8)', async () => {
    lease.renew(lease.moment());
    expect(lease.mayAnswerReaders()).toBe(true);
    await clock.advance(VALID_MS);
    lease.bucketLost(lease.moment());
    expect([lease.isValid(), lease.mayAnswerReaders()]).toEqual([true, false]);
    const asked = lease.moment();
    await clock.advance(100);
    lease.volumeHeld(asked);
    await clock.advance(VOLUME_WORD_MS - 101);
    expect(lease.mayAnswerReaders()).toBe(true);
    await clock.advance(1);
    expect([lease.isValid(), lease.mayAnswerReaders()]).toEqual([true, false]);
    lease.volumeHeld(lease.moment());
    expect(lease.mayAnswerReaders()).toBe(true);
    lease.bucketLost(undefined);
    expect(lease.mayAnswerReaders()).toBe(false);
  });

  test('whoever takes a volume over waits for longer than the volume’s word is good for', () => {
    expect(VOLUME_WORD_WAIT_MS).toBeGreaterThan(VOLUME_WORD_MS);
  });

  test('is in doubt after the machine stood still or its clock was set, until the next answer (R9)', async () => {
    lease.renew(lease.moment());
    clock.jumpWall(60_000);
    expect(lease.isValid()).toBe(false);
    lease.renew(lease.moment());
    expect(lease.isValid()).toBe(true);
  });
});
