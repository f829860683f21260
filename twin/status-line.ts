import type { BrokerStatus } from '../broker-runtime/src/broker.ts';

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
    `clients ${now.server.connections}  WAL ${fill} %  ${uploads}`
  );
}
