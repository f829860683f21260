import { messageOf } from '../base/errors.ts';
import type { BrokerProcess } from '../ports/broker-process.ts';
import type { Metrics } from '../ports/cloud.ts';
import type { Env } from '../ports/env.ts';

/** CloudWatch's own grain: more often costs more calls and tells scaling nothing new. */
const INTERVAL_MS = 60_000;
/** A broker tells every ten seconds. Twice the same report a minute later is a process that does nothing any more. */
const SILENT_INTERVALS_MAX = 2;

/**
 * Passes on how busy a broker is, by cluster and zone, until `over`. Figures that do not get through are missing, which alarms
 * and scaling take as no news: the broker itself goes on. One that hangs tells nothing: its log has been taken over long since, and it
 * is ended, so that another one starts in its place.
 */
export async function passOnLoad(
  { env, metrics }: { readonly env: Env; readonly metrics: Metrics },
  process: BrokerProcess,
  dimensions: Readonly<Record<string, string>>,
  over: AbortSignal,
): Promise<void> {
  let last = process.load;
  let silentFor = 0;
  for (;;) {
    const isOver = await env.clock.sleep(INTERVAL_MS, over).then(
      () => false,
      () => true,
    );
    if (isOver) return;
    const { load } = process;
    if (load === undefined) continue;
    silentFor = load === last ? silentFor + 1 : 0;
    last = load;
    if (silentFor >= SILENT_INTERVALS_MAX) {
      env.events.error('agent.broker-silent', { forMs: silentFor * INTERVAL_MS });
      process.kill();
      return;
    }
    // What it told once is not how it is.
    if (silentFor > 0) continue;
    const { busyPercent, walFullPercent, certificateDaysLeft } = load;
    try {
      await metrics.put(
        {
          BusyPercent: busyPercent,
          WalFullPercent: walFullPercent,
          ...(certificateDaysLeft === undefined ? {} : { CertificateDaysLeft: certificateDaysLeft }),
        },
        dimensions,
      );
    } catch (error) {
      env.events.warn('agent.metrics-failed', { reason: messageOf(error) });
    }
  }
}
