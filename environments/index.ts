import type { Environment } from '../lib/environment/environment.ts';
import { dev } from './dev.ts';
import { prod } from './prod.ts';
import { stage } from './stage.ts';

/** By name, for `cdk -c env=NAME` and `millrace --env NAME`: add yours here. */
export const environments: Readonly<Record<string, Environment>> = { dev, stage, prod };
