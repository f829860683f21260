import { backoffMs } from '../base/backoff.ts';
import { MillraceError } from '../base/errors.ts';
import type { Env } from '../ports/env.ts';
import { type ObjectStore, ObjectStoreError, type PutCondition } from '../ports/object-store.ts';

/** Every slot of the zone has an instance that runs. */
export class NoFreeSlotError extends MillraceError {
  readonly code = 'NO_FREE_SLOT';
}

export interface SlotClaimOptions {
  /** Of this zone, the wanted ones first. */
  readonly nodeIds: readonly number[];
  readonly instanceId: string;
  /** Whether an instance may still be at work on its slot. */
  readonly isRunning: (instanceId: string) => Promise<boolean>;
  /** How long to wait for a slot: an instance that is being replaced still has it. */
  readonly patienceMs: number;
  readonly signal?: AbortSignal;
}

const KEY_PREFIX = 'slot/';
const LOOK_AGAIN_MS = 2_000;
const UNSURE_PAUSE = { firstMs: 100, maxMs: 2_000 };
const UNSURE_REPEATS = 20;

/*
 * slot/<node id>: {"instanceId": string | null}
 *
 * Written with conditions alone, so of two instances that want a slot one gets it. It only keeps instances from wanting the same
 * node id: what keeps two processes with one node id from harm is the node epoch and the reservation (protocol 3.4, 3.5).
 */
interface Holder {
  readonly instanceId: string | null;
}

/** Claims a slot: the one this instance has already, a free one, or one whose instance is gone. */
export async function claimSlot(objects: ObjectStore, env: Env, options: SlotClaimOptions): Promise<number> {
  const untilMs = env.clock.monotonicMs() + options.patienceMs;
  for (;;) {
    const claimed = await claimNow(objects, env, options);
    if (claimed !== undefined) {
      env.events.info('agent.slot-claimed', { nodeId: claimed, instanceId: options.instanceId });
      return claimed;
    }
    if (env.clock.monotonicMs() > untilMs) {
      throw new NoFreeSlotError(
        `each of the slots ${options.nodeIds.join(', ')} has an instance that runs; the group has more instances than the zone ` +
          'has slots: lower its maximum or add slots',
      );
    }
    await env.clock.sleep(LOOK_AGAIN_MS, options.signal);
  }
}

/** Gives the slot back, unless it is somebody else's by now. */
export async function releaseSlot(
  objects: ObjectStore,
  env: Env,
  nodeId: number,
  instanceId: string,
): Promise<void> {
  const found = await holderOf(objects, nodeId);
  if (found?.holder.instanceId !== instanceId) return;
  const isReleased = await write(objects, env, nodeId, null, { kind: 'etag', etag: found.etag });
  if (isReleased) env.events.info('agent.slot-released', { nodeId, instanceId });
  // Somebody has it already, or the bucket does not answer: then whoever wants it sees that this instance is gone.
  else env.events.warn('agent.slot-not-released', { nodeId, instanceId });
}

async function claimNow(
  objects: ObjectStore,
  env: Env,
  { nodeIds, instanceId, isRunning }: SlotClaimOptions,
): Promise<number | undefined> {
  const slots = await Promise.all(
    nodeIds.map(async (nodeId) => ({ nodeId, found: await holderOf(objects, nodeId) })),
  );
  const ours = slots.find(({ found }) => found?.holder.instanceId === instanceId);
  if (ours !== undefined) return ours.nodeId;
  for (const { nodeId, found } of slots) {
    const holder = found?.holder.instanceId ?? null;
    if (holder !== null && (await isRunning(holder))) continue;
    const condition: PutCondition =
      found === undefined ? { kind: 'absent' } : { kind: 'etag', etag: found.etag };
    if (await write(objects, env, nodeId, instanceId, condition)) return nodeId;
  }
  return undefined;
}

/** @returns false when somebody else was faster */
async function write(
  objects: ObjectStore,
  env: Env,
  nodeId: number,
  instanceId: string | null,
  condition: PutCondition,
): Promise<boolean> {
  const body = new TextEncoder().encode(JSON.stringify({ instanceId } satisfies Holder));
  for (let repeat = 0; repeat < UNSURE_REPEATS; repeat++) {
    const { outcome } = await objects.put(keyOf(nodeId), [body], condition);
    if (outcome === 'committed') return true;
    // After an answer that was not sure, "taken" may be our own earlier success.
    if (outcome === 'rejected') {
      return repeat > 0 && (await holderOf(objects, nodeId))?.holder.instanceId === instanceId;
    }
    await env.clock.sleep(backoffMs(repeat, UNSURE_PAUSE, env.random));
  }
  return false;
}

async function holderOf(
  objects: ObjectStore,
  nodeId: number,
): Promise<{ readonly holder: Holder; readonly etag: string } | undefined> {
  try {
    const { body, etag } = await objects.get(keyOf(nodeId));
    return { holder: JSON.parse(new TextDecoder().decode(body)) as Holder, etag };
  } catch (error) {
    if (error instanceof ObjectStoreError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

function keyOf(nodeId: number): string {
  return `${KEY_PREFIX}${nodeId}`;
}
