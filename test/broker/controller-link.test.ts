import { describe, expect, test } from '@jest/globals';
import { BucketUnreachableError, ControllerLink } from '../../broker-runtime/src/broker/controller-link.ts';
import type { Address } from '../../broker-runtime/src/ports/network.ts';
import { json, rpcWorld, SERVER } from '../rpc/rpc-world.ts';

/** A broker whose bucket takes so long to say who leads. */
async function linkOf(bucketMs: number) {
  const world = await rpcWorld(1);
  const { env, network } = world;
  let reads = 0;
  const link = new ControllerLink({
    env,
    network: network.node('broker'),
    leader: async (): Promise<Address | undefined> => {
      reads++;
      await env.clock.sleep(bucketMs);
      return SERVER;
    },
  });
  const call = () => world.run(link.call('echo', json('hello'), 1_000));
  return { call, reads: () => reads, pass: (ms: number) => world.advance(ms) };
}

describe('the link to the controller', () => {
  test('asks the bucket once who leads, and keeps the connection', async () => {
    const { call, reads } = await linkOf(100);
    expect(await call()).toEqual(json('hello'));
    expect(await call()).toEqual(json('hello'));
    expect(reads()).toBe(1);
  });

  test('never-found: in a bucket that takes longer than a call waits, the controller is found by the next call', async () => {
    const { call, reads } = await linkOf(2_500);
    await expect(call()).rejects.toThrow(BucketUnreachableError);
    expect(await call()).toEqual(json('hello'));
    expect(reads()).toBe(1);
  });

  test('never-found: the answer may come while nobody waits for it', async () => {
    const { call, reads, pass } = await linkOf(2_020);
    await expect(call()).rejects.toThrow(BucketUnreachableError);
    await pass(50);
    expect(await call()).toEqual(json('hello'));
    expect(reads()).toBe(1);
  });

  test('a bucket that does not answer is told to everybody who asks; it is asked again after ten seconds', async () => {
    const { call, reads } = await linkOf(600_000);
    for (let n = 0; n < 5; n++) await expect(call()).rejects.toThrow(/no answer within 2000 ms/);
    expect(reads()).toBe(1);
    await expect(call()).rejects.toThrow(/no answer within 2000 ms/);
    expect(reads()).toBe(2);
  });
});
