import { systemEnv } from '../adapters/system-env.ts';
import { promote } from '../promotion/promote.ts';
import type { PromotionReport } from '../promotion/report.ts';
import type { FileStoreConfig, S3StoreConfig } from './broker-config.ts';
import { GenerationError, hasGeneration, inGeneration } from './generation.ts';
import { openObjects } from './open-objects.ts';

export type { PromotionReport } from '../promotion/report.ts';

export interface PromotionRun {
  readonly store: FileStoreConfig | S3StoreConfig;
  readonly writer: string;
  readonly isPlan: boolean;
  readonly acceptLoss: boolean;
  readonly signal: AbortSignal;
  /** Is told what is being done, for people who wait. */
  readonly heard: (progress: string) => void;
}

export interface PromotionOutcome extends PromotionReport {
  /** Of the cluster that was made, or would be. */
  readonly generation: number;
}

/**
 * Makes a cluster of a copy of its bucket, in the real world: of the generation that `store` names the next one.
 * @throws {MillraceError} see {@link promote}
 */
export async function runPromotion({ store, ...options }: PromotionRun): Promise<PromotionOutcome> {
  const env = systemEnv({ format: 'text', minLevel: 'warn' });
  const objects = await openObjects(env, store);
  try {
    const from = store.generation ?? 0;
    const generation = from + 1;
    if (await hasGeneration(objects, generation)) {
      throw new GenerationError(
        `generation ${from} was promoted already: start the brokers with generation ${generation}, or, if this is a copy of ` +
          `the bucket of generation ${generation}, promote that one with --generation ${generation}`,
      );
    }
    const [source, target] = [inGeneration(objects, from), inGeneration(objects, generation)];
    return { ...(await promote(env, source, target, options)), generation };
  } finally {
    await objects.close();
  }
}
