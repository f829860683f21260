import { existsSync } from 'node:fs';
import path from 'node:path';
import { FAMILIES } from '../lib/environment/limits.ts';
import { type ResolvedEnvironment, resolveEnvironment } from '../lib/environment/resolve.ts';
import { textOf } from '../lib/environment/validate.ts';
import type { Finding } from './finding.ts';
import { allProblemsOf, environmentNamed } from './named-environment.ts';

export interface DoctorOptions {
  readonly env: string;
  readonly online: boolean;
  readonly json: boolean;
}

const ROOT = path.dirname(import.meta.dirname);

/** `millrace doctor`. @returns the exit status: 1 with a problem */
export async function doctor({ env, online, json }: DoctorOptions): Promise<number> {
  const given = environmentNamed(env);
  const problems = allProblemsOf(given);
  const findings: Finding[] = problems.map((problem) => ({
    level: 'problem',
    check: 'configuration',
    says: textOf(problem),
  }));
  if (problems.length === 0) {
    const environment = resolveEnvironment(given);
    findings.push(...offlineFindings(environment));
    if (online) {
      const { onlineFindings } = await import('./doctor-online.ts');
      findings.push(...(await onlineFindings(environment)));
    }
  }
  const count = (level: Finding['level']): number => findings.filter((one) => one.level === level).length;
  if (json) {
    process.stdout.write(`${JSON.stringify({ environment: env, online, findings }, null, 2)}\n`);
  } else {
    for (const { level, check, says } of findings) {
      process.stdout.write(`${level.padEnd(8)} ${check.padEnd(14)} ${says}\n`);
    }
    process.stdout.write(
      `\n${env}: ${count('problem')} problems, ${count('warning')} warnings, ${count('ok')} ok` +
        `${online ? '' : '; nothing was asked of AWS, --online does'}\n`,
    );
  }
  return count('problem') > 0 ? 1 : 0;
}

function offlineFindings(environment: ResolvedEnvironment): Finding[] {
  const { account, zones, slotsPerZone, instances, wal, scaling, alarmTopicArn, recovery } = environment;
  const findings: Finding[] = [
    {
      level: 'ok',
      check: 'configuration',
      says: `${zones.length} zones of ${slotsPerZone} slots, ${instances.types.join(', ')}, WAL ${wal.kind}`,
    },
  ];
  const warn = (check: string, says: string): void => void findings.push({ level: 'warning', check, says });
  if (/^(\d)\1{11}$/.test(account)) {
    findings.push({
      level: 'problem',
      check: 'account',
      says: `${account} is the example's; write your own: aws sts get-caller-identity`,
    });
  }
  if (!existsSync(path.join(ROOT, 'broker-runtime', 'dist', 'millrace-broker.mjs'))) {
    warn('bundle', 'the broker is not built yet: npm run build');
  }
  if (environment.clients.tls === undefined) {
    warn(
      'listeners',
      'clients speak plaintext without authentication: clients.tls, or keep the allowed ranges narrow',
    );
  }
  if (wal.kind === 'block-shared' && (slotsPerZone === 1 || scaling.minPerZone === 1)) {
    const [what, fix] =
      slotsPerZone === 1
        ? ['one slot a zone', 'slotsPerZone']
        : ['a zone has one broker at times', 'scaling.minPerZone'];
    warn(
      'takeover',
      `${what}: the log of a lost broker waits for its replacement instance; ${fix}: 2 takes over in seconds`,
    );
  }
  if (instances.spotPercent > 0 && instances.types.length === 1) {
    warn('spot', `${instances.types.join()} alone: several types of one size make spot capacity likelier`);
  }
  const burstable = instances.types.filter((type) => FAMILIES[type.split('.')[0] ?? '']?.burstable);
  if (burstable.length > 0) {
    warn('instances', `${burstable.join(', ')}: a loaded broker runs out of CPU credits`);
  }
  if (alarmTopicArn === undefined) warn('alarms', 'nobody hears them: alarms.topicArn');
  if (recovery !== undefined && recovery.alarmTopicArn === undefined) {
    warn(
      'recovery',
      'nobody hears that the copy is behind: recovery.alarmTopicArn, a topic of the second region',
    );
  }
  if (recovery === undefined) warn('recovery', 'no second region: the loss of this one loses everything');
  return findings;
}
