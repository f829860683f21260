import { FAMILIES } from '../limits.ts';
import type { Checks } from './checks.ts';

export function checkProd({ environment, report }: Checks): void {
  const { data, recovery, alarms, instances, slotsPerZone, clients, scaling, wal } = environment;
  if (clients.tls === undefined) {
    report('ProdPlaintext', 'clients.tls', undefined, 'TLS in prod', 'add clients.tls: { secretArn }');
  }
  if (environment.peerTls === undefined) {
    report(
      'ProdPeerPlaintext',
      'peerTls',
      undefined,
      'TLS between brokers in prod',
      'add peerTls: { secretArn }',
    );
  }
  if (data?.removal === 'destroy') {
    report('ProdDestroy', 'data.removal', 'destroy', '"retain" in prod', 'remove `removal`');
  }
  if (recovery === undefined && data?.promoted === undefined) {
    report('ProdRecovery', 'recovery', undefined, 'a second region in prod', 'add recovery: { region }');
  }
  if (alarms === undefined) {
    report(
      'ProdAlarms',
      'alarms',
      undefined,
      'somebody who hears alarms in prod',
      'add alarms: { topicArn }',
    );
  }
  if (recovery !== undefined && recovery.alarmTopicArn === undefined) {
    report(
      'ProdRecoveryAlarms',
      'recovery.alarmTopicArn',
      undefined,
      'somebody who hears in prod that the second region is behind',
      `add an SNS topic of ${recovery.region}: alarms speak only to topics of their own region`,
    );
  }
  if (slotsPerZone === 1) {
    report(
      'ProdSlots',
      'slotsPerZone',
      1,
      'at least 2 in prod',
      'with one, a failed broker waits for its replacement instance',
    );
  }
  if (scaling?.minPerZone === 1 && wal?.kind !== 'object') {
    report(
      'ProdScalingMin',
      'scaling.minPerZone',
      1,
      'at least 2 in prod, with the log on volumes',
      'only a neighbour in the zone can take a log over: with one broker it waits for a replacement instance',
    );
  }
  const types = instances?.types ?? [];
  for (const type of types) {
    if (FAMILIES[type.split('.')[0] ?? '']?.burstable !== true) continue;
    report(
      'ProdBurstable',
      'instances.types',
      type,
      'types that are not burstable in prod',
      'a loaded broker runs out of CPU credits: m7g.large and larger',
    );
  }
  if (
    types.length === 1 &&
    (instances?.onDemandBasePerZone ?? 0) === 0 &&
    (instances?.spotPercent ?? 100) > 0
  ) {
    report(
      'ProdSpotPool',
      'instances.types',
      types,
      'two types or more, or an on-demand base',
      'one spot pool that runs dry takes every broker',
    );
  }
}
