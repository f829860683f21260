import type { BrokerStatus } from '../broker-runtime/src/broker.ts';
import type { ListedBroker } from './control.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

/** One line for a person: what flows in and out, how full the log is, what uploads are doing. */
export function formatStatus(now: BrokerStatus, before: BrokerStatus, elapsedMs: number): string {
  const rate = (newer: number, older: number) => `${formatBytes(((newer - older) * 1000) / elapsedMs)}/s`;
  const fill = Math.round((100 * now.store.walUsedBytes) / now.store.walCapacityBytes);
  // An upload that waits for the metadata log knows only that it takes long.
  const trouble = now.metadataTrouble ?? now.store.uploadTrouble;
  const uploads =
    trouble === undefined
      ? `${formatBytes(now.store.uploadedBytes)} uploaded in ${now.store.uploadedObjects} objects`
      : `uploads wait: ${trouble}`;
  return (
    `in ${rate(now.server.bytesIn, before.server.bytesIn)}  out ${rate(now.server.bytesOut, before.server.bytesOut)}  ` +
    `clients ${now.server.connections}  WAL ${fill} %${waits([now.store])}  ${uploads}`
  );
}

/** One line for a whole cluster: who serves, what flows, the fullest log, what uploads are doing. */
export function formatCluster(
  now: readonly ListedBroker[],
  before: readonly ListedBroker[],
  elapsedMs: number,
): string {
  const serving = now.filter(({ state }) => state === 'serving').length;
  const away = now
    .filter(({ state }) => state !== 'serving')
    .map(({ nodeId, state }) => `${nodeId} ${state}`);
  const controller = now.find(({ summary, state }) => state === 'serving' && summary?.isController === true);
  const flow = (field: 'bytesIn' | 'bytesOut'): string => {
    // A broker that was started again counts from zero.
    const bytes = now.map(({ summary }, at) =>
      Math.max(0, (summary?.[field] ?? 0) - (before[at]?.summary?.[field] ?? 0)),
    );
    return `${formatBytes((sum(bytes) * 1000) / elapsedMs)}/s`;
  };
  const fills = now.map(({ summary }) =>
    summary === undefined ? 0 : (100 * summary.walUsedBytes) / summary.walCapacityBytes,
  );
  const trouble = now.find(
    ({ summary, state }) => state === 'serving' && summary?.uploadTrouble !== undefined,
  );
  const uploads =
    trouble?.summary?.uploadTrouble === undefined
      ? `${formatBytes(sum(now.map(({ summary }) => summary?.uploadedBytes ?? 0)))} uploaded`
      : `uploads wait: ${trouble.summary.uploadTrouble}`;
  return (
    `brokers ${serving}/${now.length}${away.length === 0 ? '' : ` (${away.join(', ')})`}  ` +
    `controller ${controller?.nodeId ?? 'none'}  in ${flow('bytesIn')}  out ${flow('bytesOut')}  ` +
    `WAL ${Math.round(Math.max(...fills))} %${waits(now.map(({ summary }) => summary))}  ${uploads}`
  );
}

/** With little memory producers wait before the log is full: its groups stay there until they are uploaded. */
function waits(logs: readonly ({ readonly walWaitingBytes: number } | undefined)[]): string {
  return logs.some((log) => (log?.walWaitingBytes ?? 0) > 0) ? ' (producers wait)' : '';
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
