import { messageOf } from '../../base/errors.ts';
import type { Env } from '../../ports/env.ts';
import type { RetryingStore } from '../conditional/retrying-store.ts';
import { nodePrefix, parseGroupKey } from './keys.ts';

/**
 * Deletes what earlier epochs of the node left: all of it is in committed objects, because each epoch claims the fence
 * only after the log before was recovered. So are puts of a zombie that landed since. Never rejects: what remains is
 * a matter of a few cents, and goes with the next epoch.
 * @returns objects deleted
 */
export async function sweepOlderEpochs(
  env: Env,
  store: RetryingStore,
  nodeId: number,
  nodeEpoch: number,
): Promise<number> {
  let deleted = 0;
  try {
    let after: string | undefined;
    do {
      const page = await store.list(nodePrefix(nodeId), after === undefined ? {} : { after });
      const names = page.objects.map(({ key }) => ({ key, name: parseGroupKey(key) }));
      const old = names.flatMap(({ key, name }) =>
        name !== undefined && name.nodeEpoch < nodeEpoch ? [key] : [],
      );
      if (old.length > 0) await store.delete(old);
      deleted += old.length;
      const foreign = names.find(({ name }) => name === undefined);
      if (foreign !== undefined) env.events.warn('wal.foreign-object', { key: foreign.key });
      // In byte order ours come after all of theirs.
      const hasOurs = names.some(({ name }) => name !== undefined && name.nodeEpoch >= nodeEpoch);
      after = hasOurs ? undefined : page.next;
    } while (after !== undefined);
    if (deleted > 0) env.events.info('wal.swept', { nodeId, nodeEpoch, deleted });
  } catch (error) {
    env.events.warn('wal.sweep-failed', { nodeId, nodeEpoch, deleted, cause: messageOf(error) });
  }
  return deleted;
}
