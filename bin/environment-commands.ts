import { estimateCost } from '../lib/cost/estimate.ts';
import { costTable } from '../lib/cost/table.ts';
import { type ResolvedEnvironment, resolveEnvironment } from '../lib/environment/resolve.ts';
import { MAX_BROKERS_PER_ZONE, OptionError } from '../twin/options.ts';
import type { UpOptions } from '../twin/up.ts';
import { environmentNamed } from './named-environment.ts';

export interface CostOptions {
  readonly env: string;
  readonly write: number;
  readonly fanout: number;
  readonly retention: number;
  readonly json: boolean;
}

/** `millrace cost`. */
export function cost({ env, write, fanout, retention, json }: CostOptions): void {
  const environment = resolveEnvironment(environmentNamed(env));
  const load = { writeMiBPerSecond: write, fanout, retentionDays: retention };
  const estimate = estimateCost(environment, load);
  const { name, region } = environment;
  process.stdout.write(
    json
      ? `${JSON.stringify({ estimate: true, environment: name, region, load, ...estimate }, null, 2)}\n`
      : `${costTable(name, region, load, estimate)}\n`,
  );
}

/** What of an environment `millrace up` can have on this machine. @throws {OptionError} */
export function twinOptionsOf(
  env: string,
): Pick<UpOptions, 'zones' | 'brokersPerZone' | 'walKind' | 'port' | 'set'> {
  const { zones, slotsPerZone, wal, clients, brokerSettings }: ResolvedEnvironment = resolveEnvironment(
    environmentNamed(env),
  );
  if (slotsPerZone > MAX_BROKERS_PER_ZONE) {
    throw new OptionError(
      `${env} has ${slotsPerZone} slots a zone, allowed here: up to ${MAX_BROKERS_PER_ZONE}; add --brokers-per-zone`,
    );
  }
  return {
    zones: zones.length,
    brokersPerZone: slotsPerZone,
    walKind: wal.kind === 'object' ? 'object' : 'block',
    port: clients.port,
    set: brokerSettings,
  };
}
